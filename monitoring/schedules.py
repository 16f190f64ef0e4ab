"""
The life of a workflow: started, switched off and on by a person, stopped for good.

ScheduleError
  AlreadyActive   another schedule of the same signal or position is active
  NotActive       there is nothing to disable
  ReasonMissing   a person must say why
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from monitoring import audit, clock, events, intervals
from monitoring.audit import Actor
from monitoring.events import NewEvent
from monitoring.models import Trader, WorkflowSchedule
from monitoring.models.schedules import WorkflowType

ERROR_LIMIT = 5
SHORTEST_REASON = 3

# Owed while it was off: every close from the last one in the ledger, or from the start, up to the newest closed candle.
SKIP_DISABLED = """
INSERT INTO workflow_runs (schedule_id, candle_time, status, reason, finished_at, created_at)
SELECT %(schedule)s, t, 'skipped', 'disabled', %(now)s, %(now)s
  FROM generate_series(%(first)s::bigint, %(last)s::bigint, %(length)s::bigint) AS t
ON CONFLICT (schedule_id, candle_time) DO NOTHING
"""


class ScheduleError(Exception):
    """A schedule can't be changed as asked."""


class AlreadyActive(ScheduleError):
    """Another schedule of the same signal or position is active."""


class NotActive(ScheduleError):
    """There is nothing to disable."""


class ReasonMissing(ScheduleError):
    """A person must say why."""


def start(*, workflow_type: WorkflowType, entity_id: UUID, trader: Trader, symbol: str, interval: str, now: datetime) -> WorkflowSchedule:
    """
    Begin judging an entity at every close; owed from the first close after `now`.

    A schedule that was stopped before is taken up again with its ledger: its closes in between become *skipped: disabled*.
    """
    former = (
        WorkflowSchedule.objects.select_for_update()
        .filter(workflow_type=workflow_type, entity_id=entity_id)
        .order_by("-created_at")
        .first()
    )
    if former is not None:
        if not former.is_active:
            _activate(former, now=now)
        return former
    return WorkflowSchedule.objects.create(
        workflow_type=workflow_type,
        entity_id=entity_id,
        trader=trader,
        user_id=trader.user_id,
        market=trader.market,
        symbol=symbol,
        interval=interval,
        started_at=now,
    )


def stop(*, workflow_type: WorkflowType, entity_id: UUID, reason: WorkflowSchedule.StopReason, now: datetime, note: str = "") -> bool:
    """End the active schedule of an entity; False when none was active."""
    return bool(
        WorkflowSchedule.objects.filter(workflow_type=workflow_type, entity_id=entity_id, is_active=True).update(
            is_active=False, stopped_at=now, stop_reason=reason, stop_note=note
        )
    )


def disable(*, schedule_id: UUID, reason: str, actor: Actor, now: datetime) -> WorkflowSchedule:
    """
    Switch a workflow off by hand. Its position keeps its resting stop.

    :raises NotActive: if it is off already
    :raises ReasonMissing: if the reason is too short
    """
    reason = _checked_reason(reason)
    with transaction.atomic():
        schedule = WorkflowSchedule.objects.select_for_update().get(id=schedule_id)
        if not schedule.is_active:
            raise NotActive(f"{schedule} is not active")
        schedule.is_active, schedule.stopped_at = False, now
        schedule.stop_reason, schedule.stop_note = WorkflowSchedule.StopReason.OPERATOR, f"{actor.name}: {reason}"
        schedule.save(update_fields=["is_active", "stopped_at", "stop_reason", "stop_note"])
        data = _event_data(schedule, reason=reason) | {"errors": schedule.consecutive_errors, "last_error": schedule.last_error}
        _tell("workflow_disabled", f"{schedule} disabled by {actor.name}: {reason}", data, schedule, level=events.WARNING, now=now)
        _audit("disable", schedule, actor, reason, now)
    return schedule


def enable(*, schedule_id: UUID, reason: str, actor: Actor, now: datetime) -> int:
    """
    Switch a workflow on again and return how many closes it missed; each gets its row *skipped: disabled* (P2).

    :raises AlreadyActive: if it, or another schedule of the same entity, is active
    """
    reason = _checked_reason(reason)
    try:
        with transaction.atomic():
            schedule = WorkflowSchedule.objects.select_for_update().get(id=schedule_id)
            if schedule.is_active:
                raise AlreadyActive(f"{schedule} is active")
            skipped = _activate(schedule, now=now)
            data = _event_data(schedule, reason=reason) | {"skipped_closes": skipped}
            _tell("workflow_enabled", f"{schedule} enabled by {actor.name}: {reason}", data, schedule, level=events.INFO, now=now)
            _audit("enable", schedule, actor, reason, now)
    except IntegrityError as error:
        if "schedule_one_active_per_entity" not in str(error):
            raise
        raise AlreadyActive("another schedule of the same signal or position is active") from error
    return skipped


def _activate(schedule: WorkflowSchedule, *, now: datetime) -> int:
    length = intervals.length_ms(schedule.interval)
    newest = schedule.runs.order_by("-candle_time").values_list("candle_time", flat=True).first()
    if newest is None:
        # The first candle that closed after the start: the one that was forming then.
        first = intervals.open_time_at(at_ms=clock.to_ms(schedule.started_at), interval=schedule.interval)
    else:
        first = newest + length
    last = intervals.newest_closed(at_ms=clock.to_ms(now), interval=schedule.interval)
    with connection.cursor() as cursor:
        cursor.execute(SKIP_DISABLED, {"schedule": schedule.id, "first": first, "last": last, "length": length, "now": now})
        skipped = cursor.rowcount
    schedule.is_active, schedule.stopped_at, schedule.stop_reason, schedule.stop_note = True, None, "", ""
    schedule.consecutive_errors = 0
    schedule.last_candle_time = max(schedule.last_candle_time or 0, last)
    schedule.save(update_fields=["is_active", "stopped_at", "stop_reason", "stop_note", "consecutive_errors", "last_candle_time"])
    return skipped


def _checked_reason(reason: str) -> str:
    reason = reason.strip()
    if len(reason) < SHORTEST_REASON:
        raise ReasonMissing(f"a reason of at least {SHORTEST_REASON} characters is needed")
    return reason


def _event_data(schedule: WorkflowSchedule, *, reason: str) -> dict[str, object]:
    return {"symbol": schedule.symbol, "interval": schedule.interval, "workflow_type": schedule.workflow_type, "reason": reason}


def _tell(kind: str, text: str, data: dict[str, object], schedule: WorkflowSchedule, *, level: str, now: datetime) -> None:
    event = NewEvent(kind, text, data, level=level, user_id=schedule.user_id, trader_id=schedule.trader_id, schedule_id=schedule.id)
    events.record(event, now=now)


def _audit(action: str, schedule: WorkflowSchedule, actor: Actor, reason: str, now: datetime) -> None:
    audit.record(
        action=action,
        subject=("workflow", str(schedule.id)),
        actor=actor,
        before={"is_active": action == "disable"},
        after={"is_active": action == "enable"},
        reason=reason,
        now=now,
    )
