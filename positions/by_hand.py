"""
What an operator does to a position by hand: close it, take part of it off, move its stop or target.

The request is checked and audited at once and carried out by a worker, through the same risk gate and journal as
everything else. A form that is sent twice carries the same nonce, so it leads to one order.

HandError   it can't be asked for like this
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from uuid import UUID

from django.conf import settings
from django.db import transaction

from monitoring import audit, events, jobs
from monitoring.audit import Actor
from positions import trading
from positions.intents import Cause
from positions.leases import Busy
from positions.models import Order, Position
from positions.risk import Denied
from positions.telling import about

CLOSE, REDUCE, STOP, TARGET = "close", "reduce", "adjust_sl", "adjust_tp"
ACTIONS = (CLOSE, REDUCE, STOP, TARGET)
SHORTEST_REASON = 3
TOO_LATE_S = 60.0  # real time; what was asked for then was meant for another market


class HandError(ValueError):
    """It can't be asked for like this."""


@dataclass(frozen=True)
class Wish:
    """What somebody wants done; `value` is a percentage to take off, or a price; empty for a close."""

    position_id: UUID
    action: str
    value: str
    nonce: UUID
    reason: str
    by: str
    asked_at: datetime


def ask(*, position: Position, action: str, value: str, nonce: str, reason: str, actor: Actor, now: datetime) -> None:
    """
    Have a worker do it, once.

    :raises HandError: if the action, its value, the nonce or the reason is no good, or the position is closed
    """
    if action not in ACTIONS:
        raise HandError(f"action was {action!r}, allowed are {', '.join(ACTIONS)}")
    if len(reason.strip()) < SHORTEST_REASON:
        raise HandError(f"a reason of at least {SHORTEST_REASON} characters is needed")
    if position.status == Position.Status.CLOSED:
        raise HandError("the position is closed")
    number = _number(action, value)
    try:
        key = UUID(nonce)
    except ValueError as error:
        raise HandError("the form is broken; load the page again") from error
    before = {"contracts": str(position.contracts), "stop_loss": str(position.stop_loss), "take_profit": str(position.take_profit)}
    with transaction.atomic():
        audit.record(
            action=f"position {action}",
            subject=("position", str(position.id)),
            actor=actor,
            before=before,
            after={"wish": action, "value": str(number) if number is not None else ""},
            reason=reason.strip(),
            now=now,
        )
        jobs.enqueue(
            jobs.Job.ACT_BY_HAND,
            position_id=str(position.id),
            action=action,
            value=str(number or ""),
            nonce=str(key),
            reason=reason.strip(),
            by=actor.name,
            asked_at=now.isoformat(),
        )


def carry_out(wish: Wish, *, now: datetime) -> str:
    """
    Do it, and tell what came of it: *applied*, or why not.

    :raises Busy: while another action is at work on the position
    """
    position = Position.objects.select_related("account", "trader__profile", "signal").get(id=wish.position_id)
    late = now - wish.asked_at > timedelta(seconds=TOO_LATE_S * float(settings.CLOCK_SPEED))
    outcome = str(Denied("late", "no worker was free in time; ask again")) if late else _act(wish, position, now)
    value = f" {wish.value}" if wish.value else ""
    data = {"symbol": position.symbol, "action": wish.action, "value": wish.value, "outcome": outcome, "by": wish.by, "reason": wish.reason}
    level = events.INFO if outcome == trading.APPLIED else events.WARNING
    text = f"{wish.by}: {wish.action}{value}: {outcome} ({wish.reason})"
    events.record(about(position, "position_handled", text, data, level=level), now=now)
    return outcome


def _act(wish: Wish, position: Position, now: datetime) -> str:
    cause = Cause(Order.Cause.OPERATOR, f"hand-{wish.nonce}")
    try:
        match wish.action:
            case "reduce":
                return trading.reduce(position, fraction=Decimal(wish.value) / 100, cause=cause, now=now)
            case "adjust_sl":
                return trading.adjust_stop(position, price=Decimal(wish.value), cause=cause, now=now)
            case "adjust_tp":
                return trading.adjust_target(position, price=Decimal(wish.value), cause=cause, now=now)
        return trading.close(position, cause=cause, reason=f"{wish.by}: {wish.reason}", now=now)
    except Busy:
        position.refresh_from_db()
        if position.status == Position.Status.CLOSED:
            return str(Denied("not_open", "the position is closed"))
        raise


def _number(action: str, value: str) -> Decimal | None:
    if action == CLOSE:
        return None
    try:
        number = Decimal(value.strip())
    except InvalidOperation as error:
        raise HandError(f"a number is needed, was {value!r}") from error
    if not number.is_finite() or number <= 0 or (action == REDUCE and number > 100):
        raise HandError("a percentage between 0 and 100 is needed" if action == REDUCE else "a price above 0 is needed")
    return number
