"""
Questions as messages for a model. Pure, but for reading its own text files.

Rendering is deterministic: the same snapshot gives the same bytes, also after it has been through the database.
Everything in the snapshot is data; it is fenced as such, since names and webhook fields come from outside.

A release is a folder and a layout of the data. Once answers were kept that were asked with it, it never changes:
a better prompt is another release, so that old answers can still be replayed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from monitoring.analyst.contract import Kind

HERE = Path(__file__).parent
CURRENT = "v1"
LONGEST_REASONING = 60  # characters of an earlier decision
SIGNIFICANT_DIGITS = 6  # of an indicator
WHOLE_UNTIL = 10**15  # floats above it are written as floats, whatever they were stored as


class UnknownRelease(ValueError):
    """A prompt version that this program does not have."""


def version(kind: Kind) -> str:
    """Name of the prompt that `render` makes: release, question, and a digest of the texts."""
    return f"{CURRENT}-{kind}-{digest(kind, release=CURRENT)}"


@cache
def digest(kind: Kind, *, release: str) -> str:
    """Of the texts of a release, to notice that somebody changed one."""
    texts = _text(release, "common.txt") + _text(release, f"{kind}.txt")
    return hashlib.sha256(texts.encode()).hexdigest()[:8]


def release_of(version: str, kind: Kind) -> str:
    """
    The release that a kept answer was asked with.

    :raises UnknownRelease: if it is not here, or its texts are others now
    """
    release = version.partition("-")[0]
    if not (HERE / release / f"{kind}.txt").is_file() or version != f"{release}-{kind}-{digest(kind, release=release)}":
        raise UnknownRelease(f"prompt version {version!r} is not one of this program")
    return release


def render(snapshot: Mapping[str, Any], *, kind: Kind, schema: str = "", release: str = CURRENT) -> list[dict[str, str]]:
    """The system and the user message; `schema` is put into words for models that can't be given one."""
    facts = json.dumps(_layout(snapshot), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # A fence that the data can't contain: "<" never stands unescaped in it.
    fenced = facts.replace("<", "\\u003c")
    system, instruction = _text(release, "common.txt"), _text(release, f"{kind}.txt")
    if kind is Kind.CUSTOM:
        instruction += f"{snapshot['question']['text']}\n"
    if schema:
        system += f"The schema of your answer:\n{schema}\n"
    return [
        {"role": "system", "content": system},
        {"role": "user", "content": f"{instruction}<data>\n{fenced}\n</data>\n"},
    ]


def _layout(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """The snapshot in fewer words: an indicator's two values together, conditions and earlier decisions as one line each."""
    data = {key: value for key, value in snapshot.items() if key not in ("indicators", "previous_indicators", "question")}
    if "indicators" in snapshot:
        before = snapshot.get("previous_indicators", {})
        data["indicators"] = {name: [_short(now), _short(before.get(name))] for name, now in snapshot["indicators"].items()}
    if "recent_decisions" in snapshot:
        data["recent_decisions"] = [_line(row) for row in snapshot["recent_decisions"]]
    if isinstance(trader := snapshot.get("trader"), dict):
        lists = {name: trader[name] for name in ("conditions", "invalidation_conditions") if name in trader}
        data["trader"] = {**trader, **{name: [_condition(entry) for entry in entries] for name, entries in lists.items()}}
    laid_out: dict[str, Any] = _canonical(data)
    return laid_out


def _line(row: Mapping[str, Any]) -> str:
    """An earlier decision."""
    when = str(row["time"]).replace("T", " ").removesuffix(":00Z")
    confidence, price = (_canonical(row[name]) for name in ("confidence", "price"))
    return f"{when} {row['decision']} {confidence} at {price}: {row['reasoning'][:LONGEST_REASONING]}"


def _condition(entry: Any) -> Any:
    """A condition as `rsi_14 lt 40`; anything else as it is."""
    if not isinstance(entry, dict) or set(entry) != {"field", "operator", "value"} or isinstance(entry["value"], dict):
        return entry
    operands = entry["value"] if isinstance(entry["value"], list) else [entry["value"]]
    return f"{entry['field']} {entry['operator']} {' and '.join(str(_canonical(operand)) for operand in operands)}"


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def _canonical(value: Any) -> Any:
    """Numbers as they also come back from the database, where 1.0 and 1 are kept apart but 1e16 becomes an integer."""
    kind = type(value)
    if kind is str:
        return value
    if kind is float:
        return int(value) if value.is_integer() and abs(value) < WHOLE_UNTIL else value
    if kind is int:
        return float(value) if abs(value) >= WHOLE_UNTIL else value
    if kind is dict:
        return {key: _canonical(inner) for key, inner in value.items() if inner or inner not in ({}, [])}
    if kind in (list, tuple):
        return [_canonical(inner) for inner in value]
    return value


@cache
def _text(release: str, name: str) -> str:
    return (HERE / release / name).read_text(encoding="utf-8")
