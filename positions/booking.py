"""
What a venue says of an order, written down: its status and its fills, each once, and what they make of the position.

A fee that is taken out of what was bought leaves less to sell. Only whole steps of it can be sold again; what is over
(dust) stays in the wallet and counts as a cost.

Overfilled   an exit has filled more than is known to be held: what it sold besides is not booked yet
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_DOWN, Decimal

from django.db import transaction

from monitoring import candles, clock, events
from monitoring.models import Instrument
from positions import unprotected
from positions.exchange import accounting
from positions.exchange.accounting import Holding
from positions.exchange.contract import BUY, OrderReport, TradeReport
from positions.models import Fill, Order, Position
from positions.telling import about

Status = Order.Status
FINAL = (Status.FILLED, Status.CANCELED, Status.REJECTED)
AMOUNTS = ["contracts", "initial_contracts", "cost", "entry_price", "realized_pnl", "fees"]


class Overfilled(Exception):
    """An exit has filled more than is known to be held."""


def absorb(order: Order, report: OrderReport, trades: Sequence[TradeReport], *, now: datetime) -> Order:
    """
    Record what the venue says of an order, with the fills that are new; the position follows them exactly.

    :raises Overfilled: if the position would turn to its other side, which no order of ours can make it
    """
    with transaction.atomic():
        position, order = _locked(order)
        before = order.status
        _check_size(order, position, trades)
        instrument = Instrument.objects.filter(market=position.market, symbol=position.symbol).first() if trades else None
        for trade in trades:
            _book(order, position, trade, instrument)
        order.status, order.filled, order.average_price = report.status, report.filled, report.average_price or _average(trades)
        order.exchange_order_id, order.error = report.exchange_order_id, ""
        order.acknowledged_at = order.acknowledged_at or now
        if report.status in FINAL:
            order.finished_at = order.finished_at or now
        order.save()
        position.save(update_fields=AMOUNTS)
        unprotected.note(position_id=position.id, now=now)
        order.position = position
        if order.status != before:
            _tell(order, now)
    return order


def finish(order: Order, status: str, *, error: str, now: datetime) -> Order:
    """Record an outcome that came without a report: refused, not clear, or never arrived."""
    with transaction.atomic():
        _, order = _locked(order)
        before = order.status
        order.status, order.error = status, error[:500]
        order.finished_at = now if status in FINAL else None
        order.save(update_fields=["status", "error", "finished_at"])
        unprotected.note(position_id=order.position_id, now=now)
        if order.status != before:
            _tell(order, now)
    return order


def _locked(order: Order) -> tuple[Position, Order]:
    """The position first, as everywhere: no deadlock."""
    position = Position.objects.select_for_update(no_key=True).get(id=order.position_id)
    rows = Order.objects.select_for_update(no_key=True, of=("self",)).select_related("account", "position__trader")
    return position, rows.get(id=order.id)


def _check_size(order: Order, position: Position, trades: Sequence[TradeReport]) -> None:
    if order.leg in Order.ADDS_EXPOSURE:
        return
    booked = set(Fill.objects.filter(order=order).values_list("exchange_trade_id", flat=True))
    filled = sum((trade.quantity for trade in trades if trade.trade_id not in booked), Decimal(0))
    if filled > position.contracts:
        raise Overfilled(f"it has filled {filled:f}, and {position.contracts:f} is known to be held")


def _average(trades: Sequence[TradeReport]) -> Decimal | None:
    quantity = sum((trade.quantity for trade in trades), Decimal(0))
    return sum((trade.price * trade.quantity for trade in trades), Decimal(0)) / quantity if quantity else None


def _book(order: Order, position: Position, trade: TradeReport, instrument: Instrument | None) -> None:
    """Book a fill once; the unique trade id makes a second look at the same fill change nothing."""
    before = _whole_steps(order, instrument)
    fill, is_new = Fill.objects.get_or_create(
        account=order.account,
        exchange_trade_id=trade.trade_id,
        defaults={
            "order": order,
            "price": trade.price,
            "quantity": trade.quantity,
            "fee": trade.fee,
            "fee_currency": trade.fee_currency,
            "realized": trade.realized,
            "at": clock.at(trade.at_ms),
        },
    )
    if not is_new:
        return
    kept = _whole_steps(order, instrument) - before if order.side == BUY else fill.quantity
    held = Holding(position.sign * position.contracts, position.cost)
    traded = accounting.trade(held, signed_quantity=kept if order.side == BUY else -kept, price=fill.price)
    position.contracts, position.cost = abs(traded.holding.quantity), traded.holding.cost
    position.realized_pnl += traded.realized
    position.fees += accounting.product(fill.price, fill.quantity - kept) if _is_in_base(fill, instrument) else _in_quote(fill, instrument)
    if order.leg in Order.ADDS_EXPOSURE:
        position.initial_contracts += kept
        if position.contracts:
            position.entry_price = position.cost / position.contracts


def _whole_steps(order: Order, instrument: Instrument | None) -> Decimal:
    """What the fills of a buying order have left to sell again."""
    fills = list(Fill.objects.filter(order=order))
    bought = sum((fill.quantity for fill in fills), Decimal(0))
    taken = sum((fill.fee for fill in fills if _is_in_base(fill, instrument)), Decimal(0))
    if not taken or instrument is None:
        return bought
    return ((bought - taken) / instrument.step_size).to_integral_value(rounding=ROUND_DOWN) * instrument.step_size


def _is_in_base(fill: Fill, instrument: Instrument | None) -> bool:
    return instrument is not None and fill.fee_currency == instrument.base and fill.order.side == BUY


def _in_quote(fill: Fill, instrument: Instrument | None) -> Decimal:
    """A fee in a third currency (a discount token) at that currency's last price; uncounted where nobody follows it."""
    if instrument is None or fill.fee_currency in ("", instrument.quote):
        return fill.fee
    last = candles.last_price(market=instrument.market, symbol=f"{fill.fee_currency}{instrument.quote}")
    return accounting.product(last.price, fill.fee) if last else Decimal(0)


def _tell(order: Order, now: datetime) -> None:
    position = order.position
    price = order.average_price or order.trigger_price or order.price
    shown = f"{price.normalize():f}" if price is not None else "market"
    text = f"{order.leg} {order.side} {order.quantity.normalize():f} at {shown}: {order.status}"
    level = events.WARNING if order.status in (Status.REJECTED, Status.UNKNOWN) else events.INFO
    if order.error:
        text = f"{text}, {order.error}"
    data = {
        "symbol": position.symbol,
        "leg": order.leg,
        "side": order.side,
        "quantity": str(order.quantity),
        "status": order.status,
        "price": str(price) if price is not None else None,
        "client_order_id": order.client_order_id,
    }
    events.record(about(position, "order_changed", text, data, level=level), now=now)
