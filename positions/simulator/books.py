"""
An account at the simulated exchange: wallets, holdings, orders and trades. Pure; the caller gives the time.

Market orders fill at once, a tick worse than the price. Resting orders are looked at whenever the account is: every
price since the last look is walked through in order, so that it makes no difference when somebody looks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext
from typing import Protocol

from monitoring.simulator.market import Listing

BUY, SELL = "BUY", "SELL"
NEW, PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED, TRIGGERED = "NEW", "PARTIALLY_FILLED", "FILLED", "CANCELED", "EXPIRED", "TRIGGERED"
DIGITS = 40
ZERO = Decimal(0)


class Prices(Protocol):
    """Where prices come from; times in ms."""

    def price(self, *, symbol: str, at_ms: int) -> Decimal:
        """The last price at a moment."""

    def path(self, *, symbol: str, after_ms: int, until_ms: int) -> Iterable[tuple[int, Decimal]]:
        """Every price after a moment up to another, with its time."""


class Refused(Exception):
    """The order can't be had; `code` is our own, the endpoint turns it into its venue's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Order:
    """An order of either venue. `trigger` makes it wait; `actual_id` is the order a triggered one has become."""

    id: int
    client_id: str
    symbol: str
    side: str
    type: str
    quantity: Decimal
    price: Decimal | None = None
    trigger: Decimal | None = None
    reduce_only: bool = False
    status: str = NEW
    filled: Decimal = ZERO
    quote: Decimal = ZERO
    created_ms: int = 0
    updated_ms: int = 0
    is_conditional: bool = False  # futures: lives in the algo service
    actual_id: int = 0

    @property
    def is_open(self) -> bool:
        return self.status in (NEW, PARTIALLY_FILLED)

    @property
    def left(self) -> Decimal:
        return self.quantity - self.filled


@dataclass(frozen=True)
class Trade:
    """A fill. `realized` is the profit before fees, of futures."""

    id: int
    order_id: int
    symbol: str
    side: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_asset: str
    realized: Decimal
    at_ms: int
    is_maker: bool


@dataclass
class Holding:
    """A futures position: signed amount, and what it was opened for in quote."""

    amount: Decimal = ZERO
    cost: Decimal = ZERO
    leverage: int = 20

    @property
    def entry_price(self) -> Decimal:
        return self.cost / abs(self.amount) if self.amount else ZERO


