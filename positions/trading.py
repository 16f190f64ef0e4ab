"""
What can be done with an open position: add, reduce, move stop or target, close.

Every action takes the position for itself by a lease, can be taken up again where it died, and ends in an outcome:
applied, or denied with the reason. None of them runs inside a transaction that spans a call to the venue.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from monitoring import candles, events, schedules, signal_life
from monitoring.models import Signal, WorkflowSchedule
from monitoring.models.schedules import WorkflowType
from monitoring.notifications import notify
from monitoring.signal_life import Move
from positions import gate, leases, orders, protection, risk, streaks
from positions.exchange.contract import MARKET
from positions.models import Order, Position
from positions.orders import Cause, Intent
from positions.risk import Denied, Filters, Holding
from positions.telling import about

Leg, Status = Order.Leg, Position.Status
APPLIED = "applied"


def adjust_stop(position: Position, *, price: Decimal, cause: Cause, now: datetime) -> str:
    """Move the stop; only to reduce the risk."""

    def act(held: Holding) -> str | Denied:
        allowed = risk.check_stop(price, held=held, filters=_filters(position))
        if isinstance(allowed, Denied):
            return allowed
        placed = protection.set_stop(position, price=allowed, cause=cause, now=now)
        return APPLIED if placed else Denied("not_placed", f"no stop could be placed at {allowed}; the former one rests on")

    return _act(position, "adjust_sl", act, now=now)


def adjust_target(position: Position, *, price: Decimal, cause: Cause, now: datetime) -> str:
    """Move the target."""

    def act(held: Holding) -> str | Denied:
        allowed = risk.check_target(price, held=held, filters=_filters(position))
        if isinstance(allowed, Denied):
            return allowed
        placed = protection.set_target(position, price=allowed, cause=cause)
        return APPLIED if placed else Denied("not_placed", f"no target could be placed at {allowed}")

    return _act(position, "adjust_tp", act, now=now)


def reduce(position: Position, *, fraction: Decimal, cause: Cause, now: datetime) -> str:
    """Take off a fraction of the size that is held now, and resize stop and target."""

    def act(held: Holding) -> str | Denied:
        allowed = risk.check_reduce(fraction, held=held, filters=_filters(position))
        if isinstance(allowed, Denied):
            return allowed
        if allowed == held.quantity:
            return exit_now(position, cause, reason="reduced to nothing", now=now)
        intent = Intent(position, Leg.REDUCE, orders.exit_side(position), MARKET, allowed, cause)
        return _after_size_change(position, orders.place(intent), cause, now=now)

    return _act(position, "reduce", act, now=now)


def add(position: Position, *, quantity: Decimal, cause: Cause, now: datetime) -> str:
    """Add to the position within the risk per trade, and resize stop and target."""

    def act(held: Holding) -> str | Denied:
        account = gate.account_of(position.account, trader_id=position.trader_id)
        limits, filters = gate.limits_of(position.trader.profile), _filters(position)
        allowed = risk.check_add(quantity, held=held, limits=limits, account=account, filters=filters)
        if isinstance(allowed, Denied):
            return allowed
        intent = Intent(position, Leg.ADD, orders.entry_side(position), MARKET, allowed, cause)
        return _after_size_change(position, orders.place(intent), cause, now=now)

    return _act(position, "add", act, now=now)


def close(position: Position, *, cause: Cause, reason: str, now: datetime) -> str:
    """Close all of it at market, then take its resting orders away."""
    return _act(position, "close", lambda _: exit_now(position, cause, reason=reason, now=now), now=now)


def resize_protection(position: Position, *, cause: Cause, now: datetime) -> str:
    """Stop and target for what is held now, after somebody died between a fill and their resizing."""

    def act(_: Holding) -> str | Denied:
        resized = protection.resize(position, cause=cause, now=now)
        return APPLIED if resized else Denied("not_placed", "the stop could not be resized; the former one rests on")

    return _act(position, "resize", act, now=now)


def settle(position: Position, *, reason: str, now: datetime) -> bool:
    """
    After fills arrived: if the position is flat, take its other orders away and end it; else keep its stop sized.

    Returns whether it is closed now.
    """
    position.refresh_from_db()
    if position.status == Status.CLOSED:
        return True
    if position.status == Status.OPENING or position.contracts:
        return False
    protection.cancel_all(position)
    with transaction.atomic():
        locked = (
            Position.objects.select_for_update(no_key=True, of=("self",)).select_related("signal", "trader__profile").get(id=position.id)
        )
        if locked.status == Status.CLOSED:
            return True
        locked.status, locked.closed_at, locked.close_reason = Status.CLOSED, now, reason[:64]
        locked.unrealized_pnl, locked.lease_until = Decimal(0), None
        locked.max_pnl = max(locked.max_pnl, locked.realized_pnl - locked.fees)
        locked.save(update_fields=["status", "closed_at", "close_reason", "unrealized_pnl", "max_pnl", "lease_until"])
        schedules.stop(
            workflow_type=WorkflowType.POSITION_MANAGEMENT,
            entity_id=locked.id,
            reason=WorkflowSchedule.StopReason.POSITION_CLOSED,
            now=now,
        )
        if locked.signal and locked.signal.status == Signal.Status.IN_POSITION:
            signal_life.move([Move(locked.signal, Signal.Status.CLOSED, reason)], now=now)
        _tell_closed(locked, reason, now)
        streaks.pause_after_losses(locked, now=now)
    position.refresh_from_db()
    return True


def exit_now(position: Position, cause: Cause, *, reason: str, now: datetime) -> str | Denied:
    """Close all of it at market, for a caller that holds the lease; then take its resting orders away."""
    # A close that is on its way is asked about before another is sent, whoever caused it: selling twice is worse than late.
    for on_its_way in orders.live(position, Leg.CLOSE):
        if orders.refresh(on_its_way).status in Order.LIVE:
            return Denied("unclear", f"close {on_its_way.client_order_id} is not clear yet")
    position.refresh_from_db()
    if position.contracts:
        former = Order.objects.filter(position=position, cause_id=cause.key, leg=Leg.CLOSE).count()  # all of them are finished
        intent = Intent(position, Leg.CLOSE, orders.exit_side(position), MARKET, position.contracts, cause, generation=former)
        order = orders.place(intent)
        assert not isinstance(order, Denied), "what reduces exposure is never denied by a switch"
    settle(position, reason=reason, now=now)
    return APPLIED if position.status == Status.CLOSED else Denied("not_filled", f"{position.contracts} are still held")


def _act(position: Position, action: str, act: Callable[[Holding], str | Denied], *, now: datetime) -> str:
    """Take the position, do it, give it back; a denial becomes an event and the outcome's text."""
    leases.take(position)
    try:
        position.refresh_from_db()
        if position.status != Status.OPEN or not position.contracts:
            return str(Denied("not_open", f"the position is {position.status}"))
        last = candles.last_price(market=position.market, symbol=position.symbol)
        assert last is not None
        assert position.stop_loss is not None
        assert position.take_profit is not None
        held = Holding(position.sign, position.contracts, position.stop_loss, position.take_profit, last.price)
        outcome = act(held)
    finally:
        leases.release(position)
    if isinstance(outcome, Denied):
        data = {"symbol": position.symbol, "action": action, "code": outcome.code, "reason": outcome.reason}
        events.record(about(position, "action_denied", f"{action} {outcome}", data, level=events.WARNING), now=now)
    return str(outcome)


def _after_size_change(position: Position, order: Order | Denied, cause: Cause, *, now: datetime) -> str | Denied:
    if isinstance(order, Denied):
        return order
    position.refresh_from_db()
    if order.status != Order.Status.FILLED:
        return Denied("not_filled", f"the order is {order.status}: {order.error}")
    if not protection.resize(position, cause=cause, now=now):
        protection.tell_unprotected(position, reason="the stop could not be resized", now=now)
    return APPLIED


def _filters(position: Position) -> Filters:
    found = gate.filters_of(market=position.market, symbol=position.symbol)
    assert found is not None, "a position was opened on a known symbol"
    return found


def _tell_closed(position: Position, reason: str, now: datetime) -> None:
    net = position.realized_pnl - position.fees
    data = {
        "symbol": position.symbol,
        "side": position.side,
        "realized_pnl": str(position.realized_pnl),
        "fees": str(position.fees),
        "reason": reason,
    }
    text = f"{position.symbol} is flat, {net:+.2f} after fees: {reason}"
    notify([events.record(about(position, "position_closed", text, data), now=now)])
