"""Candles and instruments over REST, by `requests`. Errors are those of `feed.contract`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import requests

from monitoring import clock, intervals

from . import registry
from .contract import BadFrame, ClosedCandle, InstrumentInfo, RestCall, RestDown, RestLimited, RestRefused

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5, 15
DEFAULT_RETRY_AFTER_S = 30.0


class RestClient:
    """One market's REST API on a kept connection; not to be shared between threads."""

    def __init__(self, *, market: str) -> None:
        self._adapter = registry.adapter(market)
        self._base = registry.rest_address(market)
        self._session = requests.Session()

    def instruments(self) -> list[InstrumentInfo]:
        """All symbols of the market."""
        return self._adapter.instruments(self._get(self._adapter.instruments_call()))

    def candles(self, *, symbol: str, interval: str, start: int, end: int) -> Iterator[list[ClosedCandle]]:
        """
        Closed candles with open times from `start` to `end` (ms, both included), page by page, oldest first.

        An exchange that lacks a candle leaves it out; the caller compares.
        """
        length, limit = intervals.length_ms(interval), self._adapter.limits.rows_per_call
        while start <= end:
            rows = min(limit, (end - start) // length + 1)
            body = self._get(self._adapter.candles_call(symbol=symbol, interval=interval, start=start, limit=rows))
            found = self._adapter.candles(body, symbol=symbol, interval=interval, now_ms=clock.now_ms())
            page = [candle for candle in found if start <= candle.open_time <= end]
            if not page:
                return
            yield page
            start = page[-1].open_time + length

    def _get(self, call: RestCall) -> Any:
        try:
            answer = self._session.get(
                f"{self._base}{call.path}", params=dict(call.query), timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S), allow_redirects=False
            )
        except requests.RequestException as error:
            raise RestDown(f"{call.path}: {type(error).__name__}") from error
        if answer.status_code in (418, 429):
            raise RestLimited(f"{call.path}: {answer.status_code}", retry_after_s=_retry_after(answer))
        if answer.status_code >= 500 or answer.status_code == 403:  # 403 comes from the firewall in front, not from the exchange
            raise RestDown(f"{call.path}: {answer.status_code}")
        try:
            body = answer.json()
        except requests.JSONDecodeError as error:
            raise BadFrame(f"{call.path}: the answer is not JSON") from error
        if answer.status_code != 200:
            raise RestRefused(f"{call.path}: {str(body)[:200]}")
        return body


def _retry_after(answer: requests.Response) -> float:
    try:
        return max(1.0, float(answer.headers["Retry-After"]))
    except (KeyError, ValueError):
        return DEFAULT_RETRY_AFTER_S
