"""A question as the body of a chat completion. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from . import custom, prompts, schema
from .catalog import ModelSpec
from .contract import Kind, Question


@dataclass(frozen=True)
class Request:
    """What is sent, and what of it is kept: everything but the schema, which the name of the prompt stands for."""

    body: bytes
    kept: Mapping[str, Any]
    prompt_version: str


def schema_of(question: Question) -> dict[str, Any]:
    """The schema of its answer."""
    if question.kind is Kind.CUSTOM:
        return custom.json_schema(custom.parse_form(question.snapshot["question"]))
    return schema.json_schema(question.kind)


def in_words_of(question: Question) -> str:
    """The schema as text, for a model that can't be held to one."""
    return json.dumps(schema_of(question), separators=(",", ":"))


def build(question: Question, *, spec: ModelSpec) -> Request:
    """The body for this model, with the parameters that it takes."""
    entry, version = spec.entry, prompts.version(question.kind)
    in_words = entry.answers == "json_object"
    messages = prompts.render(question.snapshot, kind=question.kind, schema=in_words_of(question) if in_words else "")
    kept = {"model": spec.wire_name, "messages": messages, entry.limit_parameter: entry.max_answer_tokens, **entry.parameters}
    if in_words:
        answers: dict[str, Any] = {"type": "json_object"}
        return Request(orjson.dumps({**kept, "response_format": answers}), {**kept, "response_format": answers}, version)
    named = {"name": version, "strict": True}
    full = {"type": "json_schema", "json_schema": {**named, "schema": schema_of(question)}}
    short = {"type": "json_schema", "json_schema": named}
    return Request(orjson.dumps({**kept, "response_format": full}), {**kept, "response_format": short}, version)
