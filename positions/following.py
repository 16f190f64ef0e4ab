"""Orders that rest at an exchange and end there without us: stops and targets that fill, or are cancelled by hand."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import datetime

from positions import orders, trading
from positions.models import ExchangeAccount, Order, Position
from positions.venue import AtVenue

REASONS = {Order.Leg.STOP: "stop", Order.Leg.TARGET: "target"}


def follow(account: ExchangeAccount, there: AtVenue, *, now: datetime, symbols: Collection[str] = (), patience_s: float = 0.0) -> int:
    """
    Ask about those of our live orders that do not rest there, and settle positions that went flat; returns how many changed.

    :param patience_s: real time to go on asking about an order whose fate is open
    """
    resting = {order.client_order_id: order for order in there.resting}
    live = Order.objects.select_related("account", "position__trader").filter(account=account, status__in=Order.LIVE)
    if symbols:
        live = live.filter(position__symbol__in=symbols)
    changed = 0
    for order in live.exclude(status=Order.Status.INTENDED).order_by("intended_at"):
        as_we_know = order.status in (Order.Status.OPEN, Order.Status.PARTIALLY_FILLED)
        if as_we_know and order.client_order_id in resting and resting[order.client_order_id].quantity == order.quantity - order.filled:
            continue
        changed += follow_order(order, now=now, patience_s=patience_s)
    return changed


def follow_order(order: Order, *, now: datetime, patience_s: float = 0.0) -> bool:
    """Take over how an order stands at its venue; whether it changed."""
    before = (order.status, order.filled)
    followed = orders.clear(orders.refresh(order), until=time.monotonic() + patience_s)
    position = Position.objects.select_related("trader__profile", "account", "signal").get(id=followed.position_id)
    trading.settle(position, reason=REASONS.get(Order.Leg(followed.leg), followed.leg), now=now)
    return (followed.status, followed.filled) != before
