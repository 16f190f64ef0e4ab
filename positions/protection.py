"""
Stops and targets that rest at the venue: placed, replaced and resized so that a position is never naked for long.

A stop is placed before the one it replaces is cancelled; both only reduce, so that together they can't flip. Where a
resting order holds its quantity back (spot) the former stop has to go first: the gap is counted, no target rests, and
the mechanical rules watch it instead.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from monitoring import events
from monitoring.notifications import notify
from positions import intents, leases, orders, venue
from positions.exchange.contract import LIMIT, STOP_MARKET
from positions.intents import Cause, Intent
from positions.models import Order, Position
from positions.risk import Denied
from positions.telling import about

Leg, Status = Order.Leg, Order.Status
RESTING = (Status.OPEN, Status.PARTIALLY_FILLED)
STOP_ATTEMPTS = 3  # that the venue refuses for good
RETRY_BUDGET_S = 45.0  # real time for all that is unclear or throttled: longer than the venue takes to settle
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 3.0


def set_stop(position: Position, *, price: Decimal, cause: Cause, now: datetime) -> bool:
    """
    Have a stop for the whole position rest at `price`, then take the former ones away. False if none could be placed.
    """
    former = orders.live(position, Leg.STOP)
    resting = next((order for order in former if fits(order, position, price)), None)
    if resting is None:
        if not venue.features(position.account).exits_share:
            _cancel(former)
            position.refresh_from_db()
            if not position.contracts:  # it filled before it could be cancelled
                return False
        resting = _place(position, Leg.STOP, cause, trigger_price=price)
        if resting is None:
            return False
    _cancel([order for order in former if order.id != resting.id])
    Position.objects.filter(id=position.id).update(stop_loss=price)
    position.stop_loss = price
    return True


def set_target(position: Position, *, price: Decimal, cause: Cause) -> bool:
    """Have a target for the whole position rest at `price`. The former one goes first: it is no protection."""
    if venue.features(position.account).exits_share:
        live = orders.live(position, Leg.TARGET)
        resting = next((order for order in live if fits(order, position, price)), None)
        _cancel([order for order in live if resting is None or order.id != resting.id])
        if resting is None and _place(position, Leg.TARGET, cause, price=price) is None:
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
    _cancel(orders.live(position))


def tell_unprotected(position: Position, *, reason: str, now: datetime) -> None:
    """Say at once that a position has no stop that is known to rest."""
    data = {"symbol": position.symbol, "reason": reason}
    event = about(position, "position_unprotected", f"{position.symbol}: no stop rests: {reason}", data, level=events.CRITICAL)
    notify([events.record(event, now=now)])


def make_room(position: Position) -> None:
    """Before selling at market: take away resting exits that would hold the quantity back."""
    if not venue.features(position.account).exits_share:
        _cancel(orders.live(position, Leg.STOP, Leg.TARGET))


def _place(
    position: Position, leg: str, cause: Cause, *, price: Decimal | None = None, trigger_price: Decimal | None = None
) -> Order | None:
    """
    Place a resting order, raising the generation when the former try is known to be dead.

    What is unclear is asked about until it is clear. None when the venue refuses for good, when it has filled, or when
    the retry budget is used up.
    """
    until, refused, pause_s = time.monotonic() + RETRY_BUDGET_S, 0, FIRST_PAUSE_S
    generation = 0
    while True:
        leases.renew(position)
        placed = orders.place(
            Intent(
                position=position,
                leg=leg,
                side=intents.exit_side(position),
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
        placed = orders.clear(placed, until=until)
        if placed.status in RESTING:
            if placed.quantity - placed.filled == position.contracts:
                return placed
            placed = orders.cancel(placed)  # of this cause, before the size changed
        if placed.status not in (Status.REJECTED, Status.CANCELED) or orders.is_beyond_market(placed):
            return None  # filled, still not clear, or the market is past it: nothing else may or can be sent
        refused += not orders.is_throttled(placed)
        if refused >= STOP_ATTEMPTS or time.monotonic() >= until:
            return None
        if orders.is_throttled(placed):
            time.sleep(pause_s)  # the venue said no to everybody; nothing tells when it listens again
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        generation += 1


def fits(order: Order, position: Position, price: Decimal) -> bool:
    """Whether an order that rests is already what is wanted."""
    at_price = (order.trigger_price or order.price) == price
    return order.status in RESTING and at_price and order.quantity - order.filled == position.contracts


def _cancel(live: Sequence[Order]) -> None:
    for order in live:
        orders.cancel(order)
