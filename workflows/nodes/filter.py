"""Lets rows pass whose fields hold conditions: all of them, or any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from monitoring import conditions
from monitoring.conditions import OPERATORS

from .contract import Call, NodeType, Port, Row, Settings, Value
from .fields import field_name

ALIASES = {
    ">": "gt", ">=": "gte", "<": "lt", "<=": "lte", "=": "eq", "==": "eq", "!=": "neq",
    "greater_than": "gt", "greater_than_or_equal": "gte", "less_than": "lt", "less_than_or_equal": "lte",
    "equals": "eq", "not_equals": "neq",
}  # fmt: skip


def _parsed(raw: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Conditions with the short forms of their operators. :raises ValueError: if one can't be evaluated"""
    short = [{**entry, "operator": ALIASES.get(str(entry.get("operator")), entry.get("operator"))} for entry in raw]
    conditions.parse(short, known=field_name)
    return short


class Filter(Settings):
    """What has to hold; a value is a number or another field, for between a pair."""

    conditions: Annotated[
        list[dict[str, Any]],
        AfterValidator(_parsed),
        Field(min_length=1, max_length=50, json_schema_extra={"format": "conditions", "operators": list(OPERATORS)}),
    ]
    match: Literal["all", "any"] = "all"


def run(call: Call) -> Mapping[str, Value]:
    """Rows that hold go to `passed`, others to `failed`; one whose fields are not known yet does not hold."""
    wanted = conditions.parse(call.settings.conditions, known=field_name)
    names = conditions.names(wanted)
    passed: list[Row] = []
    failed: list[Row] = []
    for row in call.rows():
        results = conditions.evaluate(wanted, readings={name: row.reading(name) for name in names})
        held = [result.held is True for result in results]
        if all(held) if call.settings.match == "all" else any(held):
            why = "; ".join(f"{r.condition} ({r.value:.6g})" for r in results if r.held and r.value is not None)
            passed.append(row.saying({"why": "; ".join(part for part in (row.texts.get("why", ""), why) if part)}))
        else:
            failed.append(row)
    return {"passed": passed, "failed": failed}


NODE = NodeType(
    "filter",
    "Filter",
    "logic",
    "Lets rows pass whose fields hold conditions",
    Filter,
    run,
    inputs=(Port("rows"),),
    outputs=(Port("passed"), Port("failed")),
)
