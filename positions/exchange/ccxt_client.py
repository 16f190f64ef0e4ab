"""
ccxt as the hands at an exchange: signing, addresses, connection, pacing. What an answer means is decided here.

Orders go by the exchange's own endpoints and not by ccxt's unified calls: those drop attached stops without a word, turn
an edited stop into a market order and a market order with a price into one by quote, round a stop across the market, and
report a ban like a lost connection (ccxt 4.5.90). What may have been done (5xx, -1007, no answer) is `Unclear`; what
surely was not is `Rejected`, `Throttled` or `OrderNotFound`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import ccxt

from .contract import ExchangeError, InsufficientFunds, OrderNotFound, Rejected, Throttled, Unclear

logger = logging.getLogger(__name__)
HOST = re.compile(r"https://[a-z0-9.-]+")
TIMEOUT_MS = 10_000  # the exchange's own server gives up after ten seconds
RECEIVE_WINDOW_MS = 10_000
REST_MS = 25  # between requests, times their weight: 2,400 a minute, which both markets allow
WAIT_S = 5.0  # when a refusal names no time of its own

CLOCK = -1021
NOT_KNOWN = {-2013, -2011}
TOO_MANY = {-1003, -1015}
# The request's fate is open, or the id is in use by an order of ours whose fate was: ask before anything else is sent.
OPEN_FATE = {-1000, -1001, -1006, -1007, -1008, -1016, -4116}
KEYS = {-1022, -2014, -2015}
FUTURES = {-2019: "insufficient_funds", -2021: "would_trigger", -2022: "reduce_only", -4164: "notional", -1111: "lot_size"}
FILTERS = {"LOT_SIZE": "lot_size", "PRICE_FILTER": "price_filter", "NOTIONAL": "notional"}


class _Answered(Exception):
    """An answer that is an error: its HTTP status, the exchange's own code and words, and how long it wants to be left alone."""

    def __init__(self, status: int, code: int | None, message: str, wait_s: float | None) -> None:
        super().__init__(f"HTTP {status} {code or ''} {message}")
        self.status, self.code, self.message, self.wait_s = status, code, message, wait_s


class BinanceClient(ccxt.binance):
    """
    ccxt's Binance on the desk's clock, whose errors keep the exchange's own code.

    ccxt picks an error by the address of the request, so that against any other address the codes of futures are lost.
    """

    def __init__(self, *, api_key: str, secret: str, base_url: str, clock_ms: Callable[[], int]) -> None:
        options = {"recvWindow": RECEIVE_WINDOW_MS, "timeDifference": 0}
        super().__init__({"apiKey": api_key, "secret": secret, "timeout": TIMEOUT_MS, "rateLimit": REST_MS, "options": options})
        self._clock_ms = clock_ms
        if base_url:
            self.urls["api"] = {
                name: HOST.sub(base_url, url, count=1) if isinstance(url, str) else url for name, url in self.urls["api"].items()
            }

    def nonce(self) -> int:
        """The request's time in the exchange's milliseconds."""
        return int(self._clock_ms() - self.options["timeDifference"])

    def set_clock(self, *, server_ms: int) -> None:
        """Follow the exchange's clock from now on."""
        self.options["timeDifference"] = self._clock_ms() - server_ms

    def handle_errors(self, *found: Any) -> None:
        """ccxt hands over status, reason, address, method, headers, text and parsed body of an answer."""
        code, reason, _url, _method, headers, _text, body = found[:7]
        said = body if isinstance(body, dict) else {}
        number = _integer(said.get("code"))
        if code < 400 and (number is None or number >= 0):
            return
        wait = (headers or {}).get("Retry-After")
        raise _Answered(code, number, str(said.get("msg") or reason)[:300], float(wait) if wait and str(wait).isdigit() else None)


class Caller:
    """Calls endpoints of one account; every failure is one of the contract's errors."""

    def __init__(self, client: BinanceClient, *, time_path: str) -> None:
        self._client, self._time_path = client, time_path

    def get(self, name: str, params: Mapping[str, Any]) -> Any:
        """Call a reading endpoint by ccxt's name for it."""
        return self._call(name, params)

    def send(self, name: str, params: Mapping[str, Any]) -> Any:
        """Call an endpoint that changes something; a clock that was refused is set right, and then it is sent for the first time."""
        return self._call(name, params)

    def _call(self, name: str, params: Mapping[str, Any], *, again: bool = True) -> Any:
        try:
            return getattr(self._client, name)(dict(params))
        except _Answered as error:
            if error.code == CLOCK and again:
                self._set_clock()
                return self._call(name, params, again=False)
            raise _meaning(error) from error
        except ccxt.BaseError as error:
            # No answer, or none that can be read: ccxt's text holds the address with the signed query, so only its kind is kept.
            raise Unclear(f"no clear answer ({type(error).__name__})") from None

    def _set_clock(self) -> None:
        answer = self._call(self._time_path, {}, again=False)
        self._client.set_clock(server_ms=int(answer["serverTime"]))
        logger.warning("the exchange's clock differs; it is followed from now on")


def _meaning(error: _Answered) -> ExchangeError:
    code, text = error.code, error.message
    if error.status in (418, 429) or code in TOO_MANY:
        return Throttled(f"HTTP {error.status}: {text}", wait_s=error.wait_s or WAIT_S)
    if code in NOT_KNOWN:
        return OrderNotFound(text)
    if error.status >= 500 or code is None or code in OPEN_FATE or text == "Duplicate order sent.":
        return Unclear(str(error))
    if code in KEYS or error.status == 401:
        return Rejected("credentials", f"{code}: {text}")
    if "insufficient balance" in text or code == -2019:
        return InsufficientFunds("insufficient_funds", text)
    if "trigger immediately" in text:
        return Rejected("would_trigger", text)
    named = next((name for part, name in FILTERS.items() if part in text), FUTURES.get(code))
    return Rejected(named or f"binance_{-code}", text)


def _integer(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
