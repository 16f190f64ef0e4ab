"""ccxt's Binance, and what Binance's error codes mean. Source: binance-spot-api-docs, errors.md (2026-07-21)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import ccxt

from .calling import RECEIVE_WINDOW_MS, TIMEOUT_MS, WAIT_S, Answered, DeskClient, integer
from .contract import ExchangeError, InsufficientFunds, OrderNotFound, Rejected, Throttled, Unclear

HOST = re.compile(r"https://[a-z0-9.-]+")
REST_MS = 25  # between requests, times their weight: 2,400 a minute, which both markets allow

CLOCK = -1021
NOT_KNOWN = {-2013, -2011}
TOO_MANY = {-1003, -1015}
# The request's fate is open, or the id is in use by an order of ours whose fate was: ask before anything else is sent.
OPEN_FATE = {-1000, -1001, -1006, -1007, -1008, -1016, -4116}
KEYS = {-1022, -2014, -2015}
FUTURES = {-2019: "insufficient_funds", -2021: "would_trigger", -2022: "reduce_only", -4164: "notional", -1111: "lot_size"}
FILTERS = {"LOT_SIZE": "lot_size", "PRICE_FILTER": "price_filter", "NOTIONAL": "notional"}


class BinanceClient(DeskClient, ccxt.binance):
    """Binance by the desk's clock, spot or USD-M futures."""

    clock_code = CLOCK

    def __init__(self, *, api_key: str, secret: str, base_url: str, clock_ms: Callable[[], int], time_path: str) -> None:
        options = {"recvWindow": RECEIVE_WINDOW_MS, "timeDifference": 0}
        super().__init__({"apiKey": api_key, "secret": secret, "timeout": TIMEOUT_MS, "rateLimit": REST_MS, "options": options})
        self.clock_ms, self.time_path = clock_ms, time_path
        if base_url:
            self.urls["api"] = {
                name: HOST.sub(base_url, url, count=1) if isinstance(url, str) else url for name, url in self.urls["api"].items()
            }

    def failure(self, status: int, reason: str, headers: Mapping[str, str], body: Any) -> Answered | None:
        said = body if isinstance(body, dict) else {}
        code = integer(said.get("code"))
        if status < 400 and (code is None or code >= 0):
            return None
        wait = headers.get("Retry-After")
        return Answered(status, code, str(said.get("msg") or reason)[:300], float(wait) if wait and str(wait).isdigit() else None)

    def meaning(self, error: Answered) -> ExchangeError:
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

    def server_ms(self, answer: Any) -> int:
        return int(answer["serverTime"])
