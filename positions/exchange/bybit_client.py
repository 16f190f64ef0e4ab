"""
ccxt's Bybit, and what Bybit's error codes mean.

Source: bybit-exchange/docs, v5 error codes, and their list in ccxt 4.5.90. Errors come with HTTP 200; a 403 is the
firewall, which wants ten minutes without a request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ccxt

from . import calling
from .calling import RECEIVE_WINDOW_MS, TIMEOUT_MS, WAIT_S, Answered, DeskClient, integer
from .contract import ExchangeError, InsufficientFunds, OrderNotFound, Rejected, Throttled, Unclear

CLOCK, BAD_PARAMETER, NOT_MODIFIED = 10002, 10001, 110043
TOO_MANY = {10006, 10018}
FIREWALL_WAIT_S = 600.0
NOT_KNOWN = {110001, 110008, 110010}  # of a cancellation: it does not exist, is finished, or is cancelled already
# The server's own trouble, or an id that is taken, which it is for ever: ask before anything else is sent.
OPEN_FATE = {10000, 10016, 110072}
KEYS = {10003, 10004, 10005, 10007, 10009, 10010, 10027, 10028, 33004}
FUNDS = {110004, 110007, 110012, 110044, 110045}
NAMES = {110017: "reduce_only", 110092: "would_trigger", 110093: "would_trigger", 110094: "notional", 110003: "price_filter"}
PARAMETERS = {"position idx": "hedge_mode", "qty": "lot_size", "contracts": "lot_size", "price": "price_filter"}


class BybitClient(DeskClient, ccxt.bybit):
    """A unified account at Bybit by the desk's clock."""

    clock_code, time_path = CLOCK, "publicGetV5MarketTime"

    def __init__(self, *, api_key: str, secret: str, base_url: str, clock_ms: Callable[[], int]) -> None:
        options = {"recvWindow": RECEIVE_WINDOW_MS, "timeDifference": 0, "brokerId": None}
        super().__init__(
            {"apiKey": api_key, "secret": secret, "timeout": TIMEOUT_MS, "enableRateLimit": calling.IS_PACED, "options": options}
        )
        self.clock_ms = clock_ms
        if base_url:
            self.urls["api"] = dict.fromkeys(self.urls["api"], base_url)

    def failure(self, status: int, reason: str, headers: Mapping[str, str], body: Any) -> Answered | None:
        said = body if isinstance(body, dict) else {}
        code = integer(said.get("retCode"))
        if status < 400 and code == 0:
            return None
        return Answered(status, code, str(said.get("retMsg") or reason)[:300], self._wait_s(status, headers))

    def meaning(self, error: Answered) -> ExchangeError:
        code, text = error.code, error.message
        if error.status in (403, 429) or code in TOO_MANY:
            return Throttled(f"HTTP {error.status} {code or ''}: {text}", wait_s=error.wait_s or WAIT_S)
        if code in NOT_KNOWN:
            return OrderNotFound(text)
        if error.status >= 500 or code is None or code in OPEN_FATE:
            return Unclear(str(error))
        if code in KEYS or error.status == 401:
            return Rejected("credentials", f"{code}: {text}")
        if code in FUNDS:
            return InsufficientFunds("insufficient_funds", text)
        named = NAMES.get(code)
        if code == BAD_PARAMETER:
            named = next((name for part, name in PARAMETERS.items() if part in text.lower()), None)
        return Rejected(named or f"bybit_{code}", text)

    def server_ms(self, answer: Any) -> int:
        return int(answer["time"])

    def _wait_s(self, status: int, headers: Mapping[str, str]) -> float | None:
        """The header names the moment (ms, the exchange's) from which requests are taken again."""
        if status == 403:
            return FIREWALL_WAIT_S
        reset = integer(headers.get("X-Bapi-Limit-Reset-Timestamp"))
        return max(1.0, (reset - self.nonce()) / 1000) if reset else None
