"""
The event log: every kind, the keys of its data, and the one way to write it.

An event is written in the transaction of the change it tells of. A trigger gives it its place in commit order and
wakes the pages when that transaction commits.

UnknownEvent   a kind that is not declared here, or data with other keys than declared
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from monitoring.models import Event

INFO, WARNING, CRITICAL = Event.Level.INFO, Event.Level.WARNING, Event.Level.CRITICAL

KINDS: dict[str, frozenset[str]] = {
    "candle_revised": frozenset({"symbol", "interval", "open_time", "close", "revised_close"}),
    "feed_silent": frozenset({"market", "streams", "example", "seconds"}),
    "clock_skewed": frozenset({"market", "offset_ms"}),
    "signal_created": frozenset({"symbol", "interval", "side", "source", "price", "matched_conditions"}),
    "signal_status_changed": frozenset({"symbol", "interval", "old_status", "new_status", "reason"}),
    "signal_analyzed": frozenset({"symbol", "interval", "decision", "confidence", "reasoning", "outcome"}),
    "monitoring_started": frozenset({"symbol", "interval", "monitoring_interval", "max_monitoring_duration"}),
    "monitoring_decision": frozenset(
        {
            "symbol",
            "interval",
            "decision",
            "confidence",
            "reasoning",
            "price_at_decision",
            "indicators",
            "time_in_monitoring",
            "outcome",
            "latency_ms",
        }
    ),
    "analyst_down": frozenset({"endpoint", "failures", "error"}),
    "analyst_up": frozenset({"endpoint", "failures", "error"}),
    "budget_used_up": frozenset({"scope", "day", "budget_usd", "spent_usd"}),
    "no_decision": frozenset({"symbol", "interval", "workflow_type", "candle_time", "outcome", "error"}),
    "management_action": frozenset(
        {
            "symbol",
            "interval",
            "action",
            "confidence",
            "previous_sl",
            "new_sl",
            "reasoning",
            "current_pnl",
            "current_pnl_pct",
            "outcome",
            "latency_ms",
        }
    ),
    "action_denied": frozenset({"symbol", "action", "code", "reason"}),
    "entry_denied": frozenset({"symbol", "code", "reason"}),
    "order_changed": frozenset({"symbol", "leg", "side", "quantity", "status", "price", "client_order_id"}),
    "position_opened": frozenset({"symbol", "side", "quantity", "entry_price", "stop_loss", "take_profit"}),
    "rule_applied": frozenset({"symbol", "rule", "outcome", "price"}),
    "trader_paused": frozenset({"trader", "reason", "losses"}),
    "position_handled": frozenset({"symbol", "action", "value", "outcome", "by", "reason"}),
    "position_closed": frozenset({"symbol", "side", "realized_pnl", "fees", "reason"}),
    "position_unprotected": frozenset({"symbol", "reason"}),
    "position_drifted": frozenset({"account", "symbol", "code", "text"}),
    "account_armed": frozenset({"account", "armed", "by", "reason", "notional_cap"}),
    "workflow_disabled": frozenset({"symbol", "interval", "workflow_type", "reason", "errors", "last_error"}),
    "workflow_enabled": frozenset({"symbol", "interval", "workflow_type", "reason", "skipped_closes"}),
    "switch_changed": frozenset({"scope", "before", "after", "reason", "by", "source"}),
    "queue_behind": frozenset({"jobs", "waited_s"}),
    "queue_caught_up": frozenset({"jobs", "waited_s"}),
    "session_note": frozenset({"session", "name", "node", "execution"}),
    "session_paused": frozenset({"session", "name", "reason", "errors"}),
    "notification_test": frozenset({"by", "target"}),
    "flatten_progress": frozenset({"scope", "closed", "left", "done"}),
}


class UnknownEvent(ValueError):
    """An event that was not declared."""


@dataclass(frozen=True)
class NewEvent:
    """An event to write, and what it concerns. `user_id` is the owner who may see it."""

    kind: str
    text: str
    data: Mapping[str, Any]
    level: str = INFO
    user_id: UUID | None = None
    trader_id: UUID | None = None
    signal_id: UUID | None = None
    position_id: UUID | None = None
    schedule_id: UUID | None = None

    def __post_init__(self) -> None:
        """:raises UnknownEvent: if the kind or the keys of the data are not as declared"""
        if self.kind not in KINDS:
            raise UnknownEvent(f"event kind was {self.kind!r}")
        if set(self.data) != KINDS[self.kind]:
            raise UnknownEvent(f"data of {self.kind} had {sorted(self.data)}, declared are {sorted(KINDS[self.kind])}")


@dataclass
class Batch:
    """Events collected along the way, to be written together."""

    pending: list[NewEvent] = field(default_factory=list)

    def add(self, event: NewEvent) -> None:
        """Write it with the others."""
        self.pending.append(event)


def record(event: NewEvent, *, now: datetime) -> Event:
    """Write one event in the current transaction."""
    return record_many([event], now=now)[0]


def record_many(new: Iterable[NewEvent], *, now: datetime) -> list[Event]:
    """Write events in the current transaction, in the given order, with one statement."""
    rows = [
        Event(
            at=now,
            kind=event.kind,
            level=event.level,
            text=event.text,
            data=dict(event.data),
            user_id=event.user_id,
            trader_id=event.trader_id,
            signal_id=event.signal_id,
            position_id=event.position_id,
            schedule_id=event.schedule_id,
        )
        for event in new
    ]
    return Event.objects.bulk_create(rows)
