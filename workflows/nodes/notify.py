"""Tells the session's owner about every row or signal that arrives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from .contract import ANY, Call, NodeType, Port, Raised, Settings, Value
from .create_signal import filled

MOST = 20  # lines of one message


class Notify(Settings):
    """What is said of each; {symbol} and fields in braces are put in."""

    text: Annotated[str, Field(min_length=1, max_length=500, json_schema_extra={"format": "textarea"})] = "{symbol}: {why}"
    level: Literal["info", "warning", "critical"] = "info"


def run(call: Call) -> Mapping[str, Value]:
    """One message for all that arrived together; nothing arrived, nothing is said."""
    settings, arrived = call.settings, list(call.inputs.get("items", ()))
    lines = [f"{item.side} {item.symbol}: {item.note}" if isinstance(item, Raised) else filled(settings.text, item) for item in arrived]
    if lines:
        more = f"\n… and {len(lines) - MOST} more" if len(lines) > MOST else ""
        call.context.tell("\n".join(lines[:MOST]) + more, level=settings.level, node=call.node)
    return {}


NODE = NodeType("notify", "Notify", "act", "Tells the session's owner", Notify, run, inputs=(Port("items", ANY),))
