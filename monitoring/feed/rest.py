"""Candles, instruments and time over REST, by `requests`. Errors are those of `feed.contract`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import orjson
import requests

from monitoring import clock, intervals

from . import parsing, registry
from .contract import BadFrame, ClosedCandle, FormingCandle, InstrumentInfo, RestCall, RestDown, RestLimited, RestNotAsked, RestRefused
from .exchange_time import ExchangeTime, Quiet

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5, 15
DEFAULT_RETRY_AFTER_S = 30.0
TIME_IS_GOOD_FOR_S = 60.0
WEIGHT_SHARE = 0.7  # of the exchange's limit; orders and other programs of the same host need the rest
WEIGHT_PAUSE_S = 10.0
LONGEST_ANSWER_S, LARGEST_ANSWER = 30.0, 64 * 2**20  # the time limit of `requests` is for each read, not for the whole


class RestClient:
    """
    One market's REST API on a kept connection; not to be shared between threads.

    Clients of one market share `time` and `quiet`, so that one that is told to be silent silences all.
    """

    def __init__(
        self, *, market: str, time: ExchangeTime | None = None, quiet: Quiet | None = None, read_timeout_s: float = READ_TIMEOUT_S
    ) -> None:
        self._timeouts = (CONNECT_TIMEOUT_S, read_timeout_s)
        self._adapter = registry.adapter(market)
        self._session = requests.Session()
        self._time, self._quiet = time or ExchangeTime(), quiet or Quiet()

    def instruments(self) -> list[InstrumentInfo]:
        """All symbols of the market."""
        return self._adapter.instruments(self._get(self._adapter.instruments_call()))

    def measure_time(self) -> None:
        """Ask for the exchange's time and keep how far ours is from it."""
        asked = clock.now_ms()
        exchange_ms = self._adapter.time_ms(self._get(self._adapter.time_call()))
        self._time.measured(
            exchange_ms=exchange_ms, asked_ms=asked, answered_ms=clock.now_ms(), resolution_ms=self._adapter.time_resolution_ms
        )

    def candles(self, *, symbol: str, interval: str, start: int, end: int) -> Iterator[list[ClosedCandle]]:
        """
        Closed candles with open times from `start` to `end` (ms, both included), page by page, oldest first.

        An exchange that lacks a candle leaves it out; the caller compares.
        """
        if self._time.is_older_than(TIME_IS_GOOD_FOR_S):
            self.measure_time()
        length, limit = intervals.length_ms(interval), self._adapter.limits.rows_per_call
        while start <= end:
            rows = min(limit, (end - start) // length + 2)  # one more than asked for: its successor makes a row final
            # Before the question: a row may close while the answer, in which it is still open, is on its way.
            closed_by = self._time.surely_past(clock.now_ms())
            body = self._get(self._adapter.candles_call(symbol=symbol, interval=interval, start=start, limit=rows))
            found = self._adapter.candles(body, symbol=symbol, interval=interval, now_ms=closed_by)
            page = [candle for candle in found if start <= candle.open_time <= end]
            if not page:
                return
            yield page
            start = page[-1].open_time + length

    def forming(self, *, symbol: str, interval: str) -> FormingCandle | None:
        """The candle that is open now, as it stands; None where the venue tells of none."""
        if not self._adapter.sends_candles:
            return None
        start = intervals.open_time_at(at_ms=clock.now_ms(), interval=interval)
        row = self._adapter.newest_row(self._get(self._adapter.candles_call(symbol=symbol, interval=interval, start=start, limit=1)))
        found = parsing.forming(row, symbol=symbol, interval=interval) if row else None
        return found if found and found.open_time >= start else None

    def _get(self, call: RestCall) -> Any:
        if (left := self._quiet.left_s) > 0:
            raise RestNotAsked(f"{call.path}: not asked, to be left alone", retry_after_s=left)
        try:
            answer = self._session.get(
                f"{registry.rest_address(self._adapter.market, api=call.api)}{call.path}",
                params=dict(call.query),
                timeout=self._timeouts,
                allow_redirects=False,
                stream=True,
            )
            content = _read(answer)
        except requests.RequestException as error:
            self._quiet.failed()
            raise RestDown(f"{call.path}: {type(error).__name__}") from error
        if answer.status_code in (418, 429):
            wait = _retry_after(answer)
            self._quiet.keep(wait)
            raise RestLimited(f"{call.path}: {answer.status_code}", retry_after_s=wait)
        self._spare_weight(answer)
        if answer.status_code >= 500 or answer.status_code == 403:  # 403 comes from the firewall in front, not from the exchange
            self._quiet.failed()
            raise RestDown(f"{call.path}: {answer.status_code}")
        self._quiet.succeeded()
        try:
            body = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise BadFrame(f"{call.path}: the answer is not JSON") from error
        if answer.status_code != 200:
            raise RestRefused(f"{call.path}: {str(body)[:200]}")
        return body

    def _spare_weight(self, answer: requests.Response) -> None:
        """Be quiet for a while when most of the minute's request weight is used."""
        limits = self._adapter.limits
        used = answer.headers.get(limits.weight_header, "") if limits.weight_header else ""
        if used.isdigit() and int(used) > limits.weight_per_minute * WEIGHT_SHARE:
            self._quiet.keep(WEIGHT_PAUSE_S)


def _read(answer: requests.Response) -> bytes:
    deadline, content = time.monotonic() + LONGEST_ANSWER_S, bytearray()
    with answer:
        for chunk in answer.iter_content(65_536):
            content += chunk
            if time.monotonic() > deadline or len(content) > LARGEST_ANSWER:
                raise RestDown(f"an answer that does not end: {len(content)} bytes so far")
    return bytes(content)


def _retry_after(answer: requests.Response) -> float:
    try:
        return max(1.0, float(answer.headers["Retry-After"]))
    except (KeyError, ValueError):
        return DEFAULT_RETRY_AFTER_S