@dataclass
class Book:
    """One account at one venue."""

    listings: Mapping[str, Listing]
    prices: Prices
    is_futures: bool
    wallet: dict[str, Decimal] = field(default_factory=dict)
    holdings: dict[str, Holding] = field(default_factory=dict)
    orders: dict[int, Order] = field(default_factory=dict)
    resting: dict[int, Order] = field(default_factory=dict)  # those of `orders` that are open
    by_client_id: dict[tuple[str, bool], Order] = field(default_factory=dict)  # the newest of each
    trades: dict[int, list[Trade]] = field(default_factory=lambda: defaultdict(list))  # by order
    seen_ms: dict[str, int] = field(default_factory=dict)  # by symbol with open orders
    numbers: int = 0
    trade_numbers: int = 0

    @property
    def taker(self) -> Decimal:
        """Fee rate of what fills at once."""
        return Decimal("0.0004") if self.is_futures else Decimal("0.001")

    @property
    def maker(self) -> Decimal:
        """Fee rate of what rested."""
        return Decimal("0.0002") if self.is_futures else Decimal("0.001")

    def advance(self, *, now_ms: int) -> None:
        """Let every price since the last look meet the resting orders."""
        points = []
        for symbol in {order.symbol for order in self.open_orders()}:
            path = self.prices.path(symbol=symbol, after_ms=self.seen_ms.get(symbol, now_ms), until_ms=now_ms)
            points += [(at_ms, symbol, price) for at_ms, price in path]
            self.seen_ms[symbol] = now_ms
        # In the order of time for all symbols together, so that ids come out the same however often somebody looks.
        for at_ms, symbol, price in sorted(points):
            for order in self.open_orders(symbol):
                self._meet(order, price, at_ms)

    def open_orders(self, symbol: str = "") -> list[Order]:
        """What rests, oldest first."""
        self.resting = {number: order for number, order in self.resting.items() if order.is_open}
        return [order for order in self.resting.values() if symbol in ("", order.symbol)]

    def place(self, order: Order, *, now_ms: int, part: Decimal = Decimal(1)) -> Order:
        """
        Take a new order; a market order fills at once, of `part` of it (then the rest expires).

        :raises Refused: with the reason
        """
        price = self.prices.price(symbol=order.symbol, at_ms=now_ms)
        if any(other.client_id == order.client_id for other in self.open_orders()):
            raise Refused("duplicate")
        if order.trigger is not None and not _lies_ahead(order.side, order.trigger, price):
            raise Refused("would_trigger")
        if order.reduce_only and not self.reducible(order.symbol, order.side):
            raise Refused("reduce_only")
        self._check_funds(order, price)
        placed = self._numbered(replace(order, created_ms=now_ms, updated_ms=now_ms))
        if placed.type == "MARKET":
            self._fill_at_market(placed, price, now_ms, part)
        elif placed.trigger is None and placed.price is not None and _crosses(placed, price):
            self._fill(placed, placed.left, price, now_ms, is_maker=False)
        if len(self.open_orders(order.symbol)) <= 1:
            self.seen_ms[order.symbol] = now_ms  # nothing rested before it
        return placed

    def cancel(self, order: Order, *, now_ms: int) -> Order:
        """:raises Refused: if it is not open any more"""
        if not order.is_open:
            raise Refused("unknown_order")
        order.status, order.updated_ms = CANCELED, now_ms
        return order

    def find(self, symbol: str, *, client_id: str = "", order_id: int = 0, is_conditional: bool = False) -> Order | None:
        """The newest order of that id."""
        order = self.orders.get(order_id) if order_id else self.by_client_id.get((client_id, is_conditional))
        fits = order is not None and symbol in ("", order.symbol) and order.is_conditional == is_conditional
        return order if fits else None

    def locked(self, asset: str) -> Decimal:
        """What resting spot orders hold back of an asset."""
        found = ZERO
        for order in self.open_orders():
            listing = self.listings[order.symbol]
            if order.side == SELL and listing.base == asset:
                found += order.left
            elif order.side == BUY and listing.quote == asset:
                found += order.left * (order.price or order.trigger or ZERO)
        return found

    def available(self, asset: str, *, now_ms: int) -> Decimal:
        """What a new order can use."""
        if not self.is_futures:
            return self.wallet.get(asset, ZERO) - self.locked(asset)
        margin = sum((holding.cost / holding.leverage for holding in self.holdings.values()), ZERO)
        return self.wallet.get(asset, ZERO) + min(ZERO, self.unrealized(now_ms=now_ms)) - margin

    def unrealized(self, *, now_ms: int, symbol: str = "") -> Decimal:
        """Profit of what is held at the prices of now."""
        found = ZERO
        for name, holding in self.holdings.items():
            if holding.amount and symbol in ("", name):
                worth = abs(holding.amount) * self.prices.price(symbol=name, at_ms=now_ms)
                found += worth - holding.cost if holding.amount > 0 else holding.cost - worth
        return found

    def reducible(self, symbol: str, side: str) -> Decimal:
        """How much an order of a side can take off what is held."""
        if not self.is_futures:
            return self.wallet.get(self.listings[symbol].base, ZERO) if side == SELL else ZERO
        amount = self.holdings.get(symbol, Holding()).amount
        return max(ZERO, amount if side == SELL else -amount)

    def _meet(self, order: Order, price: Decimal, at_ms: int) -> None:
        if order.trigger is not None:
            if not _lies_ahead(order.side, order.trigger, price):
                self._trigger(order, price, at_ms)
        elif order.price is not None and _crosses(order, price):
            self._fill(order, order.left, order.price, at_ms, is_maker=True)

    def _trigger(self, order: Order, price: Decimal, at_ms: int) -> None:
        if not order.is_conditional:
            self._fill_at_market(order, price, at_ms, Decimal(1))
            return
        order.status, order.updated_ms = TRIGGERED, at_ms
        actual = Order(
            id=0,
            client_id=f"triggered-{order.id}",
            symbol=order.symbol,
            side=order.side,
            type="MARKET",
            quantity=order.quantity,
            reduce_only=order.reduce_only,
            created_ms=at_ms,
            updated_ms=at_ms,
        )
        self._numbered(actual)
        order.actual_id = actual.id
        self._fill_at_market(actual, price, at_ms, Decimal(1))

    def _fill_at_market(self, order: Order, price: Decimal, at_ms: int, part: Decimal) -> None:
        listing = self.listings[order.symbol]
        quantity = order.left * part
        quantity -= quantity % listing.step
        if order.reduce_only:
            quantity = min(quantity, self.reducible(order.symbol, order.side))
        slipped = price + (listing.tick if order.side == BUY else -listing.tick)
        if quantity:
            self._fill(order, quantity, max(slipped, listing.tick), at_ms, is_maker=False)
        if order.is_open:
            order.status, order.updated_ms = EXPIRED, at_ms

    def _fill(self, order: Order, quantity: Decimal, price: Decimal, at_ms: int, *, is_maker: bool) -> None:
        if order.reduce_only:
            quantity = min(quantity, self.reducible(order.symbol, order.side))
            if not quantity:
                order.status, order.updated_ms = EXPIRED, at_ms
                return
        with localcontext(prec=DIGITS):
            order.filled += quantity
            order.quote += quantity * price
            order.updated_ms = at_ms
            order.status = FILLED if order.filled == order.quantity else PARTIALLY_FILLED
            book = self._book_futures if self.is_futures else self._book_spot
            fee, asset, realized = book(order, quantity, price, self.maker if is_maker else self.taker)
        self.trade_numbers += 1
        trade = Trade(self.trade_numbers, order.id, order.symbol, order.side, price, quantity, fee, asset, realized, at_ms, is_maker)
        self.trades[order.id].append(trade)

    def _numbered(self, order: Order) -> Order:
        self.numbers += 1
        order.id = self.numbers
        self.orders[order.id] = self.resting[order.id] = self.by_client_id[order.client_id, order.is_conditional] = order
        return order

    def _book_spot(self, order: Order, quantity: Decimal, price: Decimal, rate: Decimal) -> tuple[Decimal, str, Decimal]:
        listing = self.listings[order.symbol]
        base, quote = self.wallet.get(listing.base, ZERO), self.wallet.get(listing.quote, ZERO)
        if order.side == BUY:
            fee, asset = quantity * rate, listing.base
            self.wallet[listing.base], self.wallet[listing.quote] = base + quantity - fee, quote - quantity * price
        else:
            fee, asset = quantity * price * rate, listing.quote
            self.wallet[listing.base], self.wallet[listing.quote] = base - quantity, quote + quantity * price - fee
        return fee, asset, ZERO

    def _book_futures(self, order: Order, quantity: Decimal, price: Decimal, rate: Decimal) -> tuple[Decimal, str, Decimal]:
        holding = self.holdings.setdefault(order.symbol, Holding())
        signed = quantity if order.side == BUY else -quantity
        realized = ZERO
        closing = min(quantity, abs(holding.amount)) if holding.amount * signed < 0 else ZERO
        if closing:
            out = holding.cost * closing / abs(holding.amount)
            realized = closing * price - out if holding.amount > 0 else out - closing * price
            holding.cost -= out
            holding.amount += closing if signed > 0 else -closing
        opening = quantity - closing
        holding.amount += opening if signed > 0 else -opening
        holding.cost += opening * price
        fee, asset = quantity * price * rate, self.listings[order.symbol].quote
        self.wallet[asset] = self.wallet.get(asset, ZERO) + realized - fee
        return fee, asset, realized

    def _check_funds(self, order: Order, price: Decimal) -> None:
        listing = self.listings[order.symbol]
        worth = order.quantity * (order.price or order.trigger or price)
        if self.is_futures:
            adds = not order.reduce_only and not order.is_conditional and self.reducible(order.symbol, order.side) < order.quantity
            leverage = self.holdings.get(order.symbol, Holding()).leverage
            if adds and worth / leverage + worth * self.taker > self._margin_left(listing.quote):
                raise Refused("funds")
            return
        asset, needed = (listing.quote, worth) if order.side == BUY else (listing.base, order.quantity)
        if needed > self.wallet.get(asset, ZERO) - self.locked(asset):
            raise Refused("funds")

    def _margin_left(self, asset: str) -> Decimal:
        return self.wallet.get(asset, ZERO) - sum((held.cost / held.leverage for held in self.holdings.values()), ZERO)


def _lies_ahead(side: str, trigger: Decimal, price: Decimal) -> bool:
    """Whether a stop is still on the far side of the price: a selling one below it, a buying one above."""
    return trigger < price if side == SELL else trigger > price


def _crosses(order: Order, price: Decimal) -> bool:
    assert order.price is not None
    return price >= order.price if order.side == SELL else price <= order.price
