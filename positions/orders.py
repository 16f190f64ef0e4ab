"""
The order journal, and the only door by which something is sent to an exchange (P4).

An order is committed as an intent before the exchange is called. Its client order id follows from (position, cause,
leg, generation), so that a job that runs twice finds its own order instead of sending another. An unclear answer
leaves the order *unknown*: the exchange is asked by client order id before anything else is sent.

OrderError
  InsideTransaction   an exchange would be called while a transaction is open
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from monitoring import clock, controls
from monitoring.models import Halt, WorkflowSchedule
from positions import booking
from positions.exchange.contract import (
    MARKET,
    Exchange,
    ExchangeError,
    ListedTrade,
    OrderNotFound,
    OrderReport,
    OrderRequest,
    Rejected,
)
from positions.exchange.factory import exchange_for
from positions.intents import Cause, Intent, entry_side
from positions.models import Order, Position
from positions.risk import Denied

logger = logging.getLogger(__name__)
Leg, Status = Order.Leg, Order.Status
FINAL = booking.FINAL
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0


class OrderError(Exception):
    """An order can't be handled as asked."""


class InsideTransaction(OrderError):
    """An exchange would be called while a transaction is open."""


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
    account = intent.position.account
    if account.needs_arming and not account.is_live:
        return Denied("not_armed", f"account {account.name} is not armed: it only protects and closes what it holds")
    applying = scopes_of(intent.position)
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
    if order.status == Status.INTENDED:
        return forget(order, why="not needed any more")
    exchange = exchange_for(order.account)
    try:
        report = exchange.cancel(symbol=order.position.symbol, client_order_id=order.client_order_id)
    except OrderNotFound:
        return _not_there(order, exchange)
    except ExchangeError as error:  # it may have been done; until the exchange says how it stands, it counts as resting
        logger.warning("order %s could not be cancelled: %s", order.client_order_id, error)
        return order if order.status in (Status.OPEN, Status.PARTIALLY_FILLED) else _finish(order, Status.UNKNOWN, error=str(error))
    return absorb(order, report, exchange)


def refresh(order: Order) -> Order:
    """Ask the exchange how an order stands, and record what it says."""
    _outside_transaction()
    if order.status == Status.INTENDED:
        return order  # nobody has sent it
    exchange = exchange_for(order.account)
    try:
        report = exchange.order(symbol=order.position.symbol, client_order_id=order.client_order_id)
    except OrderNotFound:
        return _not_there(order, exchange)
    except ExchangeError as error:
        logger.info("order %s can't be asked about: %s", order.client_order_id, error)
        return order
    return absorb(order, report, exchange)


def clear(order: Order, *, until: float) -> Order:
    """Ask about an order until it is clear how it stands, at most until `until` (monotonic)."""
    pause_s = FIRST_PAUSE_S
    while order.status in (Status.SENT, Status.UNKNOWN) and time.monotonic() < until:
        order = refresh(order)
        if order.status in (Status.SENT, Status.UNKNOWN):
            time.sleep(pause_s)  # nothing tells when the venue knows
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
    return order


def is_throttled(order: Order) -> bool:
    """Whether the venue refused only because there were too many requests."""
    return order.status == Status.REJECTED and order.error.startswith("throttled:")


def is_beyond_market(order: Order) -> bool:
    """Whether a stop was refused because the market is past it already."""
    return order.status == Status.REJECTED and order.error.startswith("would_trigger:")


def forget(order: Order, *, why: str) -> Order:
    """An intent that nobody sent and nobody will: its job found another way, or died with its position."""
    assert order.status == Status.INTENDED
    return _finish(order, Status.REJECTED, error=why)


def live(position: Position, *legs: str) -> list[Order]:
    """Orders of a position that may still fill."""
    found = Order.objects.select_related("account", "position").filter(position=position, status__in=Order.LIVE)
    return list(found.filter(leg__in=legs) if legs else found)


def take_over(position: Position, exchange_order_id: str, trades: Sequence[ListedTrade]) -> Order:
    """Journal an order that somebody else sent, with the fills that the exchange lists."""
    side, quantity = trades[0].side, sum((row.trade.quantity for row in trades), Decimal(0))
    leg = Leg.ADD if side == entry_side(position) else Leg.REDUCE
    cause = Cause(Order.Cause.RECONCILIATION, f"outside-{exchange_order_id}"[:64])
    order, _ = _intend(Intent(position, leg, side, MARKET, quantity, cause))
    Order.objects.filter(id=order.id, status=Status.INTENDED).update(status=Status.SENT, sent_at=clock.now())
    report = OrderReport(order.client_order_id, exchange_order_id, Status.FILLED, quantity, None, exchange_order_id)
    return booking.absorb(order, report, [row.trade for row in trades], now=clock.now())


