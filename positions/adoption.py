"""
Taking over what somebody did at the exchange by hand: a position opened there, or trades with one of ours.

A position gets a trader (the first running one that trades through the account), a stop, a target and a workflow. Its size and
cost are the exchange's; no fill is made up for it.
"""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import IntegrityError, transaction

from monitoring import candles, clock, events, schedules
from monitoring.models import Trader
from monitoring.models.schedules import WorkflowType
from monitoring.notifications import notify
from positions import gate, orders, sizing, trading, venue
from positions.exchange.contract import BUY, Held
from positions.intents import Cause
from positions.models import ExchangeAccount, Order, Position, TradingProfile
from positions.telling import about

LOOK_BACK = timedelta(hours=24)  # spot lists the fills of a day at once
STOP_PCT, TARGET_R = Decimal(2), Decimal(2)  # percent of the market price; reward over risk


def adopt(account: ExchangeAccount, symbol: str, *, now: datetime) -> bool:
    """Make it a position of ours; False when there is no trader for it, no price, or it is gone meanwhile."""
    held = venue.at_venue(account).holdings.get(symbol)
    running = TradingProfile.objects.filter(account=account, trader__state=Trader.State.RUNNING)
    profile = running.select_related("trader").order_by("trader__created_at").first()
    if held is None or held.cost is None or profile is None:
        return False
    position = _created(account, symbol, held, profile, now=now)
    if position is None:
        return False
    cause = Cause(Order.Cause.RECONCILIATION, f"adopt-{clock.to_ms(now)}")
    trading.keep_safe(position, cause=cause, now=now)
    return True


def adopt_trades(position: Position, *, now: datetime) -> bool:
    """
    Book what somebody did at the exchange with a position of ours, if it explains the difference exactly.

    Only fills that the exchange lists; False when they don't add up to what it holds.
    """
    since = max(position.opened_at or position.created_at, now - LOOK_BACK)
    outside = venue.outside_trades(position, since=since)
    signed = [row.trade.quantity * (1 if row.side == BUY else -1) for rows in outside.values() for row in rows]
    held = venue.at_venue(position.account).holdings.get(position.symbol)
    there = held.quantity if held else Decimal(0)
    if not signed or position.sign * position.contracts + sum(signed) != there or there * position.sign < 0:
        return False
    if any(held < 0 for held in itertools.accumulate((position.sign * amount for amount in signed), initial=position.contracts)):
        return False  # it was turned to its other side and back
    for exchange_order_id, rows in outside.items():
        orders.take_over(position, exchange_order_id, rows)
    if not trading.settle(position, reason="closed at the exchange", now=now):
        trading.keep_safe(position, cause=Cause(Order.Cause.RECONCILIATION, f"adopt-{clock.to_ms(now)}"), now=now)
    return True


def _created(account: ExchangeAccount, symbol: str, held: Held, profile: TradingProfile, *, now: datetime) -> Position | None:
    filters, last = gate.filters_of(market=account.market, symbol=symbol), candles.last_price(market=account.market, symbol=symbol)
    if filters is None or last is None or held.cost is None:
        return None
    sign, size = (1 if held.quantity > 0 else -1), abs(held.quantity)
    risk = last.price * STOP_PCT / 100
    stop = sizing.stop_price(last.price - sign * risk, sign=sign, tick=filters.tick)
    target = sizing.target_price(last.price + sign * risk * TARGET_R, sign=sign, tick=filters.tick)
    trader = profile.trader
    try:
        with transaction.atomic():
            position = Position.objects.create(
                account=account,
                trader=trader,
                market=account.market,
                symbol=symbol,
                side="long" if sign > 0 else "short",
                status=Position.Status.OPEN,
                contracts=size,
                planned_contracts=size,
                initial_contracts=size,
                cost=held.cost,
                entry_price=held.cost / size,
                stop_loss=stop,
                initial_stop_loss=stop,
                take_profit=target,
                opened_at=now,
                created_at=now,
                unprotected_since=now,
            )
            schedules.start(
                workflow_type=WorkflowType.POSITION_MANAGEMENT,
                entity_id=position.id,
                trader=trader,
                symbol=symbol,
                interval=profile.management_interval or trader.interval,
                now=now,
            )
            _tell_opened(position, now=now)
    except IntegrityError:
        return None  # somebody opened one of ours meanwhile
    return position


def _tell_opened(position: Position, *, now: datetime) -> None:
    assert position.stop_loss is not None
    size, stop = position.contracts, position.stop_loss
    text = f"taken over from the exchange: {position.side} {size.normalize():f} {position.symbol}, stop {stop.normalize():f}"
    data = {
        "symbol": position.symbol,
        "side": position.side,
        "quantity": str(size),
        "entry_price": str(position.entry_price),
        "stop_loss": str(stop),
        "take_profit": str(position.take_profit),
    }
    notify([events.record(about(position, "position_opened", text, data, level=events.WARNING), now=now)])
