"""
The form of an answer: the JSON schema that a model is given, and the strict parser of what it sends. Pure.

The schema keeps to the portable strict subset: every property required, optional ones nullable, no bounds. All
bounds are checked here. Broken JSON is never repaired.

InvalidAnswer   not JSON, not of the schema, or a number that can't be
"""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .contract import ALLOWED, ENTERS, Kind, TradePlan, Verdict

LONGEST_ANSWER = 100_000  # characters
LONGEST_NUMBER = 40  # characters
REQUIRED_DETAIL = {"adjust_sl": "newStopLoss", "adjust_tp": "newTakeProfit", "reduce": "reduceAmount", "add": "addAmount"}

Price = Annotated[Decimal, Field(gt=0, lt=Decimal("1e15"), allow_inf_nan=False)]
Fraction = Annotated[Decimal, Field(ge=0, le=1, allow_inf_nan=False)]


class InvalidAnswer(ValueError):
    """An answer that is not of the schema."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Plan(_Strict):
    entry: Price
    stopLoss: Price
    takeProfit: Price
    positionSize: Price | None
    timeframe: Annotated[str, Field(max_length=40)] | None


class _Details(_Strict):
    newStopLoss: Price | None
    newTakeProfit: Price | None
    reduceAmount: Annotated[Decimal, Field(gt=0, le=1)] | None
    addAmount: Price | None


class _Market(_Strict):
    trend: Literal["up", "down", "sideways", "unknown"]
    volatility: Literal["low", "normal", "high", "unknown"]
    momentum: Literal["weak", "strong", "unknown"]
    support: Price | None
    resistance: Price | None


class _Answer(_Strict):
    decision: str
    confidence: Fraction
    reasoning: Annotated[str, Field(min_length=1, max_length=4000)]
    tradePlan: _Plan | None = None  # only asked for where it may be needed
    details: _Details | None = None
    marketConditions: _Market | None


def parse(text: str, *, kind: Kind) -> Verdict:
    """
    The verdict of an answer to a question of `kind`.

    :raises InvalidAnswer: saying what is wrong
    """
    try:
        answer = _Answer.model_validate(load(text))
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidAnswer(f"{'.'.join(str(part) for part in first['loc']) or 'answer'}: {first['msg']}") from error
    return _verdict(answer, kind)


def load(text: str) -> Any:
    """
    The JSON of an answer, numbers as `Decimal`.

    :raises InvalidAnswer: if it is none, too long, or holds what can't be kept
    """
    if len(text) > LONGEST_ANSWER:
        raise InvalidAnswer(f"the answer has {len(text)} characters")
    if "\x00" in text or "\\u0000" in text:
        raise InvalidAnswer("the answer holds a NUL")
    try:
        return json.loads(text, parse_float=_number, parse_int=_number, parse_constant=_refuse, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise InvalidAnswer(f"not JSON: {error}") from error


@cache
def json_schema(kind: Kind) -> dict[str, Any]:
    """The schema for `response_format`."""
    number, nullable, name = {"type": "number"}, {"type": ["number", "null"]}, {"type": ["string", "null"]}
    plan = _object({"entry": number, "stopLoss": number, "takeProfit": number, "positionSize": nullable, "timeframe": name}, null=True)
    details = _object(dict.fromkeys(("newStopLoss", "newTakeProfit", "reduceAmount", "addAmount"), nullable), null=True)
    market = _object(
        {
            "trend": {"type": "string", "enum": ["up", "down", "sideways", "unknown"]},
            "volatility": {"type": "string", "enum": ["low", "normal", "high", "unknown"]},
            "momentum": {"type": "string", "enum": ["weak", "strong", "unknown"]},
            "support": nullable,
            "resistance": nullable,
        },
        null=True,
    )
    return _object(
        {
            "decision": {"type": "string", "enum": list(ALLOWED[kind])},
            "confidence": number,
            "reasoning": {"type": "string"},
            **({"details": details} if kind is Kind.MANAGEMENT else {"tradePlan": plan}),
            "marketConditions": market,
        }
    )


def in_words(kind: Kind) -> str:
    """The schema as text, for a model that can't be held to one."""
    return json.dumps(json_schema(kind), separators=(",", ":"))


def _object(properties: dict[str, Any], *, null: bool = False) -> dict[str, Any]:
    kind: Any = ["object", "null"] if null else "object"
    return {"type": kind, "additionalProperties": False, "required": list(properties), "properties": properties}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A key that stands twice would leave it to the parser which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _number(literal: str) -> Decimal:
    if len(literal) > LONGEST_NUMBER:
        raise ValueError(f"number {literal[:20]}… has {len(literal)} digits")
    value = Decimal(literal)
    if value and abs(value.adjusted()) > 30:
        raise ValueError(f"number {literal[:20]} is out of all bounds")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _verdict(answer: _Answer, kind: Kind) -> Verdict:
    if answer.decision not in ALLOWED[kind]:
        raise InvalidAnswer(f"decision was {answer.decision[:40]!r}, allowed are {', '.join(ALLOWED[kind])}")
    if answer.decision in ENTERS and answer.tradePlan is None:
        raise InvalidAnswer(f"{answer.decision} needs a whole tradePlan")
    details = {name: str(value) for name, value in (answer.details.model_dump() if answer.details else {}).items() if value is not None}
    needed = REQUIRED_DETAIL.get(answer.decision)
    if needed and needed not in details:
        raise InvalidAnswer(f"{answer.decision} needs details.{needed}")
    plan = answer.tradePlan
    market = answer.marketConditions.model_dump(mode="json") if answer.marketConditions else {}
    return Verdict(
        decision=answer.decision,
        confidence=answer.confidence,
        reasoning=answer.reasoning,
        plan=TradePlan(plan.entry, plan.stopLoss, plan.takeProfit, plan.positionSize, plan.timeframe or "") if plan else None,
        details=details,
        market_conditions=market,
    )
