"""
Polymarket's outcome tokens: quotes and trades from the CLOB's market channel, prices over REST. Pure.

Sources: Polymarket's documentation of the CLOB and of Gamma, and its clients (py-sdk, ts-sdk), as of 2026-11. The venue
sends no candles; they are built from quotes and trades (`feed.building`). Symbols are token ids. A message is one event
or a list of them, numbers are strings and may lack the leading zero, times are strings of ms, an empty side is an empty
string; of a book the best price of either side is the last. `PONG` and a bare `[]` are no events.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from monitoring import intervals

from . import parsing
from .contract import BadFrame, ClosedCandle, InstrumentInfo, Limits, Notice, Quote, RestCall, Stream, Tick, Trade

QUOTES = 500  # instruments read: the most traded open markets
SHARE_STEP = Decimal("0.01")


class Polymarket:
    """Quotes and trades of outcome tokens."""

    market = "polymarket"
    sends_candles = False
    limits = Limits(
        streams_per_connection=500, messages_per_second=5, streams_per_message=100, rows_per_call=1000, connects=60, connects_within_s=60
    )
    marks: tuple[bytes, ...] = ()
    keepalive: str | None = "PING"
    keepalive_s = 9.0
    time_resolution_ms = 1000

    def stream_url(self, base: str) -> str:
        return f"{base}/ws/market"

    def channels(self, streams: Iterable[Stream]) -> frozenset[Stream]:
        """One for each token, whatever its intervals."""
        return frozenset((symbol, "") for symbol, _ in streams)

    def subscribe(self, streams: Sequence[Stream], *, request_id: int) -> str:
        first = {"type": "market"} if request_id == 1 else {"operation": "subscribe"}
        return json.dumps({"assets_ids": [symbol for symbol, _ in streams], **first, "custom_feature_enabled": True})

    def unsubscribe(self, streams: Sequence[Stream], *, request_id: int) -> str:
        return json.dumps({"assets_ids": [symbol for symbol, _ in streams], "operation": "unsubscribe", "custom_feature_enabled": True})

    def closed_candles(self, frame: bytes) -> list[ClosedCandle]:
        return []

    def notice(self, frame: bytes) -> Notice | None:
        return None

    def ticks(self, frame: bytes) -> list[Tick]:
        """What a message tells of prices. :raises BadFrame: if an event is not as documented"""
        if frame in (b"PONG", b"[]"):
            return []
        try:
            message = orjson.loads(frame)
        except orjson.JSONDecodeError as error:
            raise BadFrame(f"not JSON: {error}") from error
        found: list[Tick] = []
        for event in message if isinstance(message, list) else [message]:
            if not isinstance(event, dict):
                raise BadFrame("an event is not an object")
            found += _ticks(event)
        return found

    def candles_call(self, *, symbol: str, interval: str, start: int, limit: int) -> RestCall:
        length = intervals.length_ms(interval)
        query: dict[str, str | int] = {
            "market": symbol,
            "startTs": start // 1000,
            "endTs": (start + limit * length) // 1000,
            "fidelity": max(1, length // intervals.MINUTE_MS // 12),  # minutes between points
        }
        return RestCall("/prices-history", query)

    def candles(self, body: Any, *, symbol: str, interval: str, now_ms: int) -> list[ClosedCandle]:
        length = intervals.length_ms(interval)
        prices: dict[int, list[Decimal]] = {}
        for point in parsing.rows(parsing.entry(body, "history")):
            at, price = parsing.integer(parsing.entry(point, "t")) * 1000, parsing.entry(point, "p")
            if isinstance(price, bool) or not isinstance(price, int | float):
                raise BadFrame(f"a price should be a number, was {str(price)[:40]!r}")
            prices.setdefault(at - at % length, []).append(Decimal(str(price)))
        nothing = Decimal(0)  # points tell no volume
        found = [
            ClosedCandle(self.market, symbol, interval, opened, seen[0], max(seen), min(seen), seen[-1], nothing, nothing, 0)
            for opened, seen in sorted(prices.items())
        ]
        return parsing.final_rows(found, now_ms=now_ms)

    def newest_row(self, body: Any) -> Sequence[Any] | None:
        return None  # candles are built here, from ticks

    def time_call(self) -> RestCall:
        return RestCall("/time", {})

    def time_ms(self, body: Any) -> int:
        return parsing.integer(body) * 1000 + 500  # whole seconds

    def instruments_call(self) -> RestCall:
        query: dict[str, str | int] = {"closed": "false", "active": "true", "limit": QUOTES, "order": "volume", "ascending": "false"}
        return RestCall("/markets", query, api="catalog")

    def instruments(self, body: Any) -> list[InstrumentInfo]:
        found = []
        for market in parsing.rows(body):
            try:
                tokens, outcomes = (_embedded(market[key]) for key in ("clobTokenIds", "outcomes"))
                tick = Decimal(str(market.get("orderPriceMinTickSize") or "0.01"))
                least = Decimal(str(market.get("orderMinSize") or "5"))
                trading = bool(market["active"]) and not market["closed"] and market.get("acceptingOrders") is not False
                found += [
                    InstrumentInfo(parsing.name(token), str(outcome)[:60], "USDC", tick, SHARE_STEP, least, Decimal(0), trading)
                    for token, outcome in zip(tokens, outcomes, strict=True)
                ]
            except (KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
                raise BadFrame(f"a market is not as documented: {error!r}") from error
        return found


def _ticks(event: dict[str, Any]) -> list[Tick]:
    kind = event.get("event_type")
    match kind:
        case "book":
            sides = (_best(event.get("bids")), _best(event.get("asks")))
            return [Quote(parsing.name(event.get("asset_id")), _time(event), *sides)]
        case "price_change":
            changes = parsing.rows(event.get("price_changes"))
            return [_quote(change if isinstance(change, dict) else {}, _time(event)) for change in changes]
        case "best_bid_ask":
            return [_quote(event, _time(event))]
        case "last_trade_price":
            symbol, price, size = parsing.name(event.get("asset_id")), _price(event.get("price")), _price(event.get("size"))
            if price is None or size is None:
                raise BadFrame("a trade without price or size")
            return [Trade(symbol, _time(event), price, size)]
    if not isinstance(kind, str):
        raise BadFrame("an event without its type")
    return []  # tick_size_change, new_market, market_resolved, and what may come to be


def _quote(value: dict[str, Any], at_ms: int) -> Quote:
    return Quote(parsing.name(value.get("asset_id")), at_ms, _price(value.get("best_bid")), _price(value.get("best_ask")))


def _best(levels: Any) -> Decimal | None:
    if not (side := parsing.rows(levels)):
        return None
    return _price(parsing.entry(side[-1], "price"))


def _price(value: Any) -> Decimal | None:
    """A price or a size; None for an empty side."""
    if value in ("", None):
        return None
    number = parsing.decimal(value)
    if not number.is_finite() or not 0 <= number < 10**15:
        raise BadFrame(f"a number out of all bounds: {value!r}")
    return number


def _time(event: dict[str, Any]) -> int:
    return parsing.integer_text(event.get("timestamp"))


def _embedded(value: Any) -> list[Any]:
    """A list, or a list written as JSON inside a string."""
    return parsing.rows(json.loads(value) if isinstance(value, str) else value)
