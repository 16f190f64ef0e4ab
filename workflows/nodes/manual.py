"""Starts a run when a person says so, on the newest closed candles."""

from __future__ import annotations

from collections.abc import Mapping

from .candle_close import CandleClose, rows_of
from .contract import Call, NodeType, Port, Value


class Manual(CandleClose):
    """Whose newest closed candles a run by hand looks at."""


def run(call: Call) -> Mapping[str, Value]:
    """The newest closed candles."""
    settings = call.settings
    return {"rows": rows_of(call, market=settings.market, symbols=settings.symbols, interval=settings.interval, open_time=None)}


NODE = NodeType(
    "manual",
    "Manual start",
    "start",
    "Starts only by hand, on the newest closed candles",
    Manual,
    run,
    outputs=(Port("rows"),),
    is_start=True,
)
