"""Raises a signal for a trader on every row that is new; its workflow and the risk gate decide what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from pydantic import Field

from .contract import SIGNALS, Call, NodeType, Port, Raised, Row, Settings, Value, Wanted
from .fields import Side

STILL = "it was so at the close before: none was raised again"


class CreateSignal(Settings):
    """For which trader, on which side, and why; {symbol} and fields in braces are put in."""

    trader: Annotated[UUID, Field(json_schema_extra={"format": "trader"})]
    side: Side = "long"
    reasons: Annotated[str, Field(max_length=500, json_schema_extra={"format": "textarea"})] = ""
    again: Annotated[bool, Field(title="Raise again at every close while it lasts")] = False


def run(call: Call) -> Mapping[str, Value]:
    """
    Each node raises one signal for a symbol and a close, however often it runs; and none for what it had at the close before, unless
    it is to be raised again.
    """
    settings, start = call.settings, call.context.start
    held = frozenset() if settings.again else call.context.held_before(node=call.node)
    wanted = []
    for row in call.rows():
        if row.symbol in held:
            continue
        at = row.open_time if row.open_time is not None else start.open_time or start.at_ms
        key = f"{call.node}:{row.market}:{row.symbol}:{row.interval}:{at}"
        reasons = filled(settings.reasons, row) or row.texts.get("why", "")
        wanted.append(Wanted(str(settings.trader), row.symbol, settings.side, key, row, reasons))
    lasting = [Raised(row.symbol, settings.side, note=STILL) for row in call.rows() if row.symbol in held]
    return {"signals": [*(call.context.raise_signals(wanted) if wanted else ()), *lasting]}


def filled(text: str, row: Row) -> str:
    """A text with {symbol} and fields in braces put in; what is not known stays as it is."""
    words = {"symbol": row.symbol, "market": row.market, "interval": row.interval, **row.texts}
    words |= {name: f"{value:.6g}" for name, value in row.values.items() if name not in words}
    for name, word in words.items():
        text = text.replace("{" + name + "}", word)
    return text


NODE = NodeType(
    "create_signal",
    "Create signal",
    "act",
    "Raises a signal for a trader",
    CreateSignal,
    run,
    inputs=(Port("rows"),),
    outputs=(Port("signals", SIGNALS),),
)
