"""The kill switches over HTTP: facts before, one POST to move, and a page that needs no script."""

from __future__ import annotations

import logging

from django.contrib import messages
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from desk import switches
from monitoring import clock
from monitoring.admin.base import actor_of
from monitoring.controls import ControlError

logger = logging.getLogger(__name__)
MOVE = "monitoring.move_switch"


@require_GET
@staff_member_required
def facts(request: HttpRequest) -> JsonResponse:
    """What is held and working in a scope, and the scopes there are."""
    try:
        found = switches.facts(request.GET.get("scope", "all"))
    except ControlError as error:
        return JsonResponse({"error": str(error)}, status=400)
    return JsonResponse({**found, "scopes": switches.scopes(), "may_move": request.user.has_perm(MOVE)})


@require_http_methods(["GET", "POST"])
@staff_member_required
def page(request: HttpRequest) -> HttpResponse:
    """Every switch with its history, and the form to move one."""
    if request.method == "POST":
        return move(request)
    scope = request.GET.get("scope", "all")
    try:
        found = switches.facts(scope)
    except ControlError:
        found = switches.facts("all")
    context = {"facts": found, "scopes": switches.scopes(), "history": switches.history(), "flattening": switches.flattening()}
    return render(request, "desk/switches.html", {**context, "may_move": request.user.has_perm(MOVE), "word": switches.FLATTEN_WORD})


@permission_required(MOVE, raise_exception=True)
def move(request: HttpRequest) -> HttpResponse:
    """Move a switch; answers JSON to the dialog, and the page to a browser without script."""
    action, scope = request.POST.get("action", ""), request.POST.get("scope", "all")
    try:
        asked = {name: request.POST.get(name, "") for name in ("reason", "word")}
        done = switches.move(action, scope=scope, **asked, actor=actor_of(request), now=clock.now())
    except ControlError as error:
        logger.warning("switch not moved: %s by %s: %s", action, request.user.get_username(), error)
        if _wants_json(request):
            return JsonResponse({"error": str(error)}, status=400)
        messages.error(request, str(error))
        return redirect("desk:switches")
    if _wants_json(request):
        return JsonResponse(done)
    for line in (done["text"], *(f"still on its way: {order}" for order in done["in_flight"])):
        messages.success(request, line)
    return redirect("desk:switches")


def _wants_json(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")
