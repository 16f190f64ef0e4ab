"""
Who may ask the simulated exchange for what: keys, signatures, time windows and limits, with faults on request.

Any API key is an account, which begins with 100,000 USDT at each venue; its secret is `secret_of(key)`. With a journal
file every request that was done is kept, and done again at its own time after a restart, so that a kill forgets nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl

from monitoring.simulator.market import GRID_MS, Listing, Market
from monitoring.simulator.rest import RestError

from .api import Api
from .books import Book
from .faults import MAINTENANCE_S, Fault, NoFaults, Trouble

START_USDT = Decimal(100_000)
LARGEST_WINDOW_MS, AHEAD_MS = 60_000, 1_000
ORDERS_PER_10_S = 300
UNSIGNED = ("/api/v3/time", "/fapi/v1/time")


class Faults(Protocol):
    """Says what goes wrong with the next request."""

    def next(self, *, method: str, path: str) -> Fault | None: ...


@dataclass(frozen=True)
class Answer:
    """What goes back: with `is_cut` the connection breaks instead."""

    status: int
    body: Any
    headers: Mapping[str, str]
    is_cut: bool = False
    delay_s: float = 0.0


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
    """Both venues for any number of accounts. One request at a time."""

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
        self._apis: dict[tuple[str, bool], Api] = {}
        self._lock = threading.Lock()
        self._quiet_until = 0.0  # monotonic
        self._placed: dict[str, deque[int]] = {}
        self._journal = journal
        self._samples = [self._new(is_futures=False), self._new(is_futures=True)]
        if journal and journal.exists():
            self._replay(journal)

    def serves(self, path: str) -> bool:
        """Whether this is a trading path; market data is served elsewhere."""
        return path in UNSIGNED or any(api.serves(path) for api in self._samples)

    def api(self, key: str, *, is_futures: bool) -> Api:
        """The account of a key at a venue, opened when it is first asked for."""
        if (key, is_futures) not in self._apis:
            self._apis[key, is_futures] = self._new(is_futures=is_futures)
        return self._apis[key, is_futures]

    def handle(self, method: str, path: str, *, query: str, body: str, headers: Mapping[str, str]) -> Answer:
        """Answer one request; `headers` by small names."""
        with self._lock:
            try:
                return self._handle(method, path, query, body, headers)
            except RestError as error:
                return Answer(error.status, error.body, error.headers)

    def _handle(self, method: str, path: str, query: str, body: str, headers: Mapping[str, str]) -> Answer:
        now = self._clock_ms()
        if path in UNSIGNED:
            return Answer(200, {"serverTime": now}, {})
        if time.monotonic() < self._quiet_until:
            return Answer(503, {"code": -1016, "msg": "This service is no longer available."}, {})
        fault = self.faults.next(method=method, path=path)
        trouble = fault.trouble if fault else None
        if fault and (answer := self._not_done(fault)):
            return answer
        key = headers.get("x-mbx-apikey", "")
        params = _checked(key, query, body, now)
        if method == "POST" and path.lower().endswith("order"):
            self._count(key, now)
        part = fault.part if fault and trouble is Trouble.PARTIAL else Decimal(1)
        api = self.api(key, is_futures=path.startswith("/fapi/"))
        if not api.knows(method, path):
            raise RestError(404, -1, f"no such endpoint: {method} {path}")
        found = api.handle(method, path, params, now_ms=now, part=part)
        if method != "GET" and self._journal:
            line = json.dumps([now, key, method, path, params, str(part)])
            with self._journal.open("a") as file:
                file.write(f"{line}\n")
        if trouble is Trouble.SERVER_ERROR_DONE:
            return Answer(503, {"code": -1000, "msg": "Unknown error, please check your request or try again later."}, {})
        if trouble is Trouble.TIMEOUT_DONE:
            return _timeout()
        delay_s = fault.delay_s if fault and trouble is Trouble.SLOW else 0.0
        return Answer(200, found, {"X-MBX-USED-WEIGHT-1M": "1"}, is_cut=trouble is Trouble.ANSWER_LOST, delay_s=delay_s)

    def _not_done(self, fault: Fault) -> Answer | None:
        """The answer to a request that gets no further; None when it does."""
        match fault.trouble:
            case Trouble.LOST:
                return Answer(200, {}, {}, is_cut=True)
            case Trouble.SERVER_ERROR:
                return Answer(503, {"code": -1000, "msg": "Unknown error, please check your request or try again later."}, {})
            case Trouble.TIMEOUT:
                return _timeout()
            case Trouble.REJECTED:
                return Answer(400, {"code": -2010, "msg": "Account has insufficient balance for requested action."}, {})
            case Trouble.FILTER:
                return Answer(400, {"code": -1013, "msg": "Filter failure: PERCENT_PRICE_BY_SIDE"}, {})
            case Trouble.CLOCK:
                return Answer(400, {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}, {})
            case Trouble.TOO_MANY | Trouble.BANNED:
                status = 429 if fault.trouble is Trouble.TOO_MANY else 418
                return Answer(status, {"code": -1003, "msg": "Way too many requests."}, {"Retry-After": str(fault.retry_after_s)})
            case Trouble.MAINTENANCE:
                self._quiet_until = time.monotonic() + MAINTENANCE_S
                return Answer(503, {"code": -1016, "msg": "This service is no longer available."}, {})
        return None

    def _count(self, key: str, now: int) -> None:
        placed = self._placed.setdefault(key, deque())
        while placed and placed[0] <= now - 10_000:
            placed.popleft()
        if len(placed) >= ORDERS_PER_10_S:
            raise RestError(429, -1015, "Too many new orders; current limit is 300 orders per 10 SECOND.", {"Retry-After": "10"})
        placed.append(now)

    def _new(self, *, is_futures: bool) -> Api:
        return Api(Book(self._listings, self._prices, is_futures, wallet={"USDT": START_USDT}))

    def _replay(self, journal: Path) -> None:
        """Do again what was done; a last line that a kill has cut was never answered."""
        for line in journal.read_text().splitlines():
            try:
                now, key, method, path, params, part = json.loads(line)
            except ValueError:
                continue
            self.api(key, is_futures=path.startswith("/fapi/")).handle(method, path, params, now_ms=now, part=Decimal(part))


def secret_of(key: str) -> str:
    """The secret that belongs to a key."""
    return f"secret-of-{key}"


def _timeout() -> Answer:
    return Answer(408, {"code": -1007, "msg": "Timeout waiting for response from backend server. Send status unknown."}, {})


def _checked(key: str, query: str, body: str, now: int) -> dict[str, str]:
    """The parameters of a request whose key, signature and time are right."""
    if not key:
        raise RestError(401, -2014, "API-key format invalid.")
    params = dict(parse_qsl(f"{query}&{body}".strip("&"), keep_blank_values=True))
    signed = (query + body).rpartition("&signature=")[0]
    wanted = hmac.new(secret_of(key).encode(), signed.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(wanted, params.pop("signature", "")):
        raise RestError(400, -1022, "Signature for this request is not valid.")
    try:
        at, window = int(params.pop("timestamp", "0")), int(params.pop("recvWindow", "5000"))
    except ValueError as error:
        raise RestError(400, -1100, "Illegal characters found in parameter 'timestamp'.") from error
    if window > LARGEST_WINDOW_MS:
        raise RestError(400, -1131, "recvWindow must be less than 60000")
    if at >= now + AHEAD_MS or now - at > window:
        raise RestError(400, -1021, "Timestamp for this request is outside of the recvWindow.")
    return params
