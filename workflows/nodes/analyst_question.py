"""Asks the analyst about every row, in the drawer's own words, and adds what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from monitoring.analyst import custom

from .contract import Call, NodeFailed, NodeType, Port, Row, Settings, Value

DEFAULT = [{"name": "decision", "type": "choice", "choices": ["enter_trade", "bad_setup", "wait"]}]


def _parsed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    custom.parse_form({"text": "?", "fields": rows})
    return rows


class AnalystQuestion(Settings):
    """The question, the fields of its answer, and whom to ask; an empty model means the installation's own analyst."""

    question: Annotated[str, Field(min_length=1, max_length=custom.LONGEST_TEXT, json_schema_extra={"format": "textarea"})]
    fields: Annotated[list[dict[str, Any]], AfterValidator(_parsed), Field(json_schema_extra={"format": "answer_fields"})] = DEFAULT
    model: Annotated[str, Field(max_length=120)] = ""
    at_most: Annotated[int, Field(ge=1, le=50)] = 10


def run(call: Call) -> Mapping[str, Value]:
    """Numbers of the answers become values, everything else texts; yes is 1, no is 0. Rows without a decision are left out."""
    settings, rows = call.settings, call.rows()
    form = custom.parse_form({"text": settings.question, "fields": settings.fields})
    if len(rows) > settings.at_most:
        raise NodeFailed(f"{len(rows)} rows came, at most {settings.at_most} are asked about; rank them first")
    answers = call.context.ask(rows, form=form, model=settings.model, node=call.node) if rows else []
    return {"rows": [_answered(row, answer) for row, answer in zip(rows, answers, strict=True) if answer is not None]}


def _answered(row: Row, answer: Mapping[str, Any]) -> Row:
    numbers = {name: float(value) for name, value in answer.items() if isinstance(value, bool | int | float)}
    texts = {name: value for name, value in answer.items() if isinstance(value, str)}
    # A choice can be filtered on as well: decision_enter_trade is 1 where it was chosen.
    chosen = {f"{name}_{value}": 1.0 for name, value in texts.items() if len(value) <= 40 and value.isidentifier() and value.islower()}
    return row.having({**numbers, **chosen}).saying(texts)


NODE = NodeType(
    "analyst_question",
    "Analyst question",
    "ask",
    "Asks the analyst about every row",
    AnalystQuestion,
    run,
    inputs=(Port("rows"),),
    outputs=(Port("rows"),),
)
