"""The kill switches over HTTP: facts before, one POST to move, and a page that needs no script."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib import messages
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from desk import switches
from monitoring import clock, controls
from monitoring.admin.base import actor_of
from monitoring.controls import ControlError, Halted

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
        done = _move(request, action, scope)
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


def _move(request: HttpRequest, action: str, scope: str) -> dict[str, Any]:
    """:raises ControlError: if it can't be moved as asked"""
    reason, now, actor = request.POST.get("reason", ""), clock.now(), actor_of(request)
    match action:
        case "reduce" | "halt":
            state = controls.HALTED if action == "halt" else controls.REDUCING
            return _told(controls.halt(scope=scope, state=state, reason=reason, actor=actor, now=now))
        case "flatten":
            if request.POST.get("word", "").strip() != switches.FLATTEN_WORD:
                raise ControlError(f"type {switches.FLATTEN_WORD} to close everything in the scope")
            done = _told(controls.flatten(scope=scope, reason=reason, actor=actor, now=now))
            return {**done, "text": f"{scope} is being flattened: positions are closed one after the other, then it is halted"}
        case "resume":
            controls.resume(scope=scope, reason=reason, actor=actor, now=now)
            return {"text": f"{scope} is running", "in_flight": []}
    raise ControlError(f"action was {action!r}, allowed are reduce, halt, flatten and resume")


def _told(done: Halted) -> dict[str, Any]:
    on_the_way = [
        f"{order['leg']} {order['side']} {order['quantity'].normalize():f} {order['position__symbol']} ({order['client_order_id']})"
        for order in done.in_flight
    ]
    again = "" if done.changed else " (it was before)"
    return {"text": f"{done.halt.scope} is {done.halt.state}{again}", "in_flight": on_the_way}


def _wants_json(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")
