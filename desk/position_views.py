"""The page of one position: chart, orders and fills, stop history, and what an operator may do by hand."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.contrib.admin.views.decorators import staff_member_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from desk import access, forming, story
from monitoring import candles, clock
from monitoring.admin.base import actor_of
from monitoring.models import WorkflowSchedule
from positions import by_hand
from positions.models import Order, Position

MANAGE = "positions.manage_position"


@require_GET
@staff_member_required
def position(request: HttpRequest, key: UUID) -> HttpResponse:
    """The whole page."""
    found = _position(request, key)
    schedule = _schedule(found)
    context: dict[str, Any] = {
        "position": found,
        "last": candles.last_price(market=found.market, symbol=found.symbol),
        "orders": found.orders.prefetch_related("fills").order_by("-intended_at"),
        "stops": found.orders.filter(leg=Order.Leg.STOP).order_by("-intended_at"),
        "decisions": found.decisions.select_related("run").order_by("-timestamp")[:50],
        "schedule": schedule,
        "forming_every": forming.every_s(schedule.interval) if schedule else 0,
        "may_manage": request.user.has_perm(MANAGE) and found.status != Position.Status.CLOSED,
        "nonce": uuid4(),
    }
    return render(request, "desk/position.html", context)


@require_GET
@staff_member_required
def chart(request: HttpRequest, key: UUID) -> JsonResponse:
    """What the chart draws."""
    schedule = _schedule(_position(request, key))
    return JsonResponse(story.chart(schedule) if schedule else {"candles": [], "markers": [], "entry": None, "stops": [], "targets": []})


@require_POST
@staff_member_required
def act(request: HttpRequest, key: UUID) -> HttpResponse:
    """Close, reduce, or move stop or target, by a worker."""
    if not request.user.has_perm(MANAGE):
        raise PermissionDenied
    found = _position(request, key)
    form = {name: request.POST.get(name, "") for name in ("action", "value", "nonce", "reason")}
    try:
        by_hand.ask(position=found, **form, actor=actor_of(request), now=clock.now())
        messages.success(
            request, f"Asked for: {form['action']} {form['value']}".strip() + ". A worker does it; what comes of it appears here."
        )
    except by_hand.HandError as error:
        messages.error(request, str(error))
    return redirect("desk:position", key=found.id)


def _position(request: HttpRequest, key: UUID) -> Position:
    rows = Position.objects.select_related("trader", "account", "signal")
    return get_object_or_404(access.visible(rows, request, owner="trader__user"), id=key)


def _schedule(found: Position) -> WorkflowSchedule | None:
    return WorkflowSchedule.objects.filter(entity_id=found.id).select_related("trader").order_by("-started_at").first()
