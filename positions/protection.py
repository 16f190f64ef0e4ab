"""
Stops and targets that rest at the venue: placed, replaced and resized so that a position is never naked for long.

A stop is placed before the one it replaces is cancelled; both only reduce, so that together they can't flip.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from monitoring import events
from monitoring.notifications import notify
from positions import orders
from positions.exchange.contract import LIMIT, STOP_MARKET
from positions.models import Order, Position
from positions.orders import Cause, Intent
from positions.risk import Denied
from positions.telling import about

Leg = Order.Leg
RESTING = (Order.Status.OPEN, Order.Status.PARTIALLY_FILLED)
STOP_ATTEMPTS = 3


def set_stop(position: Position, *, price: Decimal, cause: Cause, now: datetime) -> bool:
    """
    Have a stop for the whole position rest at `price`, then take the former ones away. False if none could be placed.
    """
    former = orders.live(position, Leg.STOP)
    placed = _place(position, Leg.STOP, cause, trigger_price=price)
    if placed is None:
        return False
    for order in former:
        if order.id != placed.id:
            orders.cancel(order)
    Position.objects.filter(id=position.id).update(stop_loss=price)
    position.stop_loss = price
    return True


def set_target(position: Position, *, price: Decimal, cause: Cause) -> bool:
    """Have a target for the whole position rest at `price`. The former one goes first: it is no protection."""
    placed_before = Order.objects.filter(client_order_id=_identity(position, Leg.TARGET, cause, 0)).first()
    for order in orders.live(position, Leg.TARGET):
        if placed_before is None or order.id != placed_before.id:
            orders.cancel(order)
    placed = _place(position, Leg.TARGET, cause, price=price)
    if placed is None:
        return False
    Position.objects.filter(id=position.id).update(take_profit=price)
    position.take_profit = price
    return True


def resize(position: Position, *, cause: Cause, now: datetime) -> bool:
    """After the size changed: stop and target for what is held now."""
    assert position.stop_loss is not None
    assert position.take_profit is not None
    protected = set_stop(position, price=position.stop_loss, cause=cause, now=now)
    set_target(position, price=position.take_profit, cause=cause)
    return protected


def cancel_all(position: Position) -> None:
    """Take every resting order of a position away."""
    for order in orders.live(position):
        orders.cancel(order)


def tell_unprotected(position: Position, *, reason: str, now: datetime) -> None:
    """Say at once that a position has no stop that is known to rest."""
    data = {"symbol": position.symbol, "reason": reason}
    event = about(position, "position_unprotected", f"{position.symbol}: no stop rests: {reason}", data, level=events.CRITICAL)
    notify([events.record(event, now=now)])


def _place(
    position: Position, leg: str, cause: Cause, *, price: Decimal | None = None, trigger_price: Decimal | None = None
) -> Order | None:
    """Place a resting order, raising the generation when the former try is known to be dead."""
    for generation in range(STOP_ATTEMPTS):
        placed = orders.place(
            Intent(
                position=position,
                leg=leg,
                side=orders.exit_side(position),
                type=STOP_MARKET if leg == Leg.STOP else LIMIT,
                quantity=position.contracts,
                cause=cause,
                price=price,
                trigger_price=trigger_price,
                generation=generation,
            )
        )
        if isinstance(placed, Denied):
            return None
        if placed.status in RESTING:
            return placed
        if placed.status not in (Order.Status.REJECTED, Order.Status.CANCELED):
            return None  # unknown or filled: nothing else may be sent before that is clear
    return None


def _identity(position: Position, leg: str, cause: Cause, generation: int) -> str:
    return orders.client_order_id(position_id=position.id, cause=cause.key, leg=leg, generation=generation)
