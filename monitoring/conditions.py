"""
Conditions on indicator values: {"field": "rsi_14", "operator": "lt", "value": 30}. Pure.

A value is a number, the name of another indicator, or for `between` a pair of either, both ends included.
All conditions of a list must hold. `crosses_above` and `crosses_below` also look at the candle before.

ConditionError   a list that can't be evaluated; the message names the entry and the field
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitoring import indicators
from monitoring.indicators import Reading

OPERATORS = ("gt", "gte", "lt", "lte", "eq", "neq", "crosses_above", "crosses_below", "between")
Operand = float | str


class ConditionError(ValueError):
    """A condition that can't be evaluated."""


@dataclass(frozen=True)
class Condition:
    """One comparison; `operands` holds two for `between`, else one."""

    field: str
    operator: str
    operands: tuple[Operand, ...]

    @property
    def names(self) -> set[str]:
        """The indicators it needs."""
        return {self.field, *(operand for operand in self.operands if isinstance(operand, str))}

    def __str__(self) -> str:
        return f"{self.field} {self.operator} {' and '.join(str(operand) for operand in self.operands)}"


@dataclass(frozen=True)
class Result:
    """Whether a condition held, with the numbers it was decided on; None when an indicator was not known yet."""

    condition: Condition
    held: bool | None
    value: float | None


def parse(raw: Any, *, known: Callable[[str], object] = indicators.parse) -> tuple[Condition, ...]:
    """
    Conditions from their JSON form.

    :param known: raises ValueError for a name that is no field; unless given, fields are indicators
    :raises ConditionError: naming the entry and the field that is wrong
    """
    if not isinstance(raw, list):
        raise ConditionError("a list of conditions is needed")
    return tuple(_parse_one(entry, f"condition {number}", known) for number, entry in enumerate(raw, start=1))


def parse_fields(raw: Any) -> tuple[str, ...]:
    """
    A list of indicator names.

    :raises ConditionError: naming the one that is not known
    """
    if not isinstance(raw, list):
        raise ConditionError("a list of indicator names is needed")
    return tuple(_name(entry, f"indicator {number}", indicators.parse) for number, entry in enumerate(raw, start=1))


def names(conditions: Iterable[Condition]) -> set[str]:
    """All indicators that the conditions need."""
    return {name for condition in conditions for name in condition.names}


def evaluate(conditions: Sequence[Condition], *, readings: Mapping[str, Reading]) -> list[Result]:
    """Each condition on the newest candle."""
    return [_evaluate_one(condition, readings) for condition in conditions]


def hold(conditions: Sequence[Condition], *, readings: Mapping[str, Reading]) -> bool | None:
    """
    Whether all hold; an empty list never does. None when one can't be known yet and no other is false.
    """
    if not conditions:
        return False
    results = [result.held for result in evaluate(conditions, readings=readings)]
    if False in results:
        return False
    return None if None in results else True


def _parse_one(entry: Any, where: str, known: Callable[[str], object]) -> Condition:
    if not isinstance(entry, dict):
        raise ConditionError(f"{where}: an object with field, operator and value is needed")
    if extra := set(entry) - {"field", "operator", "value"}:
        raise ConditionError(f"{where}: unknown key {min(extra)!r}")
    if missing := {"field", "operator", "value"} - set(entry):
        raise ConditionError(f"{where}: {min(missing)} is missing")
    field = _name(entry["field"], f"{where}, field", known)
    operator = entry["operator"]
    if operator not in OPERATORS:
        raise ConditionError(f"{where}, operator: was {operator!r}, allowed are {', '.join(OPERATORS)}")
    value = entry["value"]
    if operator == "between":
        if not isinstance(value, list) or len(value) != 2:
            raise ConditionError(f"{where}, value: between needs a pair [low, high]")
        operands = tuple(_operand(part, f"{where}, value", known) for part in value)
        low, high = operands
        if isinstance(low, float) and isinstance(high, float) and low > high:
            raise ConditionError(f"{where}, value: the low end {low} is above the high end {high}")
        return Condition(field, operator, operands)
    return Condition(field, operator, (_operand(value, f"{where}, value", known),))


def _operand(value: Any, where: str, known: Callable[[str], object]) -> Operand:
    if isinstance(value, str):
        return _name(value, where, known)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e30:
        raise ConditionError(f"{where}: was {value!r}, a number or an indicator name is needed")
    return float(value)


def _name(value: Any, where: str, known: Callable[[str], object]) -> str:
    if not isinstance(value, str):
        raise ConditionError(f"{where}: was {value!r}, an indicator name is needed")
    try:
        known(value)
    except ValueError as error:
        raise ConditionError(f"{where}: {error}") from error
    return value


def _evaluate_one(condition: Condition, readings: Mapping[str, Reading]) -> Result:
    left = readings[condition.field]
    rights = [Reading(o, o) if isinstance(o, float) else readings[o] for o in condition.operands]
    current, others = left.current, [right.current for right in rights]
    if current is None or None in others:
        return Result(condition, None, current)
    right = rights[0]
    if condition.operator in ("crosses_above", "crosses_below"):
        return Result(condition, _crosses(left, right, up=condition.operator == "crosses_above"), current)
    low, high = others[0], others[-1]
    assert low is not None
    assert high is not None
    held = {
        "gt": current > low,
        "gte": current >= low,
        "lt": current < low,
        "lte": current <= low,
        "eq": current == low,
        "neq": current != low,
        "between": low <= current <= high,
    }[condition.operator]
    return Result(condition, held, current)


def _crosses(left: Reading, right: Reading, *, up: bool) -> bool | None:
    if None in (left.previous, right.previous):
        return None
    assert left.current is not None
    assert left.previous is not None
    assert right.current is not None
    assert right.previous is not None
    if up:
        return left.previous <= right.previous and left.current > right.current
    return left.previous >= right.previous and left.current < right.current
