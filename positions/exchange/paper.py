"""
The paper exchange: fills from closed candles, with fees and slippage, on books of its own.

Market orders fill at the newest close. Resting orders fill when a later candle touches them; when a stop and a
target are both touched by one candle, the stop comes first. Every change of an account happens under its row lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext

from django.db import IntegrityError, connection, transaction
from django.db.models import Q

from monitoring import candles, clock
from monitoring.models import Instrument
from positions.models import ExchangeAccount, PaperBalance, PaperOrder, PaperPosition, PaperTrade

from . import accounting, matching
from .accounting import Holding
from .contract import (
    BUY,
    CANCELED,
    FILLED,
    LIMIT,
    MARKET,
    OPEN,
    STOP_MARKET,
    Balance,
    Features,
    Held,
    InsufficientFunds,
    ListedTrade,
    OrderNotFound,
    OrderReport,
    OrderRequest,
    Rejected,
    Resting,
    TradeReport,
)
from .matching import Bar

# Candles after an order was placed, in order; the first may be the one it was placed in.
BARS = """
SELECT open_time, open_time + interval_ms(interval), open, high, low FROM candles
 WHERE market = %s AND symbol = %s AND interval = %s AND open_time + interval_ms(interval) > %s ORDER BY open_time
"""


class PaperExchange:
    """One paper account as a venue."""

    features = Features()

    def __init__(self, account: ExchangeAccount) -> None:
        self._account = account

    def place(self, request: OrderRequest) -> OrderReport:
        with transaction.atomic():
            _lock(self._account)
            instrument = self._instrument(request.symbol)
            last_price = self._last_price(request.symbol)
            holding = self._holding(request.symbol)
            quantity = self._checked_quantity(request, instrument, holding, last_price)
            if request.type == STOP_MARKET:
                assert request.trigger_price is not None
                if matching.would_trigger_at_once(side=request.side, trigger_price=request.trigger_price, last_price=last_price):
                    raise Rejected("would_trigger", f"stop {request.trigger_price} lies beyond the market at {last_price}")
            price = request.price or request.trigger_price or last_price
            if request.type == MARKET:
                rate = self._account.slippage_rate
                price = matching.slipped(last_price, side=request.side, slippage_rate=rate, tick=instrument.tick_size)
            if not request.reduce_only:
                self._check_funds(request.side, quantity, price, instrument, holding)
            order = self._create(request, quantity)
            if request.type == MARKET:
                self._fill(order, price=price, fee_rate=self._account.taker_fee_rate, quote=instrument.quote, at_ms=clock.now_ms())
        return _report(order)

    def cancel(self, *, symbol: str, client_order_id: str) -> OrderReport:
        with transaction.atomic():
            _lock(self._account)
            order = self._find(symbol, client_order_id)
            if order.status == OPEN:
                order.status = CANCELED
                order.save(update_fields=["status"])
        return _report(order)

    def order(self, *, symbol: str, client_order_id: str) -> OrderReport:
        return _report(self._find(symbol, client_order_id))

    def trades(self, *, symbol: str, report: OrderReport) -> list[TradeReport]:
        return [
            TradeReport(str(row.id), row.price, row.quantity, row.fee, row.fee_currency, row.at_ms)
            for row in PaperTrade.objects.filter(order=self._find(symbol, report.client_order_id)).order_by("id")
        ]

    def trades_since(self, *, symbol: str, since_ms: int) -> list[ListedTrade]:
        rows = PaperTrade.objects.filter(order__account=self._account, order__symbol=symbol, at_ms__gte=since_ms).select_related("order")
        return [
            ListedTrade(
                str(row.order_id),
                row.order.side,
                TradeReport(str(row.id), row.price, row.quantity, row.fee, row.fee_currency, row.at_ms),
            )
            for row in rows.order_by("id")
        ]

    def open_orders(self) -> list[Resting]:
        rows = PaperOrder.objects.filter(account=self._account, status=OPEN).order_by("id")
        return [
            Resting(row.client_order_id, str(row.id), row.symbol, row.side, row.type, row.quantity, row.price or row.trigger_price)
            for row in rows
        ]

    def balance(self) -> Balance:
        row = PaperBalance.objects.filter(account=self._account).order_by("asset").first()
        if row is None:
            return Balance("USDT", Decimal(0), Decimal(0))
        held = sum(PaperPosition.objects.filter(account=self._account).values_list("cost", flat=True), Decimal(0))
        reserved = self._reserved()
        if self._account.is_spot:
            return Balance(row.asset, row.total + held, row.total - reserved)
        return Balance(row.asset, row.total, row.total - (held + reserved) / self._account.leverage)

    def held(self, *, symbol: str) -> Held:
        holding = self._holding(symbol)
        return Held(holding.quantity, holding.cost)

    def holdings(self) -> Mapping[str, Held]:
        rows = PaperPosition.objects.filter(account=self._account).exclude(quantity=0)
        return {row.symbol: Held(row.quantity, row.cost) for row in rows}

    def match(self, *, symbol: str, interval: str) -> int:
        """Let the candles of a symbol meet its resting orders, oldest candle first; returns how many orders filled."""
        filled = 0
        with transaction.atomic():
            _lock(self._account)
            orders = list(PaperOrder.objects.filter(account=self._account, symbol=symbol, status=OPEN).order_by("id"))
            if not orders:
                return 0
            instrument = self._instrument(symbol)
            for bar in self._bars(symbol, interval, since_ms=min(order.created_ms for order in orders)):
                # Stops first: a candle does not say which of two prices it touched first.
                for order in sorted(orders, key=lambda o: (o.type != STOP_MARKET, o.id)):
                    filled += self._meet(order, bar, instrument)
            PaperOrder.objects.bulk_update(orders, ["matched_until"])
        return filled

    def _meet(self, order: PaperOrder, bar: Bar, instrument: Instrument) -> bool:
        if order.status != OPEN or bar.close_time <= order.created_ms or bar.open_time < (order.matched_until or 0):
            return False
        order.matched_until = bar.close_time
        price = matching.resting_fill(
            type=order.type,
            side=order.side,
            price=order.price,
            trigger_price=order.trigger_price,
            bar=bar,
            slippage_rate=self._account.slippage_rate,
            tick=instrument.tick_size,
        )
        if price is None:
            return False
        if order.reduce_only:
            reducible = _reducible(self._holding(order.symbol), order.side)
            if not reducible:
                order.status = CANCELED
                order.save(update_fields=["status", "matched_until"])
                return False
            order.quantity = min(order.quantity, reducible)
        fee_rate = self._account.maker_fee_rate if order.type == LIMIT else self._account.taker_fee_rate
        self._fill(order, price=price, fee_rate=fee_rate, quote=instrument.quote, at_ms=bar.close_time)
        return True

    def _checked_quantity(self, request: OrderRequest, instrument: Instrument, holding: Holding, last_price: Decimal) -> Decimal:
        quantity = request.quantity
        if request.reduce_only:
            quantity = min(quantity, _reducible(holding, request.side))
            if not quantity:
                raise Rejected("reduce_only", "there is nothing to reduce")
        if quantity <= 0 or quantity % instrument.step_size:
            raise Rejected("lot_size", f"quantity {quantity} is not a multiple of {instrument.step_size}")
        for price in (request.price, request.trigger_price):
            if price is not None and (price <= 0 or price % instrument.tick_size):
                raise Rejected("price_filter", f"price {price} is not a multiple of {instrument.tick_size}")
        notional = accounting.product(request.price or request.trigger_price or last_price, quantity)
        if not request.reduce_only and (quantity < instrument.min_quantity or notional < instrument.min_notional):
            raise Rejected("notional", f"{notional} is under the smallest notional of {instrument.min_notional}")
        return quantity

    def _reserved(self) -> Decimal:
        """What resting orders that add exposure would cost with their fees, so that two can't spend the same cash."""
        resting = PaperOrder.objects.filter(account=self._account, status=OPEN, reduce_only=False)
        with localcontext(prec=accounting.PRECISION):
            costs = (order.quantity * (order.price or order.trigger_price or Decimal(0)) for order in resting)
            return sum(costs, Decimal(0)) * (1 + self._account.taker_fee_rate)

    def _check_funds(self, side: str, quantity: Decimal, price: Decimal, instrument: Instrument, holding: Holding) -> None:
        opens = _reducible(holding, side) < quantity
        if not opens:
            return
        if self._account.is_spot and side != BUY:
            raise Rejected("no_short", "a spot account can't sell what it does not hold")
        notional = accounting.product(price, quantity)
        needed = notional / (1 if self._account.is_spot else self._account.leverage) + notional * self._account.taker_fee_rate
        available = self.balance().available
        if needed > available:
            raise InsufficientFunds("insufficient_funds", f"{needed:.2f} {instrument.quote} are needed, {available:.2f} available")

    def _create(self, request: OrderRequest, quantity: Decimal) -> PaperOrder:
        try:
            with transaction.atomic():
                return PaperOrder.objects.create(
                    account=self._account,
                    client_order_id=request.client_order_id,
                    symbol=request.symbol,
                    side=request.side,
                    type=request.type,
                    quantity=quantity,
                    price=request.price,
                    trigger_price=request.trigger_price,
                    reduce_only=request.reduce_only,
                    created_ms=clock.now_ms(),
                )
        except IntegrityError as error:
            raise Rejected("duplicate", f"client order id {request.client_order_id} was used before") from error

    def _fill(self, order: PaperOrder, *, price: Decimal, fee_rate: Decimal, quote: str, at_ms: int) -> None:
        """Book a whole fill: the trade, the holding and the cash."""
        notional = accounting.product(price, order.quantity)
        fee = accounting.product(notional, fee_rate)
        PaperTrade.objects.create(order=order, price=price, quantity=order.quantity, fee=fee, fee_currency=quote, at_ms=at_ms)
        signed = order.quantity if order.side == BUY else -order.quantity
        position, _ = PaperPosition.objects.get_or_create(account=self._account, symbol=order.symbol)
        traded = accounting.trade(Holding(position.quantity, position.cost), signed_quantity=signed, price=price)
        position.quantity, position.cost = traded.holding.quantity, traded.holding.cost
        position.save(update_fields=["quantity", "cost"])
        balance, _ = PaperBalance.objects.get_or_create(account=self._account, asset=quote)
        with localcontext(prec=accounting.PRECISION):
            moved = (-notional if order.side == BUY else notional) if self._account.is_spot else traded.realized
            balance.total += moved - fee
        balance.save(update_fields=["total"])
        order.status, order.filled, order.quote_filled = FILLED, order.quantity, notional
        order.save(update_fields=["status", "filled", "quote_filled", "quantity", "matched_until"])

    def _bars(self, symbol: str, interval: str, *, since_ms: int) -> Iterable[Bar]:
        with connection.cursor() as cursor:
            cursor.execute(BARS, [self._account.market, symbol, interval, since_ms])
            return [Bar(*row) for row in cursor.fetchall()]

    def _instrument(self, symbol: str) -> Instrument:
        found = Instrument.objects.filter(market=self._account.market, symbol=symbol).first()
        if found is None:
            raise Rejected("unknown_symbol", f"{symbol} is not traded on {self._account.market}")
        return found

    def _last_price(self, symbol: str) -> Decimal:
        last = candles.last_price(market=self._account.market, symbol=symbol)
        if last is None:
            raise Rejected("no_price", f"no candle of {symbol} is known yet")
        return last.price

    def _holding(self, symbol: str) -> Holding:
        row = PaperPosition.objects.filter(account=self._account, symbol=symbol).first()
        return Holding(row.quantity, row.cost) if row else Holding()

    def _find(self, symbol: str, client_order_id: str) -> PaperOrder:
        found = PaperOrder.objects.filter(account=self._account, symbol=symbol, client_order_id=client_order_id).first()
        if found is None:
            raise OrderNotFound(f"no order {client_order_id} on {symbol}")
        return found


def accounts_with_resting_orders(*, market: str, symbols: Iterable[str]) -> list[tuple[ExchangeAccount, str]]:
    """Paper accounts and symbols that a close could fill something of."""
    found = (
        PaperOrder.objects.filter(Q(status=OPEN), account__market=market, symbol__in=list(symbols))
        .values_list("account_id", "symbol")
        .distinct()
        .order_by("account_id", "symbol")
    )
    pairs = list(found)
    accounts = ExchangeAccount.objects.in_bulk({account_id for account_id, _ in pairs})
    return [(accounts[account_id], symbol) for account_id, symbol in pairs]


def _lock(account: ExchangeAccount) -> None:
    ExchangeAccount.objects.select_for_update(no_key=True).get(id=account.id)


def _reducible(holding: Holding, side: str) -> Decimal:
    """How much of a holding an order of a side can take away."""
    against = -holding.quantity if side == BUY else holding.quantity
    return max(Decimal(0), against)


def _report(order: PaperOrder) -> OrderReport:
    average = order.quote_filled / order.filled if order.filled else None
    return OrderReport(order.client_order_id, str(order.id), order.status, order.filled, average)
