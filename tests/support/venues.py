"""The simulated exchange's trading side under a test's control, asked by the real ccxt client without a socket."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from monitoring import clock as desk_clock
from monitoring.models import Instrument, User
from monitoring.simulator.market import LISTINGS
from positions import credentials
from positions.credentials import Keys
from positions.exchange import factory
from positions.models import ExchangeAccount
from positions.simulator import okx
from positions.simulator.access import PASSPHRASE, Answer, secret_of
from positions.simulator.books import Book
from positions.simulator.faults import Fault, Script, Trouble
from positions.simulator.gateway import Gateway
from tests.support.clocks import SteppingClock
from tests.support.factories import make_instruments, make_user
from tests.support.trading import TradingDesk

URL = "http://simulated"
ORDERS = {
    "binance": "/api/v3/order",
    "binance_futures": "/fapi/v1/order",
    "bybit": "/v5/order/create",
    "okx": "/api/v5/trade/order",
}
STOPS = {**ORDERS, "binance_futures": "/fapi/v1/algoOrder", "okx": "/api/v5/trade/order-algo"}


class Dial:
    """Prices that a test turns; every turn is a point of the path."""

    def __init__(self, price: str = "100") -> None:
        self.points: dict[str, list[tuple[int, Decimal]]] = {}
        self.start = Decimal(price)

    def turn(self, price: str, *, symbol: str = "BTCUSDT") -> None:
        self.points.setdefault(symbol, []).append((desk_clock.now_ms(), Decimal(price)))

    def price(self, *, symbol: str, at_ms: int) -> Decimal:
        return next((price for at, price in reversed(self.points.get(symbol, [])) if at <= at_ms), self.start)

    def path(self, *, symbol: str, after_ms: int, until_ms: int) -> Iterable[tuple[int, Decimal]]:
        return [(at, price) for at, price in self.points.get(symbol, []) if after_ms < at <= until_ms]


class Wire(BaseAdapter):
    """Hands requests to the gateway, and breaks the connection where it says so. Keeps what was asked."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self.gateway = gateway
        self.asked: list[tuple[str, str, str]] = []

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        parts = urlsplit(str(request.url))
        body = request.body.decode() if isinstance(request.body, bytes) else request.body or ""
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.asked.append((str(request.method), parts.path, body or parts.query))
        answer = self.gateway.handle(str(request.method), parts.path, query=parts.query, body=body, headers=headers)
        if answer.is_cut:
            raise requests.ConnectionError("the connection broke")
        return _response(answer, request)

    def close(self) -> None:
        """Nothing is open."""


@contextmanager
def simulated_venue(gateway: Gateway, settings: Any) -> Iterator[Wire]:
    """Every account at Binance trades at this gateway."""
    wire = Wire(gateway)

    def wired(client: type) -> type:
        class Client(client):  # type: ignore[misc]
            def __init__(self, **more: Any) -> None:
                super().__init__(**more)
                self.session.mount(URL, wire)
                self.enableRateLimit = False

        return Client

    known: dict[Any, Any] = {}
    settings.TRADING_URLS, settings.ORDER_SETTLES_SECONDS = dict.fromkeys(settings.TRADING_URLS, URL), 0.0
    with contextlib.ExitStack() as patches:
        for name in ("BinanceClient", "BybitClient", "OkxClient"):
            patches.enter_context(mock.patch.object(factory, name, wired(getattr(factory, name))))
        patches.enter_context(mock.patch.object(factory, "_known", return_value=known))
        yield wire


def symbol_at(market: str, symbol: str = "BTCUSDT") -> str:
    """How a market writes a symbol."""
    return okx.swap(LISTINGS[symbol]) if market == "okx" else symbol


def list_instruments(market: str) -> None:
    """Everything that is traded at a market, by its own names."""
    make_instruments(market=market)
    if market == "okx":
        for instrument in Instrument.objects.filter(market=market, symbol__in=LISTINGS):
            instrument.symbol = symbol_at(market, instrument.symbol)
            instrument.save(update_fields=["symbol"])


def make_venue_account(user: User, *, market: str = "binance_futures", armed: bool = True, **over: Any) -> ExchangeAccount:
    """An account whose key the simulated exchange knows, under limits that are wide enough."""
    list_instruments(market)
    key = f"key-{User.objects.count()}-{ExchangeAccount.objects.count()}"
    values: dict[str, Any] = {"kind": market.partition("_")[0], "market": market, "leverage": 5, "name": key}
    if armed:
        values |= {"is_live": True, "notional_cap": 1_000_000, "armed_at": desk_clock.now(), "armed_by": "test"}
    sealed = credentials.seal(Keys(key, secret_of(key), PASSPHRASE))
    return ExchangeAccount.objects.create(user=user, credentials=sealed, **{**values, **over})


def _response(answer: Answer, request: requests.PreparedRequest) -> requests.Response:
    response = requests.Response()
    response.status_code, response.url, response.request = answer.status, str(request.url), request
    response.headers = CaseInsensitiveDict({**answer.headers, "Content-Type": "application/json"})
    response.raw = io.BytesIO(json.dumps(answer.body).encode())
    response.reason = "simulated"
    return response


class VenueDesk(TradingDesk):
    """A trader at an exchange that is a gateway under the test's control; prices are the dial's."""

    def __init__(self, clock: SteppingClock, wire: Wire, *, market: str = "binance_futures", **profile: Any) -> None:
        self.wire, self.gateway, self.dial = wire, wire.gateway, wire.gateway._prices
        self.symbol = symbol_at(market)
        account = make_venue_account(make_user(), market=market)
        super().__init__(clock, market=market, trader={"user": account.user}, account=account, **profile)

    @property
    def book(self) -> Book:
        """What the exchange knows."""
        book: Book = self.gateway.api(self.account.name, venue=self.market).book
        return book

    def move(self, price: str) -> None:
        """The market goes there, and a second passes."""
        self.clock.to(clock_ms(self.clock) + 1000)
        self.dial.turn(price)
        self.clock.to(clock_ms(self.clock) + 1000)

    def fail(self, *troubles: Trouble | None, method: str = "POST", path: str = "") -> None:
        """What happens to the next requests of this kind."""
        self.gateway.faults = Script([Fault(trouble) if trouble else None for trouble in troubles], method=method, path=path)

    def fail_orders(self, *troubles: Trouble | None) -> None:
        """What happens to the next orders that are no stops."""
        self.fail(*troubles, path=ORDERS[self.market])

    def fail_stops(self, *troubles: Trouble | None) -> None:
        """What happens to the next stops, after an entry."""
        before = [None] if STOPS[self.market] == ORDERS[self.market] else []
        self.fail(*before, *troubles, path=STOPS[self.market])

    def held(self) -> Decimal:
        """What the exchange holds for us."""
        if self.market == "binance":
            return self.book.wallet.get("BTC", Decimal(0))
        return self.book.holdings["BTCUSDT"].amount if "BTCUSDT" in self.book.holdings else Decimal(0)


def clock_ms(clock: SteppingClock) -> int:
    return int(clock.now.timestamp() * 1000)


@contextmanager
def venue_desk(clock: SteppingClock, settings: Any, **more: Any) -> Iterator[VenueDesk]:
    """A desk at a fresh gateway."""
    gateway = Gateway(listings=LISTINGS, prices=Dial(), clock_ms=lambda: clock_ms(clock))
    with simulated_venue(gateway, settings) as wire:
        yield VenueDesk(clock, wire, **more)
