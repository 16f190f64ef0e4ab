"""
Bybit v5, linear perpetuals and spot. Pure.

Source: bybit-exchange/docs, v5 (2026-07-24). Intervals are minutes as bare numbers, or D; a frame holds a list; the
client has to ping by itself every 20 s; REST answers newest first, with the unclosed candle in front, and when there
are more rows than the limit between start and end it gives the newest of them.
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

CODES = {"1d": "D", **{name: str(ms // intervals.MINUTE_MS) for name, ms in intervals.LENGTH_MS.items() if name not in ("1d", "8h")}}
NAMES = {code: name for name, code in CODES.items()}


class BybitLinear(CandleVenue):
    """USDT perpetuals."""

    market, category = "bybit", "linear"
    limits = Limits(
        streams_per_connection=500, messages_per_second=5, streams_per_message=100, rows_per_call=1000, connects=500, connects_within_s=300
    )
    marks: tuple[bytes, ...] = (b'"confirm":true',)
    keepalive: str | None = '{"op":"ping"}'
    keepalive_s = 18.0
    lot_step = "qtyStep"

    def stream_url(self, base: str) -> str:
        return f"{base}/v5/public/{self.category}"

    def subscribe(self, streams: Sequence[tuple[str, str]], *, request_id: int) -> str:
        return _control("subscribe", streams, request_id)

    def unsubscribe(self, streams: Sequence[tuple[str, str]], *, request_id: int) -> str:
        return _control("unsubscribe", streams, request_id)

    def closed_candles(self, frame: bytes) -> list[ClosedCandle]:
        message = parsing.json_object(frame)
        topic = message.get("topic")
        if not isinstance(topic, str) or not topic.startswith("kline."):
            return []
        _, code, symbol = (*topic.split(".", 2), "", "")[:3]
        if code not in NAMES:
            raise BadFrame(f"interval {code[:20]!r} is not one that is followed")
        found = []
        for kline in parsing.rows(message.get("data")):
            if not isinstance(kline, dict) or not isinstance(kline.get("confirm"), bool):
                raise BadFrame("a kline without confirm")
            if kline["confirm"]:
                try:
                    row = [kline[key] for key in ("open", "high", "low", "close", "volume", "turnover")]
                    found.append(self._candle(parsing.name(symbol), NAMES[code], parsing.integer(kline["start"]), row))
                except KeyError as error:
                    raise BadFrame(f"a kline without {error}") from error
        return found

    def notice(self, frame: bytes) -> Notice | None:
        message = parsing.json_object(frame)
        return Notice(str(message.get("ret_msg"))[:200]) if message.get("success") is False else None

    def candles_call(self, *, symbol: str, interval: str, start: int, limit: int) -> RestCall:
        end = start + (limit - 1) * intervals.length_ms(interval)
        query: dict[str, str | int] = {
            "category": self.category,
            "symbol": symbol,
            "interval": _code(interval),
            "start": start,
            "end": end,
            "limit": limit,
        }
        return RestCall("/v5/market/kline", query)

    def candles(self, body: Any, *, symbol: str, interval: str, now_ms: int) -> list[ClosedCandle]:
        found = []
        for row in _listed(body):
            if not isinstance(row, list) or len(row) < 7:
                raise BadFrame("a kline row is not a list of 7")
            found.append(self._candle(symbol, interval, parsing.integer_text(row[0]), row[1:7]))
        return parsing.final_rows(sorted(found, key=lambda candle: candle.open_time), now_ms=now_ms)

    def newest_row(self, body: Any) -> Sequence[Any] | None:
        found = _listed(body)
        return parsing.rows(found[0])[:5] if found else None

    def time_call(self) -> RestCall:
        return RestCall("/v5/market/time", {})

    def time_ms(self, body: Any) -> int:
        return parsing.integer(parsing.entry(body, "time"))

    def instruments_call(self) -> RestCall:
        return RestCall("/v5/market/instruments-info", {"category": self.category, "limit": 1000})

    def instruments(self, body: Any) -> list[InstrumentInfo]:
        try:
            return [
                InstrumentInfo(
                    symbol=entry["symbol"],
                    base=entry["baseCoin"],
                    quote=entry["quoteCoin"],
                    tick_size=Decimal(entry["priceFilter"]["tickSize"]),
                    step_size=Decimal(entry["lotSizeFilter"][self.lot_step]),
                    min_quantity=Decimal(entry["lotSizeFilter"]["minOrderQty"]),
                    min_notional=Decimal(_least_notional(entry["lotSizeFilter"])),
                    is_trading=entry["status"] == "Trading",
                )
                for entry in _listed(body)
            ]
        except (KeyError, TypeError, InvalidOperation) as error:
            raise BadFrame(f"instruments-info is not as documented: {error!r}") from error

    def _candle(self, symbol: str, interval: str, opened: int, row: list[Any]) -> ClosedCandle:
        first, high, low, last, volume, turnover = (parsing.decimal(number) for number in row)
        # Bybit does not tell the number of trades.
        return ClosedCandle(self.market, symbol, interval, opened, first, high, low, last, volume, turnover, 0)


class BybitSpot(BybitLinear):
    """Spot: the same candles on another route, with few subscriptions in a message."""

    market, category = "bybit_spot", "spot"
    limits = replace(BybitLinear.limits, streams_per_message=10)
    lot_step = "basePrecision"


def _least_notional(lot_size: dict[str, Any]) -> str:
    return str(lot_size.get("minNotionalValue") or lot_size.get("minOrderAmt") or 0)  # spot calls it the least amount


def _code(interval: str) -> str:
    try:
        return CODES[interval]
    except KeyError as error:
        raise BadFrame(f"Bybit has no candles of {interval}") from error


def _control(operation: str, streams: Sequence[tuple[str, str]], request_id: int) -> str:
    topics = [f"kline.{CODES[interval]}.{symbol}" for symbol, interval in streams if interval in CODES]
    return json.dumps({"req_id": str(request_id), "op": operation, "args": topics})


def _listed(body: Any) -> list[Any]:
    if not isinstance(body, dict) or body.get("retCode") != 0 or not isinstance(body.get("result"), dict):
        raise BadFrame(f"Bybit answered {str(body)[:200]}")
    return parsing.rows(body["result"].get("list"))
