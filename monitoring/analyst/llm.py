"""
An analyst over HTTP: any endpoint that speaks OpenAI's chat completions.

All questions of a batch are asked at once from one event loop. Each lands in exactly one outcome; an exception
never leaves `ask`. Sources: OpenAI and OpenRouter API references; an HTTP 200 may hold an error, a refusal,
a truncated or a filtered answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import aiohttp

from . import prompts, schema
from .contract import Answer, Outcome, Question

LARGEST_BODY = 2_000_000  # bytes; more is not an answer
KEPT_BODY = 20_000  # characters of a body that is kept as evidence


@dataclass(frozen=True)
class Endpoint:
    """Where to ask. `base_url` goes up to and includes /v1; the timeout is in real seconds."""

    base_url: str
    api_key: str
    timeout_s: float
    max_concurrency: int


async def ask(questions: Sequence[tuple[Question, float]], *, endpoint: Endpoint) -> list[Answer]:
    """Ask all questions at once, each with the real seconds that are left to it; answers in the same order."""
    connector = aiohttp.TCPConnector(limit=endpoint.max_concurrency)
    headers = {"Authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        return await asyncio.gather(*(_ask_one(session, endpoint, question, left_s) for question, left_s in questions))


async def _ask_one(session: aiohttp.ClientSession, endpoint: Endpoint, question: Question, left_s: float) -> Answer:
    messages = prompts.render(question)
    request = {
        "model": question.model,
        "messages": messages,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": f"{question.kind}_decision", "strict": True, "schema": schema.json_schema(question.kind)},
        },
    }
    blank = Answer(
        Outcome.UNAVAILABLE,
        "llm",
        model=question.model,
        prompt_version=prompts.version(question.kind),
        request=prompts.messages_as_json(messages),
    )
    began = time.monotonic()
    try:
        async with asyncio.timeout(max(0.0, min(left_s, endpoint.timeout_s))):
            answer = await _post(session, endpoint, question, request, blank)
    except TimeoutError:
        answer = replace(blank, outcome=Outcome.TIMEOUT, error=f"no answer within {min(left_s, endpoint.timeout_s):.1f} s")
    except aiohttp.ClientError as error:
        answer = replace(blank, error=f"{type(error).__name__}: {error}")
    return replace(answer, latency_ms=int((time.monotonic() - began) * 1000))


async def _post(session: aiohttp.ClientSession, endpoint: Endpoint, question: Question, request: dict[str, Any], blank: Answer) -> Answer:
    async with session.post(f"{endpoint.base_url}/chat/completions", json=request, allow_redirects=False) as reply:
        body = await reply.content.read(LARGEST_BODY + 1)
        while len(body) <= LARGEST_BODY and (more := await reply.content.read(LARGEST_BODY + 1 - len(body))):
            body += more
        status = reply.status
    text = body.decode("utf-8", errors="replace")
    blank = replace(blank, raw_response=text[:KEPT_BODY])
    if len(body) > LARGEST_BODY:
        return replace(blank, outcome=Outcome.INVALID, error=f"the body is larger than {LARGEST_BODY} bytes")
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if status != 200 or not isinstance(data, dict) or "error" in data:
        return _error(status, data, blank)
    return _completion(data, question, blank)


def _error(status: int, data: Any, blank: Answer) -> Answer:
    """An HTTP error, a 200 with an error body, or a body that is no JSON object."""
    inner = data.get("error") if isinstance(data, dict) else None
    code = inner.get("code") if isinstance(inner, dict) else None
    effective = int(str(code)) if str(code).isdigit() else status
    message = f"HTTP {status}: {json.dumps(inner)[:300] if inner else blank.raw_response[:200]}"
    if effective == 200:
        return replace(blank, outcome=Outcome.INVALID, error=message)
    if effective == 429:
        return replace(blank, outcome=Outcome.RATE_LIMITED, error=message)
    if effective in (408, 504):
        return replace(blank, outcome=Outcome.TIMEOUT, error=message)
    return replace(blank, outcome=Outcome.UNAVAILABLE, error=message)


def _completion(data: Mapping[str, Any], question: Question, blank: Answer) -> Answer:
    usage = _object(data.get("usage"))
    blank = replace(
        blank,
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=_count(usage, "completion_tokens"),
        cost_usd=_cost(usage),
    )
    choices = data.get("choices")
    choice = _object(choices[0]) if isinstance(choices, list) and choices else {}
    message = _object(choice.get("message"))
    finish, content = choice.get("finish_reason"), message.get("content")
    if message.get("refusal"):
        return replace(blank, outcome=Outcome.REFUSED, error=str(message["refusal"])[:300])
    if finish == "content_filter":
        return replace(blank, outcome=Outcome.FILTERED, error="finish_reason is content_filter")
    if finish == "length":
        return replace(blank, outcome=Outcome.TRUNCATED, error="finish_reason is length")
    if not isinstance(content, str) or not content.strip():
        return replace(blank, outcome=Outcome.INVALID, error=f"no content; finish_reason is {str(finish)[:40]!r}")
    try:
        verdict = schema.parse(content, kind=question.kind)
    except schema.InvalidAnswer as error:
        return replace(blank, outcome=Outcome.INVALID, error=str(error)[:500])
    return replace(blank, outcome=Outcome.OK, verdict=verdict)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if isinstance(value, int) and 0 <= value < 100_000_000 else None


def _cost(usage: Mapping[str, Any]) -> Decimal | None:
    value = usage.get("cost")  # OpenRouter's own figure, in USD
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 10_000:
        return Decimal(str(value))
    return None
