"""
The trading side of the simulated exchange: Binance spot and USD-M futures, Bybit and OKX, with limits and faults on request.

Any API key is an account, which begins with 100,000 USDT at each of them; its secret is `secret_of(key)`. With a journal
file every request that was done is kept, and done again at its own time after a restart, so that a kill forgets nothing.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

from monitoring.simulator.market import GRID_MS, Listing, Market
from monitoring.simulator.rest import RestError

from . import okx
from .access import Access, Answer, BinanceAccess, BybitAccess, OkxAccess, Request, trouble_of
from .binance import BinanceApi
from .books import Book
from .bybit import BybitApi
from .endpoints import Endpoints
from .faults import MAINTENANCE_S, Fault, NoFaults, Trouble

START_USDT = Decimal(100_000)
ORDERS_PER_10_S = 300
DONE = {Trouble.SERVER_ERROR_DONE: Trouble.SERVER_ERROR, Trouble.TIMEOUT_DONE: Trouble.TIMEOUT}
INSTRUMENTS_OF_OKX = "/api/v5/public/instruments"


class Faults(Protocol):
    """Says what goes wrong with the next request."""

    def next(self, *, method: str, path: str) -> Fault | None: ...


@dataclass(frozen=True)
class Venue:
    """One exchange: how it lets in, what it offers, and whether it lends."""

    access: Access
    api: Callable[[Book], Endpoints]
    is_futures: bool = True


BINANCE = BinanceAccess()
VENUES = {
    "binance": Venue(BINANCE, BinanceApi, is_futures=False),
    "binance_futures": Venue(BINANCE, BinanceApi),
    "bybit": Venue(BybitAccess(), BybitApi),
    "okx": Venue(OkxAccess(), okx.OkxApi),
}


class MarketPrices:
    """The prices of the simulated market."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def price(self, *, symbol: str, at_ms: int) -> Decimal:
        return self._market.price(symbol=symbol, at_ms=at_ms)

    def path(self, *, symbol: str, after_ms: int, until_ms: int) -> Iterable[tuple[int, Decimal]]:
        first, last = after_ms // GRID_MS + 1, until_ms // GRID_MS
        if last < first:
            return []
        candles = self._market.candles(symbol=symbol, start=first * GRID_MS, length_ms=GRID_MS, count=last - first + 1)
        tick = self._market.listings[symbol].tick
        return [(int(at), int(ticks) * tick) for at, ticks in zip(candles.open_time, candles.open, strict=True)]


class Gateway:
    """All venues for any number of accounts. One request at a time."""

    def __init__(
        self,
        *,
        listings: Mapping[str, Listing],
        prices: Any,
        clock_ms: Callable[[], int],
        faults: Faults | None = None,
        journal: Path | None = None,
    ) -> None:
        self.faults: Faults = faults or NoFaults()
        self._listings, self._prices, self._clock_ms = listings, prices, clock_ms
        self._apis: dict[tuple[str, str], Endpoints] = {}
        self._lock = threading.Lock()
        self._quiet_until = 0.0  # monotonic
        self._placed: dict[str, deque[int]] = {}
        self._journal = journal
        self._samples = {name: self._new(name) for name in VENUES}
        if journal and journal.exists():
            self._replay(journal)

    def serves(self, path: str) -> bool:
        """Whether this is a trading path; market data is served elsewhere."""
        return path == INSTRUMENTS_OF_OKX or self._venue(path) is not None

    def api(self, key: str, *, venue: str) -> Any:
        """The account of a key at a venue (one of VENUES), opened when it is first asked for."""
        if (key, venue) not in self._apis:
            self._apis[key, venue] = self._new(venue)
        return self._apis[key, venue]

    def handle(self, method: str, path: str, *, query: str, body: str, headers: Mapping[str, str]) -> Answer:
        """Answer one request; `headers` by small names."""
        request, now = Request(method, path, query, body, headers), self._clock_ms()
        if path == INSTRUMENTS_OF_OKX:
            return VENUES["okx"].access.done(okx.instruments(self._listings.values()), now)
        name = self._venue(path)
        if name is None:
            return Answer(404, {}, {})
        access = VENUES[name].access
        if path in access.time_paths:
            return Answer(200, access.time(now), {})
        with self._lock:
            try:
                return self._handle(name, request, now)
            except RestError as error:
                return access.error(error, request, now)

    def _handle(self, name: str, request: Request, now: int) -> Answer:
        access = VENUES[name].access
        if time.monotonic() < self._quiet_until:
            return trouble_of(access, Fault(Trouble.MAINTENANCE), Trouble.MAINTENANCE, request, now)
        fault = self.faults.next(method=request.method, path=request.path)
        trouble = fault.trouble if fault else None
        if fault and trouble and (answer := self._not_done(access, fault, trouble, request, now)):
            return answer
        params, key = access.checked(request, now), access.key(request)
        if access.is_order(request.method, request.path):
            self._count(access, key, now)
        part = fault.part if fault and trouble is Trouble.PARTIAL else Decimal(1)
        api = self.api(key, venue=name)
        if not api.knows(request.method, request.path):
            raise RestError(404, -1, f"no such endpoint: {request.method} {request.path}")
        found = access.done(api.handle(request.method, request.path, params, now_ms=now, part=part), now)
        if request.method != "GET" and self._journal:
            line = json.dumps([now, key, request.method, request.path, params, str(part)])
            with self._journal.open("a") as file:
                file.write(f"{line}\n")
        if fault and trouble in DONE:
            return trouble_of(access, fault, DONE[trouble], request, now)
        delay_s = fault.delay_s if fault and trouble is Trouble.SLOW else 0.0
        return replace(found, is_cut=trouble is Trouble.ANSWER_LOST, delay_s=delay_s)

    def _not_done(self, access: Access, fault: Fault, trouble: Trouble, request: Request, now: int) -> Answer | None:
        """The answer to a request that gets no further; None when it does."""
        if trouble is Trouble.LOST:
            return Answer(200, {}, {}, is_cut=True)
        if trouble is Trouble.MAINTENANCE:
            self._quiet_until = time.monotonic() + MAINTENANCE_S
        return trouble_of(access, fault, trouble, request, now) if trouble in access.troubles else None

    def _count(self, access: Access, key: str, now: int) -> None:
        placed = self._placed.setdefault(key, deque())
        while placed and placed[0] <= now - 10_000:
            placed.popleft()
        if len(placed) >= ORDERS_PER_10_S:
            raise RestError(*access.too_many_orders, dict(access.wait_headers(10, now)))
        placed.append(now)

    def _venue(self, path: str) -> str | None:
        """Whose path it is."""
        return next((name for name, api in self._samples.items() if path in VENUES[name].access.time_paths or api.serves(path)), None)

    def _new(self, venue: str) -> Endpoints:
        found = VENUES[venue]
        return found.api(Book(self._listings, self._prices, found.is_futures, wallet={"USDT": START_USDT}))

    def _replay(self, journal: Path) -> None:
        """Do again what was done; a last line that a kill has cut was never answered."""
        for line in journal.read_text().splitlines():
            try:
                now, key, method, path, params, part = json.loads(line)
            except ValueError:
                continue
            if venue := self._venue(path):
                self.api(key, venue=venue).handle(method, path, params, now_ms=now, part=Decimal(part))
