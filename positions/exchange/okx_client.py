"""
ccxt's OKX, and what OKX's error codes mean.

Source: OKX API v5, error codes as listed in ccxt 4.5.90. Orders are answered with HTTP 200 and code 1 when they are
refused; why is told by the `sCode` of the row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ccxt

from . import calling
from .calling import TIMEOUT_MS, WAIT_S, Answered, DeskClient, integer
from .contract import ExchangeError, InsufficientFunds, OrderNotFound, Rejected, Throttled, Unclear

CLOCK = 50102
TOO_MANY = {50011, 50040, 50061}
NOT_KNOWN = {51400, 51401, 51402, 51410, 51603}
# The server's own trouble, or an id that is in use: ask before anything else is sent.
OPEN_FATE = {50001, 50004, 50013, 50026, 51016, 51054, 51149}
FUNDS = {51008, 51119, 51127, 51131}
NAMES = {
    **dict.fromkeys((51112, 51169, 51205), "reduce_only"),
    **dict.fromkeys((51277, 51278, 51279, 51280), "would_trigger"),
    **dict.fromkeys((51007, 51020, 51100, 51120, 51121), "lot_size"),
    **dict.fromkeys((51006, 51116, 51135, 51136, 51137, 51138), "price_filter"),
}


class OkxClient(DeskClient, ccxt.okx):
    """An account at OKX by the desk's clock; its keys have a passphrase besides."""

    clock_code, time_path = CLOCK, "publicGetPublicTime"

    def __init__(self, *, api_key: str, secret: str, passphrase: str, base_url: str, clock_ms: Callable[[], int]) -> None:
        keys = {"apiKey": api_key, "secret": secret, "password": passphrase}
        super().__init__({**keys, "timeout": TIMEOUT_MS, "enableRateLimit": calling.IS_PACED, "options": {"timeDifference": 0}})
        self.clock_ms = clock_ms
        if base_url:
            self.urls["api"] = {"rest": base_url}

    def failure(self, status: int, reason: str, headers: Mapping[str, str], body: Any) -> Answered | None:
        said = body if isinstance(body, dict) else {}
        code, text = integer(said.get("code")), said.get("msg")
        rows = said.get("data")
        row = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
        if own := integer(row.get("sCode")):
            code, text = own, row.get("sMsg")
        return None if status < 400 and code == 0 else Answered(status, code, str(text or reason)[:300])

    def meaning(self, error: Answered) -> ExchangeError:
        code, text = error.code, error.message
        if error.status == 429 or code in TOO_MANY:
            return Throttled(f"HTTP {error.status} {code or ''}: {text}", wait_s=WAIT_S)
        if code in NOT_KNOWN:
            return OrderNotFound(text)
        if error.status >= 500 or code is None or code in OPEN_FATE:
            return Unclear(str(error))
        if error.status == 401 or 50100 <= code < 50120:
            return Rejected("credentials", f"{code}: {text}")
        if code in FUNDS:
            return InsufficientFunds("insufficient_funds", text)
        if code == 51000:  # "Parameter sz error"
            return Rejected("lot_size" if "sz" in text else "price_filter" if "px" in text.lower() else "okx_51000", text)
        return Rejected(NAMES.get(code, f"okx_{code}"), text)

    def server_ms(self, answer: Any) -> int:
        return int(answer["data"][0]["ts"])
