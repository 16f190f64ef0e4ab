"""The library of sessions and the editor; what they show and change comes over the API."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_GET, require_POST

from desk.api.auth import CHANGE, VIEW, caller
from monitoring.models import Trader
from workflows import library, sessions, templates
from workflows.sessions import NotFound


@require_GET
@staff_member_required
@permission_required(VIEW, raise_exception=True)
@ensure_csrf_cookie
def page(request: HttpRequest) -> HttpResponse:
    """Folders, tags and templates; the list itself is fetched as somebody types."""
    user = caller(request, VIEW)
    context = {
        "folders": library.folders(user=user),
        "tags": library.tags(user=user),
        "shipped": templates.shipped(),
        "shared": templates.shared(user=user),
        "traders": Trader.objects.filter(user=user).exclude(state=Trader.State.ARCHIVED).order_by("name"),
        "may_change": user.has_perm(CHANGE),
    }
    return render(request, "desk/sessions.html", context)


@require_POST
@staff_member_required
@permission_required(CHANGE, raise_exception=True)
def new(request: HttpRequest) -> HttpResponse:
    """An empty session, and its editor."""
    made = sessions.create(user=caller(request, CHANGE), name=request.POST.get("name", "").strip() or "New session")
    return redirect("desk:session_editor", root=made.root_id)


@require_POST
@staff_member_required
@permission_required(CHANGE, raise_exception=True)
def use_template(request: HttpRequest, key: str) -> HttpResponse:
    """A session made from a template, for one of one's own traders, and its editor."""
    user = caller(request, CHANGE)
    trader = Trader.objects.filter(user=user, name=request.POST.get("trader", "")).first()
    try:
        made = templates.use(user=user, key=key, trader_id=trader.id if trader else None)
    except NotFound as error:
        messages.error(request, str(error))
        return redirect("desk:sessions")
    return redirect("desk:session_editor", root=made.root_id)


@require_GET
@staff_member_required
@permission_required(VIEW, raise_exception=True)
@ensure_csrf_cookie
def editor(request: HttpRequest, root: UUID) -> HttpResponse:
    """The canvas of one session."""
    user = caller(request, VIEW)
    try:
        session = sessions.get(user=user, root=root)
    except NotFound as error:
        raise Http404(str(error)) from error
    traders = [{"id": str(key), "name": name} for key, name in Trader.objects.filter(user=user).order_by("name").values_list("id", "name")]
    return render(request, "desk/session_editor.html", {"session": session, "traders": traders, "may_change": user.has_perm(CHANGE)})
