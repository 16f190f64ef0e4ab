"""The one way a signal changes its status: in sets, only from where it stands, with its event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from monitoring import events
from monitoring.events import NewEvent
from monitoring.models import Signal

ENDED = (Signal.Status.CLOSED, Signal.Status.EXPIRED)

MOVE = """
UPDATE signals s
   SET status = m.new, close_reason = CASE WHEN m.new IN ('closed', 'expired') THEN m.reason ELSE s.close_reason END,
       closed_at = CASE WHEN m.new IN ('closed', 'expired') THEN %(now)s ELSE s.closed_at END,
       monitoring_started_at = CASE WHEN m.new = 'monitoring' THEN coalesce(s.monitoring_started_at, %(now)s)
                                    ELSE s.monitoring_started_at END,
       position_opened_at = CASE WHEN m.new = 'in_position' THEN %(now)s ELSE s.position_opened_at END,
       lease_until = NULL, claimed_by = NULL
  FROM unnest(%(id)s::uuid[], %(old)s::text[], %(new)s::text[], %(reason)s::text[]) AS m(id, old, new, reason)
 WHERE s.id = m.id AND s.status = m.old
RETURNING s.id
"""


@dataclass(frozen=True)
class Move:
    """One signal from the status it was read with to another. `reason` is shown, and kept when it ends."""

    signal: Signal
    new: str
    reason: str = ""


def move(moves: Iterable[Move], *, now: datetime) -> list[Signal]:
    """
    Apply the moves in the current transaction; a signal that no longer stands where it was read is left alone.

    Returns those that moved, in the order given, with their new status set.
    """
    asked = list(moves)
    rows = sorted(asked, key=lambda m: m.signal.id)  # one order of locks for everybody
    if not rows:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            MOVE,
            {
                "now": now,
                "id": [m.signal.id for m in rows],
                "old": [m.signal.status for m in rows],
                "new": [m.new for m in rows],
                "reason": [m.reason for m in rows],
            },
        )
        moved = {row[0] for row in cursor.fetchall()}
    done = [m for m in asked if m.signal.id in moved]
    events.record_many((_event(m) for m in done), now=now)
    for m in done:
        m.signal.status = m.new
    return [m.signal for m in done]


def _event(m: Move) -> NewEvent:
    signal = m.signal
    data = {
        "symbol": signal.symbol,
        "interval": signal.interval,
        "old_status": signal.status,
        "new_status": m.new,
        "reason": m.reason,
    }
    text = f"{signal.symbol}: {signal.status} → {m.new}{f', {m.reason}' if m.reason else ''}"
    return NewEvent("signal_status_changed", text, data, user_id=signal.user_id, trader_id=signal.trader_id, signal_id=signal.id)
