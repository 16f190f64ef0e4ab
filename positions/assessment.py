"""How risky a position is at a close: the market, the position itself, and what moves with it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from monitoring.indicators import Window

CORRELATION_CANDLES = 100
HIGH_NATR_PCT, MEDIUM_NATR_PCT = 1.0, 0.4
NEAR_STOP_ATR, MEDIUM_STOP_ATR = 1.0, 2.0


def market_risk(natr_pct: float | None) -> str:
    """low, medium or high by the average true range in percent of the price."""
    if natr_pct is None:
        return "unknown"
    return "high" if natr_pct >= HIGH_NATR_PCT else "medium" if natr_pct >= MEDIUM_NATR_PCT else "low"


def position_risk(*, close: float, stop: float, atr: float | None) -> str:
    """low, medium or high by how many average true ranges the stop is away; the nearer, the likelier it is hit."""
    if not atr:
        return "unknown"
    away = abs(close - stop) / atr
    return "high" if away < NEAR_STOP_ATR else "medium" if away < MEDIUM_STOP_ATR else "low"


def correlation_risk(own: Window, others: Iterable[Window]) -> float | None:
    """
    The largest correlation of returns with any other open position over the last 100 candles, -1 to 1.

    None without another position, or with too few common candles.
    """
    found = [value for other in others if (value := _correlation(own, other)) is not None]
    return round(max(found), 3) if found else None


def _correlation(own: Window, other: Window) -> float | None:
    times, left, right = np.intersect1d(own.open_time, other.open_time, return_indices=True)
    if len(times) < CORRELATION_CANDLES // 2:
        return None
    left, right = left[-CORRELATION_CANDLES - 1 :], right[-CORRELATION_CANDLES - 1 :]
    first, second = np.diff(np.log(own.close[left])), np.diff(np.log(other.close[right]))
    if not first.std() or not second.std():
        return None
    return float(np.corrcoef(first, second)[0, 1])
