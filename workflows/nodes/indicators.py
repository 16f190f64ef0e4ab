"""Adds indicators to every row, of its own interval or of a longer one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from monitoring import indicators

from .contract import Call, NodeFailed, NodeType, Port, Settings, Value
from .fields import Indicator, Interval


class Indicators(Settings):
    """Which ones. On another interval their names begin with it: ema_50 on 1h becomes h1_ema_50."""

    names: Annotated[list[Indicator], Field(min_length=1, max_length=40)]
    interval: Interval | None = None


def prefix(interval: str) -> str:
    """A field has to begin with a letter: 15m gives m15_."""
    return f"{interval[-1].lower()}{interval[:-1]}_"


def run(call: Call) -> Mapping[str, Value]:
    """Rows without a whole window are left out; when none has one, the node fails."""
    settings, rows = call.settings, call.rows()
    done = []
    for interval in dict.fromkeys(row.interval for row in rows):
        of_interval = [row for row in rows if row.interval == interval]
        looked_at = settings.interval or interval
        if not looked_at:
            raise NodeFailed(f"{of_interval[0].symbol} has no candles; say on which interval")
        windows = call.context.windows(of_interval, interval=looked_at)
        head = "" if looked_at == interval else prefix(looked_at)
        for row in of_interval:
            if row.key in windows:
                readings = indicators.compute(window=windows[row.key], names=settings.names)
                now = {f"{head}{name}": reading.current for name, reading in readings.items()}
                was = {f"{head}{name}": reading.previous for name, reading in readings.items()}
                done.append(row.having(now, before=was))
    if rows and not done:
        raise NodeFailed(f"no whole window of candles of {', '.join(row.symbol for row in rows[:5])} is known")
    return {"rows": done}


NODE = NodeType(
    "indicators", "Indicators", "data", "Adds indicators to every row", Indicators, run, inputs=(Port("rows"),), outputs=(Port("rows"),)
)
