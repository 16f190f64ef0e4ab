"""The simulated exchange's REST side: market data as Binance spot and USD-M futures answer it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from monitoring.simulator import wire
from monitoring.simulator.market import Listing, Market

SPOT, FUTURES = "/api/v3/", "/fapi/v1/"
MAX_ROWS = 1000
WEIGHT_PER_MINUTE = 6000
WEIGHTS = {"/api/v3/klines": 2, "/api/v3/exchangeInfo": 20, "/api/v3/time": 1, "/api/v3/ping": 1}


class RestError(Exception):
    """An answer in Binance's error form."""

    def __init__(self, status: int, code: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers or {}
        self.body = {"code": code, "msg": message}


class RestApi:
    """Answers one GET at a time; knows the weight used in the current minute of app time."""

    def __init__(self, *, market: Market, clock_ms: Callable[[], int]) -> None:
        self._market, self._clock_ms = market, clock_ms
        self._minute, self._used = 0, 0

    def get(self, path: str, query: dict[str, str], *, lag_ms: int = 0) -> tuple[int, dict[str, str], Any]:
        """Status, headers and body of the answer; candles as they stood `lag_ms` ago."""
        try:
            self._charge(WEIGHTS.get(path.replace(FUTURES, SPOT, 1), 1))
            body = self._answer(path, query, lag_ms)
        except RestError as error:
            return error.status, {**self._headers(), **error.headers}, error.body
        return 200, self._headers(), body

    def _answer(self, path: str, query: dict[str, str], lag_ms: int) -> Any:
        is_futures = path.startswith(FUTURES)
        match path.replace(FUTURES, SPOT, 1):
            case "/api/v3/ping":
                return {}
            case "/api/v3/time":
                return {"serverTime": self._clock_ms()}
            case "/api/v3/exchangeInfo":
                return wire.exchange_info(listings=self._listings(query), now_ms=self._clock_ms(), is_futures=is_futures)
            case "/api/v3/klines":
                return self._klines(query, self._clock_ms() - lag_ms)
        raise RestError(404, -1, f"no such endpoint: {path}")

    def _klines(self, query: dict[str, str], now: int) -> list[list[Any]]:
        symbol, interval = query.get("symbol", ""), query.get("interval", "")
        if symbol not in self._market.listings:
            raise RestError(400, -1121, "Invalid symbol.")
        if interval not in wire.LENGTH_MS:
            raise RestError(400, -1120, "Invalid interval.")
        limit = min(_integer(query, "limit", 500), MAX_ROWS)
        if limit < 1:
            raise RestError(400, -1130, "Data sent for parameter 'limit' is not valid.")
        length = wire.LENGTH_MS[interval]
        forming = now - now % length
        newest = min(forming, _floor(_integer(query, "endTime", now), length))
        if "startTime" in query:
            start = -_floor(-_integer(query, "startTime", 0), length)  # the first candle that opens at or after it
            count = min(limit, (newest - start) // length + 1)
        else:
            count = limit
            start = newest - (limit - 1) * length
        if count <= 0:
            return []
        candles = self._market.candles(symbol=symbol, start=start, length_ms=length, count=count, until=now)
        return wire.kline_rows(candles=candles, interval=interval)

    def _listings(self, query: dict[str, str]) -> list[Listing]:
        known = self._market.listings
        if "symbol" in query:
            wanted = [query["symbol"]]
        elif "symbols" in query:
            try:
                wanted = json.loads(query["symbols"])
            except json.JSONDecodeError as error:
                raise RestError(400, -1100, "Illegal characters found in parameter 'symbols'.") from error
        else:
            wanted = list(known)
        if any(symbol not in known for symbol in wanted):
            raise RestError(400, -1121, "Invalid symbol.")
        return [known[symbol] for symbol in wanted]

    def _charge(self, weight: int) -> None:
        minute = self._clock_ms() // 60_000
        if minute != self._minute:
            self._minute, self._used = minute, 0
        self._used += weight
        if self._used > WEIGHT_PER_MINUTE:
            wait = str(60 - self._clock_ms() // 1000 % 60)
            raise RestError(429, -1003, "Too many requests; current limit is 6000 request weight per 1 MINUTE.", {"Retry-After": wait})

    def _headers(self) -> dict[str, str]:
        return {"X-MBX-USED-WEIGHT-1M": str(self._used)}


def _integer(query: dict[str, str], name: str, default: int) -> int:
    try:
        return int(query.get(name, default))
    except ValueError as error:
        raise RestError(400, -1100, f"Illegal characters found in parameter '{name}'.") from error


def _floor(ms: int, length_ms: int) -> int:
    return ms - ms % length_ms
