"""The page of one workflow: its chart, every close with its outcome, and each decision in full."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.admin.views.decorators import staff_member_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from desk import access, forming, story
from monitoring import clock, schedules
from monitoring.admin.base import actor_of
from monitoring.models import WorkflowRun, WorkflowSchedule

STEER = "monitoring.change_workflowschedule"


@require_GET
@staff_member_required
def workflow(request: HttpRequest, key: UUID) -> HttpResponse:
    """The whole page; its parts are fetched again when something happens."""
    schedule = _schedule(request, key)
    lines = story.closes(schedule)
    chosen = next((line.run for line in lines if str(line.run.id) == request.GET.get("close")), None)
    chosen = chosen or next((line.run for line in lines if line.decision), lines[0].run if lines else None)
    context = {
        "schedule": schedule,
        "entity": story.entity_of(schedule),
        "lines": lines,
        "chosen": chosen,
        "evidence": story.evidence(chosen) if chosen else None,
        "forming_every": forming.every_s(schedule.interval),
        "may_steer": request.user.has_perm(STEER),
    }
    return render(request, "desk/workflow.html", context)


@require_GET
@staff_member_required
def timeline(request: HttpRequest, key: UUID) -> HttpResponse:
    """The list of closes alone."""
    schedule = _schedule(request, key)
    return render(request, "desk/workflow_closes.html", {"schedule": schedule, "lines": story.closes(schedule)})


@require_GET
@staff_member_required
def chart(request: HttpRequest, key: UUID) -> JsonResponse:
    """What the chart draws."""
    return JsonResponse(story.chart(_schedule(request, key)))


@require_GET
@staff_member_required
def forming_candle(request: HttpRequest, key: UUID) -> JsonResponse:
    """The candle that is still open, for the chart; null when the exchange does not tell."""
    schedule = _schedule(request, key)
    candle = forming.read(market=schedule.market, symbol=schedule.symbol, interval=schedule.interval)
    prices = {name: float(getattr(candle, name)) for name in ("open", "high", "low", "close")} if candle else {}
    return JsonResponse({"candle": {"time": candle.open_time // 1000, **prices} if candle else None})


@require_GET
@staff_member_required
def close(request: HttpRequest, key: UUID, run_key: UUID) -> HttpResponse:
    """One close in full."""
    run = get_object_or_404(WorkflowRun.objects.select_related("schedule"), id=run_key, schedule=_schedule(request, key))
    return render(request, "desk/evidence.html", {"evidence": story.evidence(run), "schedule": run.schedule, "chosen": run})


@require_POST
@staff_member_required
def steer(request: HttpRequest, key: UUID) -> HttpResponse:
    """Disable or enable the workflow, with a reason."""
    if not request.user.has_perm(STEER):
        raise PermissionDenied
    schedule, reason = _schedule(request, key), request.POST.get("reason", "")
    arguments = {"schedule_id": schedule.id, "reason": reason, "actor": actor_of(request), "now": clock.now()}
    try:
        if request.POST.get("action") == "enable":
            skipped = schedules.enable(**arguments)
            messages.success(request, f"It is active again; {skipped} closes were skipped while it was off.")
        else:
            schedules.disable(**arguments)
            messages.success(request, "It is off. A position keeps the stop that rests at the exchange.")
    except schedules.ScheduleError as error:
        messages.error(request, str(error))
    return redirect("desk:workflow", key=schedule.id)


def _schedule(request: HttpRequest, key: UUID) -> WorkflowSchedule:
    rows = access.visible(WorkflowSchedule.objects.select_related("trader"), request, owner="user")
    return get_object_or_404(rows, id=key)
