"""Jobs that django-q runs: each translates its arguments and makes one call."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from monitoring import clock, controls, events, intervals, jobs
from monitoring.audit import Actor
from positions import by_hand, leases, mechanical, opening, orders, reconciliation, trading
from positions import flatten as flattening
from positions.intents import Cause
from positions.models import ExchangeAccount, Order, Position, PositionManagementDecision
from positions.position_workflow import management_event
from positions.risk import Denied

FLATTEN_S, FLATTEN_PAUSE_S = 30.0, 1.0  # then another job goes on: this one must end before the queue kills it
BUSY_TRIES, BUSY_PAUSE_S = 40, 0.25
Outcome = TypeVar("Outcome")


def open_position(*, analysis_id: str, **_: Any) -> None:
    """Open the position that an entering answer asked for."""
    opening.open_position(analysis_id=UUID(analysis_id), now=clock.now())


def act_on_decision(*, decision_id: str, **_: Any) -> None:
    """Carry out a management decision once, and record its outcome."""
    row = (
        PositionManagementDecision.objects.select_related("position__trader__profile", "position__account", "run__schedule", "analysis")
        .filter(id=UUID(decision_id), outcome="")
        .first()
    )
    if row is None:
        return
    now = clock.now()
    position, previous_stop = row.position, row.position.stop_loss
    late = now - row.timestamp > timedelta(milliseconds=intervals.length_ms(row.run.schedule.interval))
    if late:
        outcome = str(Denied("late", "the next candle has closed"))
    else:
        outcome = str(_halted(row) or _once_free(f"position {position.id}, whose decision is due,", lambda: _act(row)))
    if not PositionManagementDecision.objects.filter(id=row.id, outcome="").update(outcome=outcome[:200]):
        return
    position.refresh_from_db()
    row.outcome = outcome
    events.record(management_event(row, position=position, previous_stop=previous_stop, now=now), now=now)


def act_by_hand(*, position_id: str, action: str, value: str, nonce: str, reason: str, by: str, asked_at: str, **_: Any) -> None:
    """Carry out what an operator asked for; comes back while another action is at work on the position."""
    wish = by_hand.Wish(UUID(position_id), action, value, UUID(nonce), reason, by, datetime.fromisoformat(asked_at))
    _once_free(f"position {position_id}, which {by} asked to {action},", lambda: by_hand.carry_out(wish, now=clock.now()))


def apply_rules(*, position_id: str, interval: str, open_time: int, **_: Any) -> None:
    """Apply the mechanical rules of a position at an exchange at one close."""

    def apply() -> None:
        mechanical.apply(position_id=UUID(position_id), interval=interval, open_time=open_time, now=clock.now())

    _once_free(f"position {position_id}, whose rules are due,", apply)


def reconcile(*, account_id: str, **_: Any) -> None:
    """Compare an account with its exchange."""
    reconciliation.reconcile(ExchangeAccount.objects.get(id=UUID(account_id)), now=clock.now())


def flatten(*, scope: str, reason: str, by: str, source: str, **_: Any) -> None:
    """Close what is held in a scope, and halt it once the venue is flat."""
    until = time.monotonic() + FLATTEN_S
    while time.monotonic() < until:
        try:
            flattening.flatten(scope=scope, reason=reason, actor=Actor(by, source), now=clock.now())
            return
        except flattening.NotFlat:
            time.sleep(FLATTEN_PAUSE_S)  # the venue is asked again; nothing tells when it will be flat
    # Never given up: the queue's own retry would come too late for this.
    jobs.enqueue(jobs.Job.FLATTEN, scope=scope, reason=reason, by=by, source=source)


def _once_free(what: str, act: Callable[[], Outcome]) -> Outcome:
    """:raises leases.Busy: if another action stays at work on the position"""
    for _try in range(BUSY_TRIES):
        try:
            return act()
        except leases.Busy:
            time.sleep(BUSY_PAUSE_S)  # nothing tells when the other action is done
    raise leases.Busy(f"{what} was busy for {BUSY_TRIES * BUSY_PAUSE_S:.0f} s")


def _halted(row: PositionManagementDecision) -> Denied | None:
    """While halted an analyst's decision only moves the stop: everything else is the operator's, and the rules' that protect."""
    halt = controls.strictest(controls.open_halts(), orders.scopes_of(row.position))
    if halt is None or halt.state != controls.HALTED or row.action in ("adjust_sl", "hold"):
        return None
    return Denied("halted", f"{halt.scope} is halted by {halt.halted_by}: {halt.reason}")


def _act(row: PositionManagementDecision) -> str:
    cause = Cause(Order.Cause.DECISION, str(row.id), row.analysis_id)
    position, details, now = row.position, row.action_details, clock.now()
    position.refresh_from_db(fields=["status"])
    if position.status == Position.Status.CLOSED:
        return str(Denied("not_open", "the position was closed meanwhile"))
    match row.action:
        case "adjust_sl":
            return trading.adjust_stop(position, price=Decimal(details["newStopLoss"]), cause=cause, now=now)
        case "adjust_tp":
            return trading.adjust_target(position, price=Decimal(details["newTakeProfit"]), cause=cause, now=now)
        case "reduce":
            return trading.reduce(position, fraction=Decimal(details["reduceAmount"]), cause=cause, now=now)
        case "add":
            return trading.add(position, quantity=Decimal(details["addAmount"]), cause=cause, now=now)
        case "close":
            return trading.close(position, cause=cause, reason="analyst: close", now=now)
    return str(Denied("unknown_action", row.action))