def in_flight() -> Iterable[Mapping[str, Any]]:
    """Orders that add exposure and whose answer is still out; what a halt reports."""
    rows = Order.objects.filter(leg__in=Order.ADDS_EXPOSURE, status__in=(Status.INTENDED, Status.SENT, Status.UNKNOWN))
    return list(rows.values("id", "client_order_id", "leg", "side", "quantity", "position__symbol", "status"))


def absorb(order: Order, report: OrderReport, exchange: Exchange) -> Order:
    """Record what the venue says of an order, with its fills; without them the order stays unknown, and is asked about again."""
    try:
        trades = exchange.trades(symbol=order.position.symbol, report=report) if report.filled else []
    except ExchangeError as error:
        return _finish(order, Status.UNKNOWN, error=str(error))
    try:
        return booking.absorb(order, report, trades, now=clock.now())
    except booking.Overfilled:
        _refresh_what_adds(order)
    try:
        return booking.absorb(order, report, trades, now=clock.now())
    except booking.Overfilled as error:  # somebody bought besides us: reconciliation tells, and asks again
        return _finish(order, Status.UNKNOWN, error=str(error))


def _refresh_what_adds(order: Order) -> None:
    """Ask about entries and adds of the same position whose answer is still out: what an exit sold is among them."""
    adding = Order.objects.select_related("account", "position").filter(position=order.position_id, leg__in=Order.ADDS_EXPOSURE)
    for found in adding.filter(status__in=(Status.SENT, Status.UNKNOWN)):
        refresh(found)


def _not_there(order: Order, exchange: Exchange) -> Order:
    """
    The venue knows no such order. That proves nothing while the request may still be on its way.

    An order that was acknowledged once and is gone now is no lost request: it stays as it is, and somebody has to look.
    """
    if order.acknowledged_at is not None:
        logger.error("order %s was acknowledged, and the exchange does not know it any more", order.client_order_id)
        return order
    assert order.sent_at is not None
    if clock.real_seconds(clock.now() - order.sent_at) < exchange.features.settles_after_s:
        return _finish(order, Status.UNKNOWN, error="the exchange does not know it yet")
    return _finish(order, Status.REJECTED, error="it never reached the exchange")


def _place(intent: Intent) -> Order:
    order, is_new = _intend(intent)
    if order.status in FINAL or order.status in (Status.OPEN, Status.PARTIALLY_FILLED):
        return order
    if not is_new and order.status != Status.INTENDED:
        return refresh(order)
    exchange = exchange_for(order.account)
    now = clock.now()
    if not Order.objects.filter(id=order.id, status=Status.INTENDED).update(status=Status.SENT, sent_at=now):
        order.refresh_from_db()  # somebody has given it up, or sent it, meanwhile
        return order
    order.status, order.sent_at = Status.SENT, now
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


def scopes_of(position: Position) -> tuple[str, ...]:
    """Every switch that applies to a position: also those on its own workflow and on that of its signal."""
    entities = [entity for entity in (position.id, position.signal_id) if entity]
    workflows = WorkflowSchedule.objects.filter(entity_id__in=entities).values_list("id", flat=True)
    return (
        *controls.scopes(trader_id=position.trader_id, symbol=position.symbol),
        f"account:{position.account_id}",
        *(f"workflow:{workflow}" for workflow in workflows),
    )


def _was_sent(intent: Intent) -> bool:
    """Whether this very order left before: then it is only asked about, which no switch forbids."""
    return Order.objects.filter(client_order_id=intent.client_order_id).exclude(status=Status.INTENDED).exists()


def _intend(intent: Intent) -> tuple[Order, bool]:
    with transaction.atomic():
        order, is_new = Order.objects.select_related("account", "position").get_or_create(
            client_order_id=intent.client_order_id,
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
    order = booking.finish(order, status, error=error, now=clock.now())
    logger.warning("order %s of %s is %s: %s", order.client_order_id, order.position.symbol, status, error)
    return order


def _outside_transaction() -> None:
    if connection.in_atomic_block and not _only_a_test_is_open():
        raise InsideTransaction("an exchange must not be called while a transaction is open: a rollback would forget what was sent")


def _only_a_test_is_open() -> bool:
    """Whether the open transactions are those that Django's TestCase wraps around a test."""
    blocks: list[Any] = connection.atomic_blocks
    return all(getattr(block, "_from_testcase", False) for block in blocks)
