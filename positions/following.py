"""Orders that rest at an exchange and end there without us: stops and targets that fill, or are cancelled by hand."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from positions import orders, trading
from positions.models import ExchangeAccount, Order, Position
from positions.orders import AtVenue

REASONS = {Order.Leg.STOP: "stop", Order.Leg.TARGET: "target"}


def follow(account: ExchangeAccount, there: AtVenue, *, now: datetime, symbols: Collection[str] = ()) -> int:
    """Ask about those of our live orders that do not rest there, and settle positions that went flat; returns how many changed."""
    resting = {order.client_order_id: order for order in there.resting}
    live = Order.objects.select_related("account", "position__trader").filter(account=account, status__in=Order.LIVE)
    if symbols:
        live = live.filter(position__symbol__in=symbols)
    changed = 0
    for order in live.exclude(status=Order.Status.INTENDED).order_by("intended_at"):
        as_we_know = order.status in (Order.Status.OPEN, Order.Status.PARTIALLY_FILLED)
        if as_we_know and order.client_order_id in resting and resting[order.client_order_id].quantity == order.quantity - order.filled:
            continue
        changed += follow_order(order, now=now)
    return changed


def follow_order(order: Order, *, now: datetime) -> bool:
    """Take over how an order stands at its venue; whether it changed."""
    before = (order.status, order.filled)
    followed = orders.refresh(order)
    position = Position.objects.select_related("trader__profile", "account", "signal").get(id=followed.position_id)
    trading.settle(position, reason=REASONS.get(Order.Leg(followed.leg), followed.leg), now=now)
    return (followed.status, followed.filled) != before
