"""
Binance spot's wire format, as the simulated exchange writes it. Pure.

Sources: binance-spot-api-docs, web-socket-streams.md and rest-api.md (2026-07-21).
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from monitoring.simulator.market import Candles, Listing

LENGTH_MS = {
    "1m": 60_000,
    "3m": 180_000,
    "5m": 300_000,
    "15m": 900_000,
    "30m": 1_800_000,
    "1h": 3_600_000,
    "2h": 7_200_000,
    "4h": 14_400_000,
    "6h": 21_600_000,
    "8h": 28_800_000,
    "12h": 43_200_000,
    "1d": 86_400_000,
}
RATE_LIMITS = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
    {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 300_000},
]


def kline_frame(*, candles: Candles, interval: str, event_ms: int, closed: bool) -> dict[str, Any]:
    """The `kline` event of the last candle; `x` tells whether it is closed."""
    row = _row(candles, len(candles) - 1)
    opened = row["t"]
    return {
        "e": "kline",
        "E": event_ms,
        "s": candles.listing.symbol,
        "k": {
            "t": opened,
            "T": opened + LENGTH_MS[interval] - 1,
            "s": candles.listing.symbol,
            "i": interval,
            "f": opened // 100,
            "L": opened // 100 + row["n"] - 1,
            "o": row["o"],
            "c": row["c"],
            "h": row["h"],
            "l": row["l"],
            "v": row["v"],
            "n": row["n"],
            "x": closed,
            "q": row["q"],
            "V": row["V"],
            "Q": row["Q"],
            "B": "0",
        },
    }


def kline_rows(*, candles: Candles, interval: str) -> list[list[Any]]:
    """`GET /api/v3/klines`: oldest first; the newest row may be of a candle that is still open."""
    rows = []
    for index in range(len(candles)):
        row = _row(candles, index)
        close_ms = row["t"] + LENGTH_MS[interval] - 1
        rows.append([row["t"], row["o"], row["h"], row["l"], row["c"], row["v"], close_ms, row["q"], row["n"], row["V"], row["Q"], "0"])
    return rows


def doubled(volume: str) -> str:
    """Another volume for the same candle."""
    return _text(Decimal(volume) * 2)


def server_shutdown(*, event_ms: int) -> dict[str, Any]:
    """The notice that a connection is about to be cut (since 2026-05-08)."""
    return {"e": "serverShutdown", "E": event_ms}


def exchange_info(*, listings: Iterable[Listing], now_ms: int, is_futures: bool = False) -> dict[str, Any]:
    """`GET /api/v3/exchangeInfo` for some symbols, or `GET /fapi/v1/exchangeInfo`."""
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "rateLimits": RATE_LIMITS,
        "exchangeFilters": [],
        "symbols": [_perpetual(listing) if is_futures else _symbol(listing) for listing in listings],
    }


def _row(candles: Candles, index: int) -> dict[str, Any]:
    tick, step = candles.listing.tick, candles.listing.step
    volume, quote = int(candles.volume[index]), candles.quote[index]
    return {
        "t": int(candles.open_time[index]),
        "o": _text(int(candles.open[index]) * tick),
        "h": _text(int(candles.high[index]) * tick),
        "l": _text(int(candles.low[index]) * tick),
        "c": _text(int(candles.close[index]) * tick),
        "v": _text(volume * step),
        "q": _text(quote * tick * step),
        "n": int(candles.trades[index]),
        "V": _text(volume // 2 * step),
        "Q": _text(quote // 2 * tick * step),
    }


def _text(value: Decimal) -> str:
    return f"{value:.8f}"


def _symbol(listing: Listing) -> dict[str, Any]:
    return {
        "symbol": listing.symbol,
        "status": "TRADING",
        "baseAsset": listing.base,
        "baseAssetPrecision": 8,
        "quoteAsset": listing.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "otoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": _text(listing.tick),
                "maxPrice": "1000000.00000000",
                "tickSize": _text(listing.tick),
            },
            {"filterType": "LOT_SIZE", "minQty": _text(listing.step), "maxQty": "9000000000.00000000", "stepSize": _text(listing.step)},
            {
                "filterType": "NOTIONAL",
                "minNotional": "5.00000000",
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_MAKER"],
    }


def _perpetual(listing: Listing) -> dict[str, Any]:
    """A USD-M perpetual: `MIN_NOTIONAL` calls its amount `notional`, and stops are no order types of their own any more."""
    lot = {"minQty": _text(listing.step), "maxQty": "9000000000.00000000", "stepSize": _text(listing.step)}
    return {
        "symbol": listing.symbol,
        "pair": listing.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "baseAsset": listing.base,
        "quoteAsset": listing.quote,
        "marginAsset": listing.quote,
        "pricePrecision": 8,
        "quantityPrecision": 8,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        "triggerProtect": "0.0500",
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": _text(listing.tick),
                "maxPrice": "1000000.00000000",
                "tickSize": _text(listing.tick),
            },
            {"filterType": "LOT_SIZE", **lot},
            {"filterType": "MARKET_LOT_SIZE", **lot},
            {"filterType": "MIN_NOTIONAL", "notional": "5"},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        ],
    }
