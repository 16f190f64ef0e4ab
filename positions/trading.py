"""
What can be done with an open position: add, reduce, move stop or target, close.

Every action takes the position for itself by a lease, can be taken up again where it died, and ends in an outcome:
applied, or denied with the reason. None of them runs inside a transaction that spans a call to the venue.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from monitoring import candles, events, schedules, signal_life
from monitoring.models import Signal, WorkflowSchedule
from monitoring.models.schedules import WorkflowType
from monitoring.notifications import notify
from monitoring.signal_life import Move
from positions import booking, gate, intents, leases, orders, protection, risk, streaks
from positions.exchange.contract import MARKET
from positions.intents import Cause, Intent
from positions.models import Order, Position
from positions.risk import Denied, Filters, Holding
from positions.telling import about

Leg, Status = Order.Leg, Position.Status
APPLIED = "applied"
CLOSE_TRIES, CLOSE_PAUSE_S = 4, 0.5


def adjust_stop(position: Position, *, price: Decimal, cause: Cause, now: datetime) -> str:
    """Move the stop; only to reduce the risk."""

    def act(held: Holding) -> str | Denied:
        may_widen = position.trader.profile.may_widen_stop
        allowed = risk.check_stop(price, held=held, filters=_filters(position), may_widen=may_widen)
        if isinstance(allowed, Denied):
            return allowed
        placed = protection.set_stop(position, price=allowed, cause=cause, now=now)
        return APPLIED if placed else Denied("not_placed", f"no stop could be placed at {allowed}; the former one rests on")

    return _act(position, "adjust_sl", _at_price(position, act), now=now)


def adjust_target(position: Position, *, price: Decimal, cause: Cause, now: datetime) -> str:
    """Move the target."""

    def act(held: Holding) -> str | Denied:
        allowed = risk.check_target(price, held=held, filters=_filters(position))
        if isinstance(allowed, Denied):
            return allowed
        placed = protection.set_target(position, price=allowed, cause=cause)
        return APPLIED if placed else Denied("not_placed", f"no target could be placed at {allowed}")

    return _act(position, "adjust_tp", _at_price(position, act), now=now)


def reduce(position: Position, *, fraction: Decimal, cause: Cause, now: datetime) -> str:
    """Take off a fraction of the size that is held now, and resize stop and target."""

    def act(held: Holding) -> str | Denied:
        allowed = risk.check_reduce(fraction, held=held, filters=_filters(position))
        if isinstance(allowed, Denied):
            return allowed
        if allowed == held.quantity:
            return exit_now(position, cause, reason="reduced to nothing", now=now)
        protection.make_room(position)
        intent = Intent(position, Leg.REDUCE, intents.exit_side(position), MARKET, allowed, cause)
        return _after_size_change(position, _placed(intent), cause, now=now)

    return _act(position, "reduce", _at_price(position, act), now=now)


def add(position: Position, *, quantity: Decimal, cause: Cause, now: datetime) -> str:
    """Add to the position within the risk per trade, and resize stop and target."""

    def act(held: Holding) -> str | Denied:
        account = gate.account_of(position.account, trader_id=position.trader_id)
        limits, filters = gate.limits_of(position.trader.profile), _filters(position)
        allowed = risk.check_add(quantity, held=held, limits=limits, account=account, filters=filters)
        if isinstance(allowed, Denied):
            return allowed
        intent = Intent(position, Leg.ADD, intents.entry_side(position), MARKET, allowed, cause)
        return _after_size_change(position, _placed(intent), cause, now=now)

    return _act(position, "add", _at_price(position, act), now=now)


def close(position: Position, *, cause: Cause, reason: str, now: datetime, patience_s: float | None = None) -> str:
    """Close all of it at market, then take its resting orders away; `patience_s` bounds the waiting for what is unclear."""
    return _act(position, "close", lambda: exit_now(position, cause, reason=reason, now=now, patience_s=patience_s), now=now)


def keep_safe(position: Position, *, cause: Cause, now: datetime) -> str:
    """Have a stop for all that is held; if none can be confirmed within the retry budget, close it at market."""

    def act() -> str | Denied:
        return APPLIED if protection.resize(position, cause=cause, now=now) else close_unprotected(position, cause, now=now)

    return _act(position, "protect", act, now=now)


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
    if orders.live(position, *Order.ADDS_EXPOSURE):
        return False  # one whose fate is open may still have added something
    with transaction.atomic():
        locked = (
            Position.objects.select_for_update(no_key=True, of=("self",)).select_related("signal", "trader__profile").get(id=position.id)
        )
        if locked.status == Status.CLOSED:
            return True
        if locked.contracts:  # an order whose fate was open had filled, as its cancelling has shown
            return False
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


def exit_now(position: Position, cause: Cause, *, reason: str, now: datetime, patience_s: float | None = None) -> str | Denied:
    """Close all of it at market, for a caller that holds the lease; then take its resting orders away."""
    until = time.monotonic() + (protection.RETRY_BUDGET_S if patience_s is None else patience_s)
    # A close that is on its way is asked about before another is sent, whoever caused it: selling twice is worse than late.
    for on_its_way in orders.live(position, Leg.CLOSE):
        if orders.clear(on_its_way, until=until).status in Order.LIVE:
            return Denied("unclear", f"close {on_its_way.client_order_id} is not clear yet")
    position.refresh_from_db()
    if position.contracts:
        protection.make_room(position)
        position.refresh_from_db()
    tries = 0
    # Once at least, however little patience is left: its stop may have made room for this.
    while position.contracts and (not tries or (tries < CLOSE_TRIES and time.monotonic() < until)):
        tries += 1
        leases.renew(position)
        former = Order.objects.filter(position=position, cause_id=cause.key, leg=Leg.CLOSE).count()  # all of them are finished
        intent = Intent(position, Leg.CLOSE, intents.exit_side(position), MARKET, position.contracts, cause, generation=former)
        order = orders.place(intent)
        assert not isinstance(order, Denied), "what reduces exposure is never denied by a switch"
        order = orders.clear(order, until=until)
        position.refresh_from_db()
        if order.status in Order.LIVE:
            break
        if order.status == Order.Status.REJECTED:
            time.sleep(CLOSE_PAUSE_S)  # throttled or refused; nothing tells when it would be taken
    settle(position, reason=reason, now=now)
    return APPLIED if position.status == Status.CLOSED else Denied("not_filled", f"{position.contracts} are still held")


def _act(position: Position, action: str, act: Callable[[], str | Denied], *, now: datetime) -> str:
    """Take the position, do it, give it back; a denial becomes an event and the outcome's text."""
    leases.take(position)
    try:
        position.refresh_from_db()
        if position.status != Status.OPEN or not position.contracts:
            return str(Denied("not_open", f"the position is {position.status}"))
        outcome = act()
    finally:
        leases.release(position)
    if isinstance(outcome, Denied):
        data = {"symbol": position.symbol, "action": action, "code": outcome.code, "reason": outcome.reason}
        events.record(about(position, "action_denied", f"{action} {outcome}", data, level=events.WARNING), now=now)
    return str(outcome)


