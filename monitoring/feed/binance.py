"""
Binance spot. Pure.

Sources: binance-spot-api-docs, web-socket-streams.md and rest-api.md (2026-07-21). Keys differ by case only
(`t` and `T`, `v` and `V`, `q` and `Q`), prices and volumes are strings, times are integers in ms, and replies to
SUBSCRIBE carry neither `stream` nor `data`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from monitoring import intervals

from .contract import BadFrame, ClosedCandle, InstrumentInfo, Limits, RestCall

CLOSED_MARK = b'"x":true'


class BinanceSpot:
    """The spot market, followed on one combined stream per connection."""

    market = "binance"
    limits = Limits(streams_per_connection=1024, messages_per_second=5, streams_per_message=200, rows_per_call=1000)

    def stream_url(self, base: str) -> str:
        return f"{base}/stream"

    def subscribe(self, streams: Sequence[tuple[str, str]], *, request_id: int) -> str:
        return _control("SUBSCRIBE", streams, request_id)

    def unsubscribe(self, streams: Sequence[tuple[str, str]], *, request_id: int) -> str:
        return _control("UNSUBSCRIBE", streams, request_id)

    def may_close(self, frame: bytes) -> bool:
        return CLOSED_MARK in frame

    def closed_candle(self, frame: bytes) -> ClosedCandle | None:
        try:
            message = orjson.loads(frame)
        except orjson.JSONDecodeError as error:
            raise BadFrame(f"not JSON: {error}") from error
        if not isinstance(message, dict):
            raise BadFrame("not an object")
        data = message.get("data")
        if not isinstance(data, dict) or data.get("e") != "kline":
            return None
        kline = data.get("k")
        if not isinstance(kline, dict) or not isinstance(kline.get("x"), bool):
            raise BadFrame("a kline event without its kline")
        if not kline["x"]:
            return None
        try:
            return _candle(
                self.market,
                symbol=_text(kline["s"]),
                interval=_interval(kline["i"]),
                row=[kline[key] for key in ("t", "o", "h", "l", "c", "v", "q", "n")],
            )
        except KeyError as error:
            raise BadFrame(f"a kline without {error}") from error

    def candles_call(self, *, symbol: str, interval: str, start: int, limit: int) -> RestCall:
        return RestCall("/api/v3/klines", {"symbol": symbol, "interval": interval, "startTime": start, "limit": limit})

    def candles(self, body: Any, *, symbol: str, interval: str, now_ms: int) -> list[ClosedCandle]:
        if not isinstance(body, list):
            raise BadFrame("klines are not a list")
        found = []
        for row in body:
            if not isinstance(row, list) or len(row) < 11:
                raise BadFrame("a kline row is not a list of 12")
            candle = _candle(self.market, symbol=symbol, interval=interval, row=[*row[:6], row[7], row[8]])
            # The newest row is of the candle that is still forming, and nothing in it says so.
            if intervals.close_time(open_time=candle.open_time, interval=interval) <= now_ms:
                found.append(candle)
        return found

    def instruments_call(self) -> RestCall:
        return RestCall("/api/v3/exchangeInfo", {})

    def instruments(self, body: Any) -> list[InstrumentInfo]:
        try:
            return [_instrument(entry) for entry in body["symbols"]]
        except (KeyError, TypeError, InvalidOperation) as error:
            raise BadFrame(f"exchangeInfo is not as documented: {error!r}") from error


def _control(method: str, streams: Sequence[tuple[str, str]], request_id: int) -> str:
    names = [f"{symbol.lower()}@kline_{interval}" for symbol, interval in streams]
    return json.dumps({"method": method, "params": names, "id": request_id})


def _candle(market: str, *, symbol: str, interval: str, row: list[Any]) -> ClosedCandle:
    opened, *numbers, trades = row
    if not isinstance(opened, int) or isinstance(opened, bool) or not isinstance(trades, int) or isinstance(trades, bool):
        raise BadFrame("the open time or the number of trades is not an integer")
    first, high, low, last, volume, quote_volume = (_decimal(number) for number in numbers)
    return ClosedCandle(market, symbol, interval, opened, first, high, low, last, volume, quote_volume, trades)


def _decimal(value: Any) -> Decimal:
    if not isinstance(value, str) or len(value) > 40:
        raise BadFrame(f"a number should be a string, was {str(value)[:40]!r}")
    try:
        return Decimal(value)
    except InvalidOperation as error:
        raise BadFrame(f"not a number: {value!r}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 64:
        raise BadFrame("the symbol is not a name")
    return value


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
        min_notional=Decimal(notional["minNotional"]),
        is_trading=entry["status"] == "TRADING",
    )
