"""The page of one trader."""

from __future__ import annotations

from uuid import UUID

from django.contrib.admin.views.decorators import staff_member_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from desk import access, trader_story
from monitoring import controls
from monitoring.models import Trader, WorkflowSchedule
from positions.models import Position


@require_GET
@staff_member_required
def trader(request: HttpRequest, key: UUID) -> HttpResponse:
    """Its funnel, money, decisions, workflows, positions and changes."""
    found = _trader(request, key)
    context = {
        "trader": found,
        "halt": controls.open_halts().get(f"trader:{found.id}"),
        "funnel": trader_story.funnel(found.id),
        "quality": trader_story.quality(found.id),
        "ahead": trader_story.AHEAD,
        "workflows": WorkflowSchedule.objects.filter(trader=found, is_active=True).order_by("-started_at")[:50],
        "positions": Position.objects.filter(trader=found).order_by("-created_at")[:30],
        "changes": trader_story.changes(found.id),
    }
    return render(request, "desk/trader.html", context)


@require_GET
@staff_member_required
def curves(request: HttpRequest, key: UUID) -> JsonResponse:
    """Its profit and its costs over time."""
    return JsonResponse(trader_story.curves(_trader(request, key)))


def _trader(request: HttpRequest, key: UUID) -> Trader:
    return get_object_or_404(access.visible(Trader.objects.select_related("user"), request, owner="user"), id=key)
