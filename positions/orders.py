"""
The order journal, and the only door to an exchange (P4).

An order is committed as an intent before the exchange is called. Its client order id follows from (position, cause,
leg, generation), so that a job that runs twice finds its own order instead of sending another. An unclear answer
leaves the order *unknown*: the exchange is asked by client order id before anything else is sent.

OrderError
  InsideTransaction   an exchange would be called while a transaction is open
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from monitoring import clock, controls, events
from monitoring.models import Halt, WorkflowSchedule
from positions import unprotected
from positions.exchange import accounting
from positions.exchange.accounting import Holding
from positions.exchange.contract import (
    BUY,
    SELL,
    Balance,
    Exchange,
    ExchangeError,
    OrderNotFound,
    OrderReport,
    OrderRequest,
    Rejected,
    TradeReport,
    Unclear,
)
from positions.exchange.factory import exchange_for
from positions.models import ExchangeAccount, Fill, Order, Position
from positions.risk import Denied
from positions.telling import about

logger = logging.getLogger(__name__)
Leg, Status = Order.Leg, Order.Status
FINAL = (Status.FILLED, Status.CANCELED, Status.REJECTED)


class OrderError(Exception):
    """An order can't be handled as asked."""


class InsideTransaction(OrderError):
    """An exchange would be called while a transaction is open."""


@dataclass(frozen=True)
class Cause:
    """Why an order is sent: a decision, a rule, an operator or reconciliation, and the key of it."""

    kind: str
    key: str
    analysis_id: UUID | None = None


@dataclass(frozen=True)
class Intent:
    """An order to send for a position. Quantity in base, prices in quote."""

    position: Position
    leg: str
    side: str
    type: str
    quantity: Decimal
    cause: Cause
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    generation: int = 0

    @property
    def reduce_only(self) -> bool:
        """Everything but an entry and an add only ever takes exposure away."""
        return self.leg not in Order.ADDS_EXPOSURE


def client_order_id(*, position_id: UUID, cause: str, leg: str, generation: int) -> str:
    """32 hex digits, the same for the same intent; every venue accepts them."""
    return hashlib.sha256(f"{position_id}|{cause}|{leg}|{generation}".encode()).hexdigest()[:32]


def entry_side(position: Position) -> str:
    """The side that opens the position."""
    return BUY if position.sign > 0 else SELL


def exit_side(position: Position) -> str:
    """The side that closes it."""
    return SELL if position.sign > 0 else BUY


def place(intent: Intent) -> Order | Denied:
    """
    Send an order once, whatever happens, and return how it stands. What adds exposure is denied by an open switch.

    1. Commit the intent, or find it: a job that runs again takes up where it died.
    2. Never sent: send it. Sent or unknown: ask the exchange by client order id first.
    3. Commit the outcome with its fills.

    :raises InsideTransaction: if a transaction is open
    """
    _outside_transaction()
    if intent.leg not in Order.ADDS_EXPOSURE or _was_sent(intent):
        return _place(intent)
    applying = _scopes(intent.position)
    if halt := controls.strictest(controls.open_halts(), applying):
        return _denied(halt)
    # Committed before the switch is read for good: a halt that gives up waiting for whoever has read it can then name
    # the order, wherever its sender is held up.
    order, _ = _intend(intent)
    with controls.sending_exposure(applying) as halt:
        if halt:
            _finish(order, Status.REJECTED, error=str(_denied(halt)))
            return _denied(halt)
        return _place(intent)


def cancel(order: Order) -> Order:
    """Cancel a resting order and return how it stands; it may have filled instead."""
    _outside_transaction()
    exchange = exchange_for(order.account)
    try:
        report = exchange.cancel(symbol=order.position.symbol, client_order_id=order.client_order_id)
    except OrderNotFound:
        return _finish(order, Status.CANCELED, error="the exchange does not know it")
    except Unclear as error:
        return _finish(order, Status.UNKNOWN, error=str(error))
    return absorb(order, report, exchange)


def refresh(order: Order) -> Order:
    """Ask the exchange how an order stands, and record what it says."""
    _outside_transaction()
    exchange = exchange_for(order.account)
    try:
        report = exchange.order(symbol=order.position.symbol, client_order_id=order.client_order_id)
    except OrderNotFound:
        # Only a venue that answers reads in order may be believed at once; the paper exchange does.
        return _finish(order, Status.REJECTED, error="it never reached the exchange")
    except Unclear:
        return order
    return absorb(order, report, exchange)


def live(position: Position, *legs: str) -> list[Order]:
    """Orders of a position that may still fill."""
    found = Order.objects.select_related("account", "position").filter(position=position, status__in=Order.LIVE)
    return list(found.filter(leg__in=legs) if legs else found)


def balance(account: ExchangeAccount) -> Balance:
    """The account's quote currency at its venue."""
    return exchange_for(account).balance()


def held(position: Position) -> Decimal:
    """The size that the venue itself says is held of the position's symbol, positive."""
    return abs(exchange_for(position.account).held(symbol=position.symbol).quantity)


def in_flight() -> Iterable[Mapping[str, Any]]:
    """Orders that add exposure and whose answer is still out; what a halt reports."""
    rows = Order.objects.filter(leg__in=Order.ADDS_EXPOSURE, status__in=(Status.INTENDED, Status.SENT, Status.UNKNOWN))
    return list(rows.values("id", "client_order_id", "leg", "side", "quantity", "position__symbol", "status"))


