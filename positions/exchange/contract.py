"""
What every venue does for us, and how it fails. Pure.

ExchangeError
  Rejected            the venue said no; nothing was done
    InsufficientFunds   not enough balance
  OrderNotFound       the venue knows no such order
  Unclear             no clear answer: it may or may not have been done; ask by client order id before anything else
"""

from __future__ import annotations

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
    """An order as the venue knows it."""

    client_order_id: str
    exchange_order_id: str
    status: str
    filled: Decimal
    average_price: Decimal | None


@dataclass(frozen=True)
class TradeReport:
    """A fill as the venue knows it; `at_ms` is exchange time."""

    trade_id: str
    price: Decimal
    quantity: Decimal
    fee: Decimal
    fee_currency: str
    at_ms: int


@dataclass(frozen=True)
class Balance:
    """Quote currency: everything the account is worth at cost, and what of it can still be used."""

    currency: str
    total: Decimal
    available: Decimal


@dataclass(frozen=True)
class Held:
    """What the account holds of a symbol: signed quantity in base, and its cost in quote."""

    quantity: Decimal
    cost: Decimal


class Exchange(Protocol):
    """A venue. Senders may raise `Rejected` or `Unclear`; readers `Unclear`."""

    def place(self, request: OrderRequest) -> OrderReport:
        """Send an order."""

    def cancel(self, *, symbol: str, client_order_id: str) -> OrderReport:
        """Cancel an order and return how it stands; one that is finished already is returned as it is."""

    def order(self, *, symbol: str, client_order_id: str) -> OrderReport:
        """Look an order up. :raises OrderNotFound:"""

    def trades(self, *, symbol: str, client_order_id: str) -> list[TradeReport]:
        """The fills of an order, oldest first."""

    def open_orders(self, *, symbol: str) -> list[OrderReport]:
        """What rests at the venue."""

    def balance(self) -> Balance:
        """The account's quote currency."""

    def held(self, *, symbol: str) -> Held:
        """What the account holds of a symbol."""
