"""The demo's strategies. The simulated day of the tests trades the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Strategy:
    """A demo trader: when it raises a signal, when the idea is void, and how it sets stop and target."""

    name: str
    text: str
    symbols: Sequence[str]
    interval: str
    conditions: Sequence[dict[str, Any]]
    invalidation: Sequence[dict[str, Any]]
    stop_atr: str = "2.5"
    target_r: str = "2"
    max_reanalyses: int = 12


def _when(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


STRATEGIES = (
    Strategy(
        name="Oversold bounce",
        text="Buys when the RSI has fallen low, aiming for the middle of the range. Void once the RSI is back up without us.",
        symbols=("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "DOGEUSDT"),
        interval="1m",
        conditions=(_when("rsi_14", "lt", 35),),
        invalidation=(_when("rsi_14", "gt", 62),),
    ),
    Strategy(
        name="Breakout with volume",
        text="Buys a close above the highest high of 20 candles on more than usual volume. Void below the 20-candle average.",
        symbols=("ADAUSDT", "AVAXUSDT", "LINKUSDT", "DOTUSDT", "LTCUSDT", "TRXUSDT"),
        interval="1m",
        conditions=(_when("close", "gt", "prev_highest_20"), _when("volume_ratio_20", "gt", 1.05)),
        invalidation=(_when("close", "lt", "ema_20"),),
        stop_atr="2",
    ),
    Strategy(
        name="Trend pullback",
        text="Buys a pullback in an uptrend: fast average above slow, RSI cooled off. Void when the averages cross.",
        symbols=("UNIUSDT", "ATOMUSDT", "NEARUSDT", "APTUSDT", "ARBUSDT", "OPUSDT"),
        interval="1m",
        conditions=(_when("ema_20", "gt", "ema_50"), _when("rsi_14", "between", [36, 50])),
        invalidation=(_when("ema_20", "lt", "ema_50"),),
        stop_atr="2",
        target_r="2.5",
    ),
    Strategy(
        name="Momentum turn",
        text="Buys when the MACD histogram turns positive with buyers in front. Void when it is negative again.",
        symbols=("FILUSDT", "INJUSDT", "SUIUSDT", "AAVEUSDT", "PEPEUSDT", "ETCUSDT"),
        interval="1m",
        conditions=(_when("macd_hist", "crosses_above", 0.0), _when("plus_di_14", "gt", "minus_di_14")),
        invalidation=(_when("macd_hist", "lt", 0), _when("close", "lt", "ema_50")),
    ),
    Strategy(
        name="Range low, slow",
        text="Buys the lower Bollinger band on 5-minute candles while no trend is strong. Void above the middle band.",
        symbols=("BTCUSDT", "ETHUSDT", "AVAXUSDT", "LINKUSDT", "NEARUSDT", "SUIUSDT"),
        interval="5m",
        conditions=(_when("close", "lt", "bb_lower_20"), _when("adx_14", "lt", 40)),
        invalidation=(_when("close", "gt", "bb_middle_20"),),
    ),
)
