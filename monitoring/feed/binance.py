"""
Binance spot and USD-M futures. Pure.

Sources: binance-spot-api-docs, web-socket-streams.md and rest-api.md (2026-07-21); developers.binance.com, USD-M futures.
Keys differ by case only (`t` and `T`, `v` and `V`, `q` and `Q`), prices and volumes are strings, times are integers in
ms, and replies to SUBSCRIBE carry neither `stream` nor `data`. Since 2026-04-23 futures klines come on the `/market`
route only: the old one acknowledges a subscription and then never sends a frame.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from monitoring import intervals

from . import parsing
from .contract import BadFrame, CandleVenue, ClosedCandle, InstrumentInfo, Limits, Notice, RestCall


class BinanceSpot(CandleVenue):
    """The spot market, followed on one combined stream per connection."""

    market = "binance"
    limits = Limits(
        streams_per_connection=1024,
        messages_per_second=5,
        streams_per_message=200,
        rows_per_call=1000,
        connects=300,
        connects_within_s=300,
        lifetime_s=24 * 3600,
        weight_header="X-MBX-USED-WEIGHT-1M",
        weight_per_minute=6000,
    )
    marks: tuple[bytes, ...] = (b'"x":true',)
    keepalive: str | None = None
    keepalive_s = 0.0
    stream_path, rest_path = "/stream", "/api/v3"

    def stream_url(self, base: str) -> str:
        return f"{base}{self.stream_path}"

    def subscribe(self, streams: Sequence[tuple[str, str]], *, request_id: int) -> str:
        return _control("SUBSCRIBE", streams, request_id)

    def unsubscribe(self, streams: Sequence[tuple[str, str]], *, request_id: int) -> str:
        return _control("UNSUBSCRIBE", streams, request_id)

    def closed_candles(self, frame: bytes) -> list[ClosedCandle]:
        data = parsing.json_object(frame).get("data")
        if not isinstance(data, dict) or data.get("e") != "kline":
            return []
        kline = data.get("k")
        if not isinstance(kline, dict) or not isinstance(kline.get("x"), bool):
            raise BadFrame("a kline event without its kline")
        if not kline["x"]:
            return []
        try:
            row = [kline[key] for key in ("t", "o", "h", "l", "c", "v", "q", "n")]
            return [self._candle(parsing.name(kline["s"]), _interval(kline["i"]), row)]
        except KeyError as error:
            raise BadFrame(f"a kline without {error}") from error

    def notice(self, frame: bytes) -> Notice | None:
        message = parsing.json_object(frame)
        data = message.get("data", message)
        if isinstance(data, dict) and data.get("e") == "serverShutdown":
            return Notice("the server is about to shut down", leaving=True)
        return Notice(f"{message['code']}: {str(message.get('msg'))[:200]}") if "code" in message else None

    def candles_call(self, *, symbol: str, interval: str, start: int, limit: int) -> RestCall:
        query: dict[str, str | int] = {"symbol": symbol, "interval": interval, "startTime": start, "limit": limit}
        return RestCall(f"{self.rest_path}/klines", query)

    def candles(self, body: Any, *, symbol: str, interval: str, now_ms: int) -> list[ClosedCandle]:
        found = []
        for row in parsing.rows(body):
            if not isinstance(row, list) or len(row) < 11:
                raise BadFrame("a kline row is not a list of 12")
            found.append(self._candle(symbol, interval, [*row[:6], row[7], row[8]]))
        return parsing.final_rows(found, now_ms=now_ms)

    def newest_row(self, body: Any) -> Sequence[Any] | None:
        found = parsing.rows(body)
        return parsing.rows(found[-1])[:5] if found else None

    def time_call(self) -> RestCall:
        return RestCall(f"{self.rest_path}/time", {})

    def time_ms(self, body: Any) -> int:
        return parsing.integer(parsing.entry(body, "serverTime"))

    def instruments_call(self) -> RestCall:
        return RestCall(f"{self.rest_path}/exchangeInfo", {})

    def instruments(self, body: Any) -> list[InstrumentInfo]:
        try:
            return [_instrument(entry) for entry in body["symbols"] if self._is_listed(entry)]
        except (KeyError, TypeError, InvalidOperation) as error:
            raise BadFrame(f"exchangeInfo is not as documented: {error!r}") from error

    def _is_listed(self, entry: dict[str, Any]) -> bool:
        return True

    def _candle(self, symbol: str, interval: str, row: list[Any]) -> ClosedCandle:
        opened, *numbers, trades = row
        first, high, low, last, volume, quote_volume = (parsing.decimal(number) for number in numbers)
        return ClosedCandle(
            self.market,
            symbol,
            interval,
            parsing.integer(opened),
            first,
            high,
            low,
            last,
            volume,
            quote_volume,
            parsing.integer(trades),
        )


class BinanceFutures(BinanceSpot):
    """USD-M perpetuals: the same klines on other routes, with other limits."""

    market = "binance_futures"
    limits = replace(
        BinanceSpot.limits, streams_per_connection=200, messages_per_second=10, streams_per_message=100, weight_per_minute=2400
    )
    stream_path, rest_path = "/market/stream", "/fapi/v1"

    def _is_listed(self, entry: dict[str, Any]) -> bool:
        return bool(entry["contractType"] == "PERPETUAL")


def _control(method: str, streams: Sequence[tuple[str, str]], request_id: int) -> str:
    names = [f"{symbol.lower()}@kline_{interval}" for symbol, interval in streams]
    return json.dumps({"method": method, "params": names, "id": request_id})


def _interval(value: Any) -> str:
    if not isinstance(value, str) or value not in intervals.LENGTH_MS:
        raise BadFrame(f"interval {str(value)[:20]!r} is not one that is followed")
    return value


def _instrument(entry: dict[str, Any]) -> InstrumentInfo:
    filters = {item["filterType"]: item for item in entry["filters"]}
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {"minNotional": "0"}
    return InstrumentInfo(
        symbol=entry["symbol"],
        base=entry["baseAsset"],
        quote=entry["quoteAsset"],
        tick_size=Decimal(filters["PRICE_FILTER"]["tickSize"]),
        step_size=Decimal(filters["LOT_SIZE"]["stepSize"]),
        min_quantity=Decimal(filters["LOT_SIZE"]["minQty"]),
        min_notional=Decimal(notional.get("minNotional") or notional["notional"]),  # futures call it `notional`
        is_trading=entry["status"] == "TRADING",
    )