def absorb(order: Order, report: OrderReport, exchange: Exchange) -> Order:
    """Record what the venue says of an order, with the fills that are new; the position follows them exactly."""
    trades = exchange.trades(symbol=order.position.symbol, client_order_id=order.client_order_id) if report.filled else []
    now = clock.now()
    with transaction.atomic():
        position = Position.objects.select_for_update(no_key=True).get(id=order.position_id)
        order = Order.objects.select_for_update(no_key=True, of=("self",)).select_related("account", "position").get(id=order.id)
        before = order.status
        for trade in trades:
            _book(order, position, trade)
        order.status, order.filled, order.average_price = report.status, report.filled, report.average_price
        order.exchange_order_id, order.error = report.exchange_order_id, ""
        order.acknowledged_at = order.acknowledged_at or now
        if report.status in FINAL:
            order.finished_at = order.finished_at or now
        order.save()
        position.save(update_fields=["contracts", "initial_contracts", "cost", "entry_price", "realized_pnl", "fees"])
        unprotected.note(position_id=position.id, now=now)
        order.position = position
        if order.status != before:
            _tell(order, now)
    return order


def _place(intent: Intent) -> Order:
    order, is_new = _intend(intent)
    if order.status in FINAL or order.status in (Status.OPEN, Status.PARTIALLY_FILLED):
        return order
    if not is_new and order.status != Status.INTENDED:
        return refresh(order)
    order.status, order.sent_at = Status.SENT, clock.now()
    order.save(update_fields=["status", "sent_at"])
    exchange = exchange_for(order.account)
    request = OrderRequest(
        client_order_id=order.client_order_id,
        symbol=intent.position.symbol,
        side=order.side,
        type=order.type,
        quantity=order.quantity,
        price=order.price,
        trigger_price=order.trigger_price,
        reduce_only=order.reduce_only,
    )
    try:
        report = exchange.place(request)
    except Rejected as error:
        return _finish(order, Status.REJECTED, error=str(error))
    except ExchangeError as error:
        return _finish(order, Status.UNKNOWN, error=str(error))
    return absorb(order, report, exchange)


def _denied(halt: Halt) -> Denied:
    return Denied("halted", f"{halt.scope} is {halt.state} by {halt.halted_by}: {halt.reason}")


def _scopes(position: Position) -> tuple[str, ...]:
    """Every switch that applies to a position: also those on its own workflow and on that of its signal."""
    entities = [entity for entity in (position.id, position.signal_id) if entity]
    workflows = WorkflowSchedule.objects.filter(entity_id__in=entities).values_list("id", flat=True)
    return (
        *controls.scopes(trader_id=position.trader_id, symbol=position.symbol),
        *(f"workflow:{workflow}" for workflow in workflows),
    )


def _was_sent(intent: Intent) -> bool:
    """Whether this very order left before: then it is only asked about, which no switch forbids."""
    return Order.objects.filter(client_order_id=_identity(intent)).exclude(status=Status.INTENDED).exists()


def _identity(intent: Intent) -> str:
    return client_order_id(position_id=intent.position.id, cause=intent.cause.key, leg=intent.leg, generation=intent.generation)


def _intend(intent: Intent) -> tuple[Order, bool]:
    with transaction.atomic():
        order, is_new = Order.objects.select_related("account", "position").get_or_create(
            client_order_id=_identity(intent),
            defaults={
                "position": intent.position,
                "account": intent.position.account,
                "cause": intent.cause.kind,
                "cause_id": intent.cause.key,
                "analysis_id": intent.cause.analysis_id,
                "leg": intent.leg,
                "generation": intent.generation,
                "side": intent.side,
                "type": intent.type,
                "quantity": intent.quantity,
                "price": intent.price,
                "trigger_price": intent.trigger_price,
                "reduce_only": intent.reduce_only,
                "intended_at": clock.now(),
            },
        )
    return order, is_new


def _finish(order: Order, status: str, *, error: str) -> Order:
    now = clock.now()
    with transaction.atomic():
        Position.objects.select_for_update(no_key=True).get(id=order.position_id)  # first, as everywhere: no deadlock
        order = Order.objects.select_for_update(no_key=True, of=("self",)).select_related("account", "position").get(id=order.id)
        order.status, order.error = status, error[:500]
        order.finished_at = now if status in FINAL else None
        order.save(update_fields=["status", "error", "finished_at"])
        unprotected.note(position_id=order.position_id, now=now)
        _tell(order, now)
    logger.warning("order %s of %s is %s: %s", order.client_order_id, order.position.symbol, status, error)
    return order


def _book(order: Order, position: Position, trade: TradeReport) -> None:
    """Book a fill once; the unique trade id makes a second look at the same fill change nothing."""
    fill, is_new = Fill.objects.get_or_create(
        account=order.account,
        exchange_trade_id=trade.trade_id,
        defaults={
            "order": order,
            "price": trade.price,
            "quantity": trade.quantity,
            "fee": trade.fee,
            "fee_currency": trade.fee_currency,
            "at": clock.at(trade.at_ms),
        },
    )
    if not is_new:
        return
    signed = fill.quantity if order.side == BUY else -fill.quantity
    before = Holding(position.sign * position.contracts, position.cost)
    traded = accounting.trade(before, signed_quantity=signed, price=fill.price)
    position.contracts, position.cost = abs(traded.holding.quantity), traded.holding.cost
    position.realized_pnl += traded.realized
    position.fees += fill.fee
    if order.leg in Order.ADDS_EXPOSURE:
        position.initial_contracts += fill.quantity
        position.entry_price = position.cost / position.contracts


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


def _outside_transaction() -> None:
    if connection.in_atomic_block and not _only_a_test_is_open():
        raise InsideTransaction("an exchange must not be called while a transaction is open: a rollback would forget what was sent")


def _only_a_test_is_open() -> bool:
    """Whether the open transactions are those that Django's TestCase wraps around a test."""
    blocks: list[Any] = connection.atomic_blocks
    return all(getattr(block, "_from_testcase", False) for block in blocks)
