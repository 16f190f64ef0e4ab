"""
What every venue does for us, and how it fails. Pure.

ExchangeError
  Rejected            the venue said no; nothing was done
    InsufficientFunds   not enough balance
    Throttled           too many requests, or banned for a while; nothing was done
  OrderNotFound       the venue knows no such order
  Unclear             no clear answer: it may or may not have been done; ask by client order id before anything else
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

BUY, SELL = "buy", "sell"
MARKET, LIMIT, STOP_MARKET = "market", "limit", "stop_market"
OPEN, PARTIALLY_FILLED, FILLED, CANCELED, REJECTED = "open", "partially_filled", "filled", "canceled", "rejected"


class ExchangeError(Exception):
    """The venue did not do as asked."""


class Rejected(ExchangeError):
    """The venue said no; nothing was done."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class InsufficientFunds(Rejected):
    """Not enough balance."""


class Throttled(Rejected):
    """Too many requests; `wait_s` is how long the venue wants to be left alone."""

    def __init__(self, message: str, *, wait_s: float) -> None:
        super().__init__("throttled", message)
        self.wait_s = wait_s


class OrderNotFound(ExchangeError):
    """The venue knows no such order."""


class Unclear(ExchangeError):
    """It may or may not have been done."""


@dataclass(frozen=True)
class OrderRequest:
    """
    An order to place. Quantity in base, prices in quote.

    `price` is for limit orders, `trigger_price` for stops, which then sell or buy at market. A reduce-only order
    never opens or flips a position.
    """

    client_order_id: str
    symbol: str
    side: str
    type: str
    quantity: Decimal
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    reduce_only: bool = False


@dataclass(frozen=True)
class OrderReport:
    """An order as the venue knows it. `fills_id` is the id under which its fills are listed, empty while it has none."""

    client_order_id: str
    exchange_order_id: str
    status: str
    filled: Decimal
    average_price: Decimal | None
    fills_id: str = ""


@dataclass(frozen=True)
class Resting:
    """An order that rests at the venue, whoever sent it; `price` is its limit or its trigger."""

    client_order_id: str
    exchange_order_id: str
    symbol: str
    side: str
    type: str
    quantity: Decimal
    price: Decimal | None


@dataclass(frozen=True)
class TradeReport:
    """A fill as the venue knows it; `at_ms` is exchange time. `realized` is its own figure of the profit, where it has one."""

    trade_id: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_currency: str
    at_ms: int
    realized: Decimal | None = None


@dataclass(frozen=True)
class ListedTrade:
    """A fill with the order it belongs to, whoever sent that."""

    exchange_order_id: str
    side: str
    trade: TradeReport


@dataclass(frozen=True)
class Balance:
    """Quote currency: everything the account is worth at cost, and what of it can still be used."""

    currency: str
    total: Decimal
    available: Decimal


@dataclass(frozen=True)
class Held:
    """What the account holds of a symbol: signed quantity in base, and its cost in quote where the venue knows it."""

    quantity: Decimal
    cost: Decimal | None


@dataclass(frozen=True)
class Features:
    """
    How a venue differs from others.

    `settles_after_s` is how long (real time) after an order was sent the venue may still come to know it: before that,
    "no such order" proves nothing. `exits_share` says whether a stop and a target can rest for the same quantity;
    where they can't, resting exits also stand in the way of selling at market. `owns_wallet` says whether whatever the
    account holds can only be from here: a spot wallet may hold somebody's savings.
    """

    settles_after_s: float = 0.0
    exits_share: bool = True
    owns_wallet: bool = True


class Exchange(Protocol):
    """A venue. Senders may raise `Rejected` or `Unclear`; readers `Unclear`, and `Rejected` when the account may not ask."""

    @property
    def features(self) -> Features:
        """How it differs."""

    def place(self, request: OrderRequest) -> OrderReport:
        """Send an order."""

    def cancel(self, *, symbol: str, client_order_id: str) -> OrderReport:
        """Cancel an order and return how it stands; one that is finished already is returned as it is."""

    def order(self, *, symbol: str, client_order_id: str) -> OrderReport:
        """Look an order up. :raises OrderNotFound:"""

    def trades(self, *, symbol: str, report: OrderReport) -> list[TradeReport]:
        """
        The fills of an order, oldest first.

        :raises Unclear: if they don't add up to what the report says is filled
        """

    def trades_since(self, *, symbol: str, since_ms: int) -> list[ListedTrade]:
        """All fills of a symbol from a moment on, oldest first, whoever caused them."""

    def open_orders(self) -> list[Resting]:
        """All that rests at the venue for this account."""

    def balance(self) -> Balance:
        """The account's quote currency."""

    def held(self, *, symbol: str) -> Held:
        """What the account holds of a symbol."""

    def holdings(self) -> Mapping[str, Held]:
        """All that the account holds, by symbol."""
