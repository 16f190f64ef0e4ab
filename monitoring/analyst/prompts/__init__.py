"""
Questions as messages for a model. Pure, but for reading its own text files.

Rendering is deterministic: the same snapshot gives the same bytes. Everything in the snapshot is data; it is fenced
as such, since names and webhook fields come from outside.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from monitoring.analyst.contract import Kind, Question

HERE = Path(__file__).parent
FILES = {Kind.INITIAL: "initial.txt", Kind.MONITORING: "monitoring.txt", Kind.MANAGEMENT: "management.txt"}


def version(kind: Kind) -> str:
    """Name of the prompt with a digest of its text, so that an edited file is another version."""
    return f"{kind}-{hashlib.sha256((_text('common.txt') + _text(FILES[kind])).encode()).hexdigest()[:8]}"


def render(question: Question) -> list[dict[str, str]]:
    """The system and the user message."""
    facts = json.dumps(question.snapshot, indent=None, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    # A fence that the data can't contain: "<" never stands unescaped in it.
    fenced = facts.replace("<", "\\u003c")
    user = f"{_text(FILES[question.kind])}\n<data>\n{fenced}\n</data>\n"
    return [{"role": "system", "content": _text("common.txt")}, {"role": "user", "content": user}]


def messages_as_json(messages: list[dict[str, str]]) -> dict[str, Any]:
    """The form kept with the analysis."""
    return {"messages": messages}


@cache
def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")
