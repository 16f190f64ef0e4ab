"""
The close ledger's working side: claim due rows with a lease, finish them once.

A claim carries a token. Only the rows that still carry it can be finished, so a worker that was slow, frozen or
declared dead writes nothing after another has taken over (P3). Leases are real time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from monitoring import events, intervals
from monitoring.candles import CandleKey
from monitoring.events import NewEvent
from monitoring.models import WorkflowSchedule
from monitoring.notifications import notify
from monitoring.schedules import ERROR_LIMIT

DEADLINE_CAP_S = 120  # app time; no decision may take longer, whatever the interval
LEASE_MARGIN_S = 15  # real time, for what surrounds the question
MAX_ATTEMPTS = 3  # a close whose workers died this often is given up

# Positions first: when a limit bites, what is at risk is judged before what may be entered.
CLAIM = """
WITH picked AS (
    SELECT r.id
      FROM workflow_runs r
      JOIN workflow_schedules s ON s.id = r.schedule_id
     WHERE r.candle_time = %(open_time)s AND s.market = %(market)s AND s.interval = %(interval)s AND s.symbol = ANY(%(symbols)s)
       AND (r.status = 'due' OR (r.status = 'claimed' AND r.lease_until < now()))
     ORDER BY s.workflow_type, s.symbol, s.started_at, s.trader_id, r.id
     LIMIT %(limit)s
       FOR UPDATE OF r SKIP LOCKED
)
UPDATE workflow_runs r
   SET status = 'claimed', claimed_by = %(token)s, claimed_at = %(now)s, attempt = r.attempt + 1,
       lease_until = now() + make_interval(secs => %(lease)s)
  FROM picked WHERE r.id = picked.id
RETURNING r.id, r.schedule_id, r.candle_time, r.attempt
"""

FINISH = """
UPDATE workflow_runs r
   SET status = o.status, reason = o.reason, finished_at = %(now)s, lease_until = NULL,
       close_to_decision_ms = to_ms(%(now)s) - (r.candle_time + interval_ms(s.interval))
  FROM unnest(%(id)s::uuid[], %(status)s::text[], %(reason)s::text[]) AS o(id, status, reason), workflow_schedules s
 WHERE r.id = o.id AND r.status = 'claimed' AND r.claimed_by = %(token)s AND s.id = r.schedule_id
RETURNING r.id
"""

# `last_candle_time` only rises. A success resets the count of errors; a shared cause leaves it as it is.
SETTLE = """
UPDATE workflow_schedules s
   SET last_run_at = %(now)s,
       last_candle_time = greatest(s.last_candle_time, o.candle_time),
       execution_count = s.execution_count + (o.effect = 'success')::int,
       consecutive_errors = CASE o.effect WHEN 'success' THEN 0 WHEN 'fault' THEN s.consecutive_errors + 1 ELSE s.consecutive_errors END,
       last_error = CASE WHEN o.error <> '' THEN o.error ELSE s.last_error END,
       last_error_at = CASE WHEN o.error <> '' THEN %(now)s ELSE s.last_error_at END,
       is_active = s.is_active AND o.stop = '' AND NOT (o.effect = 'fault' AND s.consecutive_errors + 1 >= %(limit)s),
       stopped_at = CASE WHEN NOT s.is_active THEN s.stopped_at
                         WHEN o.stop <> '' OR (o.effect = 'fault' AND s.consecutive_errors + 1 >= %(limit)s) THEN %(now)s END,
       stop_reason = CASE WHEN NOT s.is_active THEN s.stop_reason
                          WHEN o.stop <> '' THEN o.stop
                          WHEN o.effect = 'fault' AND s.consecutive_errors + 1 >= %(limit)s THEN 'error_limit_exceeded' ELSE '' END
  FROM unnest(%(id)s::uuid[], %(candle_time)s::bigint[], %(effect)s::text[], %(error)s::text[], %(stop)s::text[])
       AS o(id, candle_time, effect, error, stop)
 WHERE s.id = o.id
