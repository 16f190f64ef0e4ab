"""Compares with the past: the change of the price over n candles, in percent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from monitoring import intervals

from .contract import Call, NodeFailed, NodeType, Port, Row, Settings, Value
from .fields import FieldName, Interval


class Momentum(Settings):
    """Over how many candles, of which interval, and the field it is kept in."""

    candles: Annotated[int, Field(ge=1, le=250)] = 12
    interval: Interval | None = None
    field: FieldName = "momentum"


def run(call: Call) -> Mapping[str, Value]:
    """Rows whose past is not known are left out; when none is known, the node fails."""
    settings, rows = call.settings, call.rows()
    done = []
    for row in rows:
        interval = settings.interval or row.interval
        if not interval:
            raise NodeFailed(f"{row.symbol} has no candles; say on which interval")
        changed = _of_outcome(call, row, interval) if row.open_time is None else _of_candles(call, row, interval)
        if changed is not None:
            done.append(row.having({settings.field: changed[0]}, before={settings.field: changed[1]}))
    if rows and not done:
        raise NodeFailed(f"the past of {', '.join(row.symbol[:20] for row in rows[:5])} is not known")
    return {"rows": done}


def _of_candles(call: Call, row: Row, interval: str) -> tuple[float, float | None] | None:
    window = call.context.windows([row], interval=interval).get(row.key)
    back = call.settings.candles
    if window is None or len(window) <= back or not window.close[-1 - back] > 0:
        return None
    before = _change(window.close[-2], window.close[-2 - back]) if len(window) > back + 1 else None
    return float(window.close[-1] / window.close[-1 - back] * 100 - 100), before


def _of_outcome(call: Call, row: Row, interval: str) -> tuple[float, None] | None:
    """Of points in time: the last price at or before the moment that lies n intervals back."""
    then = call.context.start.at_ms - call.settings.candles * intervals.LENGTH_MS[interval]
    earlier = [price for at, price in call.context.history(row, interval=interval) if at <= then]
    change = _change(row.values["price"], earlier[-1]) if earlier else None
    return None if change is None else (change, None)


def _change(now: float, was: float) -> float | None:
    return float(now / was * 100 - 100) if was > 0 else None


NODE = NodeType(
    "momentum",
    "Compare with the past",
    "data",
    "Change of the price over n candles, in percent",
    Momentum,
    run,
    inputs=(Port("rows"),),
    outputs=(Port("rows"),),
)
