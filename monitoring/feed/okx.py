"""
OKX v5, perpetual swaps and spot by their own instrument ids. Pure.

Source: OKX API v5, as read in ccxt 4.5.90 and nautilus_trader (2026-07). Candles come on the business channel; bars of
6 hours and more begin at midnight in Hong Kong unless their UTC name is used; `confirm` is a string; the keep-alive is
the bare text `ping`, answered by a bare `pong` that is not JSON; REST answers newest first.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from monitoring import intervals

from . import parsing
from .contract import BadFrame, CandleVenue, ClosedCandle, InstrumentInfo, Limits, Notice, RestCall

BARS = {
    **{name: name for name in ("1m", "3m", "5m", "15m", "30m")},
    "1h": "1H",
    "2h": "2H",
    "4h": "4H",
    "6h": "6Hutc",
    "12h": "12Hutc",
    "1d": "1Dutc",
}
NAMES = {bar: name for name, bar in BARS.items()}


class Okx(CandleVenue):
    """Candles of any instrument; the id tells whether it is a swap (BTC-USDT-SWAP) or spot (BTC-USDT)."""

    market = "okx"
    limits = Limits(
        streams_per_connection=400, messages_per_second=3, streams_per_message=100, rows_per_call=300, connects=3, connects_within_s=1
    )
    marks: tuple[bytes, ...] = (b'"1"]', b'"event":"error"', b'"event":"notice"')  # `confirm` is the last column
    keepalive: str | None = "ping"
    keepalive_s = 20.0

    def stream_url(self, base: str) -> str:
        return f"{base}/ws/v5/business"

    def subscribe(self, streams: Sequence[tuple[str, str]], *, request_id: int) -> str:
        return _control("subscribe", streams, request_id)

    def unsubscribe(self, streams: Sequence[tuple[str, str]], *, request_id: int) -> str:
        return _control("unsubscribe", streams, request_id)

    def closed_candles(self, frame: bytes) -> list[ClosedCandle]:
        if frame == b"pong":
            return []
        message = parsing.json_object(frame)
        argument = message.get("arg")
        if not isinstance(argument, dict) or "data" not in message or not str(argument.get("channel")).startswith("candle"):
            return []
        bar = str(argument["channel"]).removeprefix("candle")
        if bar not in NAMES:
            raise BadFrame(f"bar {bar[:20]!r} is not one that is followed")
        symbol = parsing.name(argument.get("instId"))
        return [c for row in parsing.rows(message["data"]) if (c := self._candle(symbol, NAMES[bar], row))]

    def notice(self, frame: bytes) -> Notice | None:
        message = parsing.json_object(frame)
        text = f"{message.get('code')}: {str(message.get('msg'))[:200]}"
        match message.get("event"):
            case "error":
                return Notice(text)
            case "notice":  # 64008: "the connection will soon be closed for a service upgrade"
                return Notice(text, leaving=True)
        return None

    def candles_call(self, *, symbol: str, interval: str, start: int, limit: int) -> RestCall:
        if interval not in BARS:
            raise BadFrame(f"OKX has no candles of {interval}")
        # `before` and `after` both leave their own moment out: newer than the one, older than the other.
        after = start + limit * intervals.length_ms(interval)
        query: dict[str, str | int] = {"instId": symbol, "bar": BARS[interval], "before": start - 1, "after": after, "limit": limit}
        return RestCall("/api/v5/market/candles", query)

    def candles(self, body: Any, *, symbol: str, interval: str, now_ms: int) -> list[ClosedCandle]:
        found = [c for row in _data(body) if (c := self._candle(symbol, interval, row))]
        return sorted(found, key=lambda candle: candle.open_time)

    def newest_row(self, body: Any) -> Sequence[Any] | None:
        found = _data(body)
        return parsing.rows(found[0])[:5] if found else None

    def time_call(self) -> RestCall:
        return RestCall("/api/v5/public/time", {})

    def time_ms(self, body: Any) -> int:
        rows = _data(body)
        return parsing.integer_text(parsing.entry(rows[0] if rows else None, "ts"))

    def instruments_call(self) -> RestCall:
        return RestCall("/api/v5/public/instruments", {"instType": "SWAP"})

    def instruments(self, body: Any) -> list[InstrumentInfo]:
        try:
            return [_instrument(entry) for entry in _data(body) if entry.get("ctType") != "inverse"]
        except (KeyError, TypeError, AttributeError, InvalidOperation) as error:
            raise BadFrame(f"instruments are not as documented: {error!r}") from error

    def _candle(self, symbol: str, interval: str, row: Any) -> ClosedCandle | None:
        if not isinstance(row, list) or len(row) != 9 or row[8] not in ("0", "1"):
            raise BadFrame("a candle row is not a list of 9 that ends in confirm")
        if row[8] == "0":
            return None
        first, high, low, last, volume, in_currency, in_quote = (parsing.decimal(number) for number in row[1:8])
        # A swap's first volume counts contracts; its base volume is the second.
        base_volume = in_currency if symbol.endswith("-SWAP") else volume
        opened = parsing.integer_text(row[0])
        return ClosedCandle(self.market, symbol, interval, opened, first, high, low, last, base_volume, in_quote, 0)


def _control(operation: str, streams: Sequence[tuple[str, str]], request_id: int) -> str:
    arguments = [{"channel": f"candle{BARS[interval]}", "instId": symbol} for symbol, interval in streams if interval in BARS]
    return json.dumps({"op": operation, "args": arguments})


def _data(body: Any) -> list[Any]:
    if not isinstance(body, dict) or body.get("code") != "0":
        raise BadFrame(f"OKX answered {str(body)[:200]}")
    return parsing.rows(body.get("data"))


def _instrument(entry: dict[str, Any]) -> InstrumentInfo:
    base, quote = entry["instId"].split("-")[:2]
    contract = Decimal(entry.get("ctVal") or 1)  # base per contract; spot has none
    return InstrumentInfo(
        symbol=entry["instId"],
        base=base,
        quote=quote,
        tick_size=Decimal(entry["tickSz"]),
        step_size=Decimal(entry["lotSz"]) * contract,
        min_quantity=Decimal(entry["minSz"]) * contract,
        min_notional=Decimal(0),
        is_trading=entry["state"] == "live",
    )
