"""
A question in somebody's own words: the text and the fields of its answer, taken out of the snapshot, which is their evidence. Pure.

The form of `snapshot["question"]` is {"text": …, "fields": [{"name": …, "type": number|text|yes_no|choice, "choices": […]}]}.
Every answer also holds a confidence and a reasoning, so that it can be read like any other.

BadForm   a form that can't be asked for; the message names the field
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from . import schema
from .contract import Verdict
from .schema import InvalidAnswer

TYPES = ("number", "text", "yes_no", "choice")
ALWAYS = ("confidence", "reasoning")
NAME = re.compile(r"^[a-z][a-z0-9_]{0,39}$")
LONGEST_TEXT, MOST_FIELDS, MOST_CHOICES = 4000, 20, 30
ANSWERED = "answered"


class BadForm(ValueError):
    """A form that can't be asked for."""


@dataclass(frozen=True)
class Field:
    """One field of the answer; `choices` of a choice only."""

    name: str
    type: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """What is asked, and what the answer has to hold."""

    text: str
    fields: tuple[Field, ...]

    def as_json(self) -> dict[str, Any]:
        """The form kept in the snapshot."""
        return {"text": self.text, "fields": [{"name": f.name, "type": f.type, "choices": list(f.choices)} for f in self.fields]}


def parse_form(raw: Any) -> Form:
    """
    A form from its JSON.

    :raises BadForm: naming the field that is wrong
    """
    text = raw.get("text") if isinstance(raw, Mapping) else None
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST_TEXT:
        raise BadForm(f"text: a question of 1 to {LONGEST_TEXT} characters is needed")
    rows = raw.get("fields")
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_FIELDS:
        raise BadForm(f"fields: 1 to {MOST_FIELDS} are needed")
    fields = tuple(_field(row, number) for number, row in enumerate(rows, start=1))
    if len({field.name for field in fields}) != len(fields):
        raise BadForm("fields: a name stands twice")
    return Form(text, fields)


def json_schema(form: Form) -> dict[str, Any]:
    """The schema for `response_format`: every field required, and no other."""
    own = {field.name: _property(field) for field in form.fields if field.name not in ALWAYS}
    properties = {**own, "confidence": {"type": "number"}, "reasoning": {"type": "string"}}
    return {"type": "object", "additionalProperties": False, "required": list(properties), "properties": properties}


def parse(text: str, *, form: Form) -> Verdict:
    """
    The verdict of an answer: decision *answered*, its fields as `details`.

    :raises InvalidAnswer: saying what is wrong
    """
    raw = schema.load(text)
    if not isinstance(raw, dict):
        raise InvalidAnswer("answer: an object is needed")
    wanted = {field.name for field in form.fields} | set(ALWAYS)
    if set(raw) != wanted:
        wrong = min(set(raw) ^ wanted)
        raise InvalidAnswer(f"{wrong[:40]}: {'is missing' if wrong in wanted else 'was not asked for'}")
    confidence, reasoning = raw["confidence"], raw["reasoning"]
    if not isinstance(confidence, Decimal) or not 0 <= confidence <= 1:
        raise InvalidAnswer("confidence: a number between 0 and 1 is needed")
    if not isinstance(reasoning, str) or not 1 <= len(reasoning) <= LONGEST_TEXT:
        raise InvalidAnswer(f"reasoning: 1 to {LONGEST_TEXT} characters are needed")
    details = {field.name: _value(field, raw[field.name]) for field in form.fields}
    return Verdict(ANSWERED, confidence, reasoning, details=details)


def _field(row: Any, number: int) -> Field:
    where = f"fields, {number}"
    if not isinstance(row, Mapping) or not isinstance(row.get("name"), str) or not NAME.match(row["name"]):
        raise BadForm(f"{where}, name: small letters, digits and _ are allowed, a letter first")
    name, kind, choices = row["name"], row.get("type"), row.get("choices") or []
    if kind not in TYPES:
        raise BadForm(f"{where}, type: was {str(kind)[:40]!r}, allowed are {', '.join(TYPES)}")
    if name in ALWAYS and kind != {"confidence": "number", "reasoning": "text"}[name]:
        raise BadForm(f"{where}, type: {name} always is a {'number' if name == 'confidence' else 'text'}")
    if kind == "choice":
        texts = isinstance(choices, list) and all(isinstance(choice, str) and 0 < len(choice) <= 80 for choice in choices)
        if not texts or not 2 <= len(set(choices)) == len(choices) <= MOST_CHOICES:
            raise BadForm(f"{where}, choices: 2 to {MOST_CHOICES} different texts are needed")
    return Field(name, kind, tuple(choices) if kind == "choice" else ())


def _property(field: Field) -> dict[str, Any]:
    if field.type == "choice":
        return {"type": "string", "enum": list(field.choices)}
    return {"type": {"number": "number", "text": "string", "yes_no": "boolean"}[field.type]}


def _value(field: Field, value: Any) -> Any:
    match field.type:
        case "number" if isinstance(value, Decimal):
            return float(value)
        case "text" if isinstance(value, str) and len(value) <= LONGEST_TEXT:
            return value
        case "yes_no" if isinstance(value, bool):
            return value
        case "choice" if value in field.choices:
            return value
    raise InvalidAnswer(f"{field.name}: was {str(value)[:40]!r}, a {field.type} is needed")
