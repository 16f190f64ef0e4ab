"""What an analyst is shown: one JSON object per question, the same whether rules or a model judge it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from monitoring import conditions, indicators, intervals
from monitoring.analyst import rules
from monitoring.indicators import Reading, Window

RECENT_DECISIONS = 5
SIGNIFICANT_DIGITS = 8


def indicator_names(*, raised_by: Iterable[Any], also: Iterable[str]) -> frozenset[str]:
    """
    All indicators a question needs: the standard ones, the rules', the conditions' and the trader's own.

    :raises conditions.ConditionError: if stored conditions can't be evaluated
    """
    own = conditions.names(condition for raw in raised_by for condition in conditions.parse(raw))
    return frozenset({*indicators.STANDARD, *rules.NEEDED, *own, *conditions.parse_fields(list(also))})


def market_view(*, symbol: str, interval: str, market: str, window: Window, readings: Mapping[str, Reading]) -> dict[str, Any]:
    """The close that just happened and the indicators at it; times in ISO 8601, prices in quote, volume in base."""
    opened = int(window.open_time[-1])
    names = sorted(readings)
    return {
        "market": market,
        "symbol": symbol,
        "interval": interval,
        "candle": {
            "open_time": iso(opened),
            "close_time": iso(intervals.close_time(open_time=opened, interval=interval)),
            **{name: float(getattr(window, name)[-1]) for name in ("open", "high", "low", "close", "volume")},
        },
        "indicators": {name: _short(readings[name].current) for name in names},
        "previous_indicators": {name: _short(readings[name].previous) for name in names},
        "recent_closes": [float(close) for close in window.close[-10:]],
    }


def recent_decisions(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The last decisions, newest first, from rows with timestamp, decision, confidence, reasoning and price."""
    return [
        {
            "time": row["timestamp"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "decision": row["decision"],
            "confidence": float(row["confidence"]),
            "price": float(row["price"]),
            "reasoning": row["reasoning"][:300],
        }
        for row in rows[:RECENT_DECISIONS]
    ]


def iso(ms: int) -> str:
    """Milliseconds since the epoch as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(ms / 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{SIGNIFICANT_DIGITS}g}")
