"""
What came back over HTTP, read: an answer's text, or by name why there is none. Pure.

Sources: OpenAI's and OpenRouter's API references, Gemini's OpenAI endpoint, LiteLLM 1.106 as measured. An HTTP 200 may
hold an error, a refusal, a filtered or a truncated answer; an error may be HTML, or stand in an array.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any

from .contract import Outcome

LARGEST_BODY = 2_000_000  # bytes; more is not an answer
KEPT_BODY = 20_000  # characters that are kept as evidence
LONGEST_WAIT_S = 86_400.0
# Headers that help to find a request in a provider's own logs, or tell what it allows.
KEPT_HEADERS = (
    "content-type", "retry-after", "x-request-id", "request-id", "cf-ray", "openai-processing-ms", "x-litellm-call-id",
    "x-litellm-response-cost", "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
)  # fmt: skip
QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached", "credit_balance_too_low"}
FILTER_CODES = {"content_filter", "content_policy_violation", "moderation", "responsibleaipolicyviolation"}
TOO_LONG_CODES = {"context_length_exceeded", "string_above_max_length"}
# LiteLLM and vLLM say it in words only.
TOO_LONG = re.compile(r"ContextWindowExceeded|maximum context length|context_length_exceeded", re.IGNORECASE)
FILTERED_FINISHES = {"content_filter", "safety", "recitation", "prohibited_content", "blocklist"}
CUT_FINISHES = {"length", "max_tokens", "model_length"}


@dataclass(frozen=True)
class Received:
    """What the wire gave: a status with headers (names in small letters) and a body, or no status and what went wrong."""

    status: int | None
    headers: Mapping[str, str]
    body: bytes
    fault: str = ""
    timed_out: bool = False


@dataclass(frozen=True)
class Reply:
    """
    An attempt's result before anybody looks at the answer itself; `outcome` is OK when there is a text to look at.

    `retry` says whether trying again can mend it, `retry_after_s` when the endpoint wants that, `endpoint_failed` that
    the endpoint rather than this question is in trouble, `billed` that tokens may have been used although none are named.
    """

    outcome: Outcome
    error: str = ""
    content: str = ""
    raw: str = ""
    model: str = ""
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: Decimal | None = None
    finish_reason: str = ""
    response_id: str = ""
    retry: bool = False
    retry_after_s: float | None = None
    endpoint_failed: bool = False
    billed: bool = True


def read(received: Received, *, now: datetime) -> Reply:
    """The reply that a response comes to; `now` is real time, for dates in headers."""
    if received.status is None:
        outcome = Outcome.TIMEOUT if received.timed_out else Outcome.UNAVAILABLE
        return Reply(outcome, received.fault, retry=not received.timed_out, endpoint_failed=True)
    raw = storable(received.body.decode("utf-8", errors="replace")[:KEPT_BODY])
    if len(received.body) > LARGEST_BODY:
        return Reply(Outcome.INVALID, f"the body is larger than {LARGEST_BODY} bytes", raw=raw)
    try:
        data = json.loads(received.body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        data = None
    problem = _problem(data)
    if received.status != 200 or problem is not None:
        return _failed(received, problem or {}, raw, now)
    if not isinstance(data, dict):
        return Reply(Outcome.INVALID, f"HTTP 200 without a JSON object: {raw[:200]}", raw=raw)
    return _completion(data, received, raw)


def storable(text: str) -> str:
    """Text that a database takes: lone surrogates and NUL, both of which JSON can hold, replaced."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\ufffd")


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers worth keeping."""
    return {name: storable(headers[name][:200]) for name in KEPT_HEADERS if name in headers}


def _problem(data: Any) -> Mapping[str, Any] | None:
    """The error object in a body, also when it stands in an array (Gemini) or is a mere text."""
    if isinstance(data, list) and data:
        data = data[0]
    error = data.get("error") if isinstance(data, dict) else None
    if not error:
        return None
    return error if isinstance(error, dict) else {"message": str(error)}


def _failed(received: Received, problem: Mapping[str, Any], raw: str, now: datetime) -> Reply:
    """An HTTP error, or a 200 that holds one; a number inside says more than the status outside."""
    inside = str(problem.get("code") or problem.get("status") or "")
    status = int(inside) if inside.isascii() and inside.isdigit() and len(inside) == 3 else received.status or 0
    words = {str(problem.get(key) or "").lower() for key in ("code", "type", "status", "param")}
    message = f"HTTP {received.status}: {json.dumps(problem)[:300] if problem else raw[:200]}"
    wait_s = _retry_after(received.headers, problem, now)
    if words & QUOTA_CODES or status == 402:
        return Reply(Outcome.UNAVAILABLE, message, raw=raw, endpoint_failed=True, billed=False)
    if words & FILTER_CODES or (status == 403 and _moderated(problem)):
        return Reply(Outcome.FILTERED, message, raw=raw, billed=False)
    if status == 429 or "rate_limit_exceeded" in words or "resource_exhausted" in words:
        return Reply(Outcome.RATE_LIMITED, message, raw=raw, retry=True, retry_after_s=wait_s, billed=False)
    if words & TOO_LONG_CODES or status == 413 or (status == 400 and TOO_LONG.search(str(problem.get("message")))):
        return Reply(Outcome.INVALID, message, raw=raw, billed=False)
    if status in (408, 504):
        return Reply(Outcome.TIMEOUT, message, raw=raw, retry=True, retry_after_s=wait_s, endpoint_failed=True)
    if status == 200:
        return Reply(Outcome.UNAVAILABLE, message, raw=raw, retry=True, retry_after_s=wait_s, endpoint_failed=True)
    mendable = status in (409, 425) or status >= 500
    return Reply(
        Outcome.UNAVAILABLE,
        message,
        raw=raw,
        retry=mendable,
        retry_after_s=wait_s,
        endpoint_failed=status >= 500 or status == 401,
        billed=False,
    )


def _moderated(problem: Mapping[str, Any]) -> bool:
    """OpenRouter says 403 with the reasons when an input was flagged."""
    metadata = problem.get("metadata")
    return isinstance(metadata, dict) and ("reasons" in metadata or "flagged_input" in metadata)


def _retry_after(headers: Mapping[str, str], problem: Mapping[str, Any], now: datetime) -> float | None:
    """Seconds that the endpoint wants to be left alone, in any of the ways in which providers say so."""
    found = [
        _number(headers.get("retry-after-ms"), scale=0.001),
        _number(headers.get("retry-after")),
        _number(headers.get("llm_provider-retry-after")),
        _until(headers.get("retry-after"), now),
    ]
    reset_ms = _number(headers.get("x-ratelimit-reset"))  # OpenRouter: milliseconds since the epoch
    if reset_ms and reset_ms > 1e12:
        found.append(reset_ms / 1000 - now.timestamp())
    details = problem.get("details")
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None  # Gemini: "34s"
        if isinstance(delay, str):
            found.append(_number(delay.removesuffix("s")))
    waits = [wait for wait in found if wait is not None and 0 <= wait <= LONGEST_WAIT_S]
    return max(waits) if waits else None


def _number(text: str | None, *, scale: float = 1.0) -> float | None:
    try:
        return float(text) * scale if text else None
    except ValueError:
        return None


def _until(text: str | None, now: datetime) -> float | None:
    try:
        return (parsedate_to_datetime(text) - now).total_seconds() if text else None
    except (TypeError, ValueError):  # not a date, or one without a time zone
        return None


def _completion(data: Mapping[str, Any], received: Received, raw: str) -> Reply:
    usage = _object(data.get("usage"))
    choices = data.get("choices")
    choice = _object(choices[0]) if isinstance(choices, list) and choices else {}
    message = _object(choice.get("message"))
    finish = storable(str(choice.get("finish_reason") or "")[:40])
    known = Reply(
        Outcome.OK,
        raw=raw,
        model=storable(str(data.get("model") or "")[:120]),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        cached_tokens=_count(_object(usage.get("prompt_tokens_details")).get("cached_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        cost_usd=_cost(usage.get("cost"), received.headers),
        finish_reason=finish,
        response_id=storable(str(data.get("id") or "")[:120]),
    )
    refusal = message.get("refusal") or _object(message.get("provider_specific_fields")).get("refusal")
    content = message.get("content")
    if refusal:
        return _without(known, Outcome.REFUSED, storable(str(refusal)[:300]))
    if finish.lower() in FILTERED_FINISHES:
        return _without(known, Outcome.FILTERED, f"finish_reason is {finish}")
    if finish.lower() in CUT_FINISHES:
        return _without(known, Outcome.TRUNCATED, f"finish_reason is {finish}")
    if finish == "error":
        return _without(known, Outcome.UNAVAILABLE, "finish_reason is error", retry=True)
    if not isinstance(content, str) or not content.strip():
        # A provider that was still starting sends nothing; a second try gets the answer.
        return _without(known, Outcome.INVALID, f"no content; finish_reason is {finish!r}", retry=finish in ("", "stop"))
    return Reply(**{**vars(known), "content": content})


def _without(known: Reply, outcome: Outcome, error: str, *, retry: bool = False) -> Reply:
    return Reply(**{**vars(known), "outcome": outcome, "error": error, "retry": retry})


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 100_000_000 else None


def _cost(value: Any, headers: Mapping[str, str]) -> Decimal | None:
    """The provider's own figure in USD: OpenRouter says it in `usage.cost`, a LiteLLM proxy in a header."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        value = _number(headers.get("x-litellm-response-cost"))
    return Decimal(repr(value)) if value is not None and 0 <= value < 10_000 else None