RETURNING s.id, s.is_active, s.stop_reason, o.effect
"""


@dataclass(frozen=True)
class Run:
    """A claimed ledger row with its schedule."""

    id: UUID
    schedule: WorkflowSchedule
    candle_time: int
    attempt: int

    @property
    def key(self) -> CandleKey:
        """The close it is about."""
        return CandleKey(self.schedule.market, self.schedule.symbol, self.schedule.interval, self.candle_time)


@dataclass(frozen=True)
class Outcome:
    """
    How a run ends. `effect` on the schedule's count of errors: success resets, fault counts, neutral is a shared cause.

    `stop` is the reason to stop the schedule for, if any.
    """

    run: Run
    status: str
    reason: str
    effect: str
    error: str = ""
    stop: str = ""


def claim(*, market: str, interval: str, open_time: int, symbols: Sequence[str], limit: int, token: UUID, now: datetime) -> list[Run]:
    """Claim up to `limit` rows of these closes that are due, or whose lease ran out."""
    lease = min(intervals.length_ms(interval) / 1000, DEADLINE_CAP_S) / float(settings.CLOCK_SPEED) + LEASE_MARGIN_S
    arguments: dict[str, Any] = {
        "market": market,
        "interval": interval,
        "open_time": open_time,
        "symbols": list(symbols),
        "limit": limit,
        "token": token,
        "now": now,
        "lease": lease,
    }
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, arguments)
        rows = cursor.fetchall()
    schedules = WorkflowSchedule.objects.in_bulk([row[1] for row in rows])
    runs = [Run(id=row[0], schedule=schedules[row[1]], candle_time=row[2], attempt=row[3]) for row in rows]
    return sorted(runs, key=_place)


def _place(run: Run) -> tuple[Any, ...]:
    """Who comes first when something runs out: the same order whenever the same day is run again."""
    schedule = run.schedule
    return schedule.workflow_type, schedule.symbol, schedule.started_at, schedule.trader_id, run.id


def finish(outcomes: Iterable[Outcome], *, token: UUID, now: datetime) -> set[UUID]:
    """
    Give runs their final outcome in the current transaction; returns those that were still ours.

    Nothing else may be recorded for the others: somebody else has taken them over.
    """
    rows = sorted(outcomes, key=lambda outcome: outcome.run.id)
    with connection.cursor() as cursor:
        cursor.execute(
            FINISH,
            {
                "now": now,
                "token": token,
                "id": [outcome.run.id for outcome in rows],
                "status": [outcome.status for outcome in rows],
                "reason": [outcome.reason for outcome in rows],
            },
        )
        return {row[0] for row in cursor.fetchall()}


def settle(outcomes: Iterable[Outcome], *, now: datetime) -> None:
    """Bring the schedules up to date, and switch off those with five faults in a row (P8), telling their owners."""
    rows = sorted(outcomes, key=lambda outcome: outcome.run.schedule.id)
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            SETTLE,
            {
                "now": now,
                "limit": ERROR_LIMIT,
                "id": [outcome.run.schedule.id for outcome in rows],
                "candle_time": [outcome.run.candle_time for outcome in rows],
                "effect": [outcome.effect for outcome in rows],
                "error": [outcome.error[:2000] for outcome in rows],
                "stop": [outcome.stop for outcome in rows],
            },
        )
        settled = cursor.fetchall()
    switched_off = {row[0] for row in settled if row[2] == "error_limit_exceeded" and row[3] == "fault"}
    disabled = [_disabled(outcome) for outcome in rows if outcome.run.schedule.id in switched_off]
    if disabled:
        notify(events.record_many(disabled, now=now))


def _disabled(outcome: Outcome) -> NewEvent:
    schedule = outcome.run.schedule
    return NewEvent(
        "workflow_disabled",
        f"{schedule} switched off after {ERROR_LIMIT} failures in a row: {outcome.error[:200]}",
        {
            "symbol": schedule.symbol,
            "interval": schedule.interval,
            "workflow_type": schedule.workflow_type,
            "reason": "error_limit_exceeded",
            "errors": ERROR_LIMIT,
            "last_error": outcome.error[:500],
        },
        level=events.CRITICAL,
        user_id=schedule.user_id,
        trader_id=schedule.trader_id,
        schedule_id=schedule.id,
        signal_id=schedule.entity_id if schedule.workflow_type == "signal_monitoring" else None,
        position_id=schedule.entity_id if schedule.workflow_type == "position_management" else None,
    )
