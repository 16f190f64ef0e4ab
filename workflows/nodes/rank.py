"""Keeps the first n rows by one of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from .contract import Call, NodeType, Port, Settings, Value
from .fields import FieldName


class Rank(Settings):
    """By which field, from which end, and how many."""

    field: FieldName
    order: Literal["highest", "lowest"] = "highest"
    count: Annotated[int, Field(ge=1, le=200)] = 5


def run(call: Call) -> Mapping[str, Value]:
    """Rows that lack the field are left out; equal ones go by symbol."""
    settings = call.settings
    sign = -1 if settings.order == "highest" else 1
    known = [row for row in call.rows() if settings.field in row.values]
    ranked = sorted(known, key=lambda row: (sign * row.values[settings.field], row.symbol))[: settings.count]
    return {"rows": [row.having({"rank": float(place)}) for place, row in enumerate(ranked, start=1)]}


NODE = NodeType("rank", "Rank", "logic", "Keeps the first n rows by a field", Rank, run, inputs=(Port("rows"),), outputs=(Port("rows"),))