def _at_price(position: Position, act: Callable[[Holding], str | Denied]) -> Callable[[], str | Denied]:
    """An action that is checked against the market; closing and protecting are not: they go out whatever is known of it."""

    def acting() -> str | Denied:
        last = candles.last_price(market=position.market, symbol=position.symbol)
        if last is None:
            return Denied("no_price", f"no close of {position.symbol} is known")
        assert position.stop_loss is not None
        assert position.take_profit is not None
        return act(Holding(position.sign, position.contracts, position.stop_loss, position.take_profit, last.price))

    return acting


def _placed(intent: Intent) -> Order | Denied:
    """The order, once it is clear how it stands."""
    leases.renew(intent.position)
    order = orders.place(intent)
    return order if isinstance(order, Denied) else orders.clear(order, until=time.monotonic() + protection.RETRY_BUDGET_S)


def _after_size_change(position: Position, order: Order | Denied, cause: Cause, *, now: datetime) -> str | Denied:
    if isinstance(order, Denied):
        return order
    position.refresh_from_db()
    if not position.contracts:
        settle(position, reason="reduced to nothing", now=now)
        return APPLIED
    # Also when nothing or only a part was filled: the stop may have had to make room for it.
    if not protection.resize(position, cause=cause, now=now):
        return close_unprotected(position, cause, now=now)
    if order.status not in booking.FINAL or not order.filled:
        return Denied("not_filled", f"the order is {order.status}: {order.error}")
    return APPLIED


def close_unprotected(position: Position, cause: Cause, *, now: datetime) -> str | Denied:
    """Close a position whose stop could not be confirmed, for a caller that holds the lease."""
    position.refresh_from_db()
    if not position.contracts:
        settle(position, reason="stop", now=now)
        return APPLIED
    protection.tell_unprotected(position, reason="no stop could be confirmed; it is closed at market", now=now)
    rule = Cause(Order.Cause.RULE, f"{cause.key[:50]}:unprotected"[:64])
    return exit_now(position, rule, reason="stop could not be placed", now=now)


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
