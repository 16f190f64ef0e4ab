"""Every reply of the wire lands in exactly one outcome, by name."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.analyst import reply
from monitoring.analyst.contract import Outcome
from monitoring.analyst.reply import Received
from tests.support.analysts import completion, verdict

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def read(status: int | None, body: Any, **headers: str) -> reply.Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return reply.read(Received(status, {name.replace("_", "-"): value for name, value in headers.items()}, data), now=NOW)


def error(**fields: Any) -> dict[str, Any]:
    return {"error": {"message": "something", **fields}}


@pytest.mark.parametrize(
    ("status", "body", "outcome", "retry"),
    [
        (*completion(verdict("continue")), Outcome.OK, False),
        (*completion("{", finish_reason="length"), Outcome.TRUNCATED, False),
        (*completion("", finish_reason="length"), Outcome.TRUNCATED, False),
        (*completion(verdict("continue"), finish_reason="content_filter"), Outcome.FILTERED, False),
        (*completion(verdict("continue"), finish_reason="SAFETY"), Outcome.FILTERED, False),
        (*completion("", message={"role": "assistant", "content": None, "refusal": "no"}), Outcome.REFUSED, False),
        (*completion("", message={"content": None, "provider_specific_fields": {"refusal": "no"}}), Outcome.REFUSED, False),
        (*completion(""), Outcome.INVALID, True),
        (*completion("", finish_reason="tool_calls"), Outcome.INVALID, False),
        (*completion("", finish_reason="error"), Outcome.UNAVAILABLE, True),
        (*completion("", message=None), Outcome.INVALID, True),
        (*completion("", message={"content": [1]}), Outcome.INVALID, True),
        (200, {"choices": []}, Outcome.INVALID, True),
        (200, {"choices": "no"}, Outcome.INVALID, True),
        (200, [], Outcome.INVALID, False),
        (200, 5, Outcome.INVALID, False),
        (200, b"", Outcome.INVALID, False),
        (200, b"<html>gateway</html>", Outcome.INVALID, False),
        (200, json.dumps(completion(verdict("continue"))[1]).encode("utf-16"), Outcome.INVALID, False),
        (200, b"\xff\xfe{", Outcome.INVALID, False),
        (200, b"[" * 200_000, Outcome.INVALID, False),
        (200, b"x" * 2_100_000, Outcome.INVALID, False),
        (200, error(code=429), Outcome.RATE_LIMITED, True),
        (200, error(code="429"), Outcome.RATE_LIMITED, True),
        (200, error(code=502), Outcome.UNAVAILABLE, True),
        (200, error(code=402), Outcome.UNAVAILABLE, False),
        (200, error(code=403, metadata={"reasons": ["violence"]}), Outcome.FILTERED, False),
        (200, error(), Outcome.UNAVAILABLE, True),
        (200, {"error": "a mere text"}, Outcome.UNAVAILABLE, True),
        (429, error(type="requests", code="rate_limit_exceeded"), Outcome.RATE_LIMITED, True),
        (429, error(code="insufficient_quota"), Outcome.UNAVAILABLE, False),
        (429, [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}], Outcome.RATE_LIMITED, True),
        (503, error(code="rate_limit_exceeded"), Outcome.RATE_LIMITED, True),
        (400, error(code="content_filter"), Outcome.FILTERED, False),
        (400, error(code="context_length_exceeded"), Outcome.INVALID, False),
        (413, b"too large", Outcome.INVALID, False),
        (400, {"error": {"message": "This model's maximum context length is 8192 tokens"}}, Outcome.INVALID, False),
        (400, error(code="unsupported_value"), Outcome.UNAVAILABLE, False),
        (401, error(code="invalid_api_key"), Outcome.UNAVAILABLE, False),
        (402, error(), Outcome.UNAVAILABLE, False),
        (403, error(), Outcome.UNAVAILABLE, False),
        (404, error(code="model_not_found"), Outcome.UNAVAILABLE, False),
        (408, error(), Outcome.TIMEOUT, True),
        (409, error(), Outcome.UNAVAILABLE, True),
        (422, error(), Outcome.UNAVAILABLE, False),
        (500, b"Internal Server Error", Outcome.UNAVAILABLE, True),
        (502, b"<html>bad gateway</html>", Outcome.UNAVAILABLE, True),
        (503, error(), Outcome.UNAVAILABLE, True),
        (504, b"", Outcome.TIMEOUT, True),
        (529, error(type="overloaded_error"), Outcome.UNAVAILABLE, True),
        (301, b"", Outcome.UNAVAILABLE, False),
    ],
)
def test_a_reply_has_one_outcome(status: int, body: Any, outcome: Outcome, retry: bool) -> None:
    found = read(status, body)
    assert (found.outcome, found.retry) == (outcome, retry), found.error
    assert bool(found.content) is (outcome is Outcome.OK)
    assert bool(found.error) is (outcome is not Outcome.OK)


def test_what_never_arrived() -> None:
    late = reply.read(Received(None, {}, b"", "no answer within 5.0 s", timed_out=True), now=NOW)
    gone = reply.read(Received(None, {}, b"", "ClientConnectorError: refused"), now=NOW)
    assert (late.outcome, late.retry, late.endpoint_failed) == (Outcome.TIMEOUT, False, True)
    assert (gone.outcome, gone.retry, gone.endpoint_failed) == (Outcome.UNAVAILABLE, True, True)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry_after": "12"}, error(), 12),
        ({"retry_after_ms": "1500"}, error(), 1.5),
        ({"llm_provider_retry_after": "7"}, error(), None),
        ({"retry_after": (NOW + timedelta(seconds=30)).strftime("%a, %d %b %Y %H:%M:%S GMT")}, error(), 30),
        ({"x_ratelimit_reset": str(int((NOW.timestamp() + 4) * 1000))}, error(), 4),
        ({}, [{"error": {"code": 429, "details": [{"@type": "x"}, {"retryDelay": "34s"}]}}], 34),
        ({"retry_after": "-5"}, error(), None),
        ({"retry_after": "soon"}, error(), None),
        ({"retry_after": "1e12"}, error(), None),
        ({}, error(), None),
    ],
)
def test_when_it_may_be_asked_again(headers: dict[str, str], body: Any, seconds: float | None) -> None:
    assert read(429, body, **headers).retry_after_s == (pytest.approx(seconds) if seconds else None)


def test_litellm_says_it_in_a_header_of_its_own() -> None:
    received = Received(429, {"llm_provider-retry-after": "7", "x-litellm-response-cost": "1.35e-05"}, b"{}")
    assert reply.read(received, now=NOW).retry_after_s == 7


def test_tokens_and_cost() -> None:
    _, body = completion(verdict("continue"))
    body["usage"] = {"prompt_tokens": 900, "completion_tokens": 120, "cost": 0.00042, "prompt_tokens_details": {"cached_tokens": 512}}
    found = read(200, body)
    assert (found.prompt_tokens, found.cached_tokens, found.completion_tokens, found.cost_usd) == (900, 512, 120, Decimal("0.00042"))
    body["usage"] = {"prompt_tokens": True, "completion_tokens": -1, "cost": float("1e9")}
    found = read(200, body, x_litellm_response_cost="1.35e-05")
    assert (found.prompt_tokens, found.completion_tokens) == (None, None)
    assert found.cost_usd is None, "nobody pays a billion for an answer"
    del body["usage"]["cost"]
    assert read(200, body, x_litellm_response_cost="1.35e-05").cost_usd == Decimal("0.0000135")


@pytest.mark.parametrize("code", ["²²²", "٥٠٣", "5.3", "-50", "999", [], {}])
def test_a_code_may_be_anything(code: Any) -> None:
    assert read(200, {"error": {"code": code}}).outcome is Outcome.UNAVAILABLE


@given(st.integers(100, 599), st.binary(max_size=300))
def test_any_bytes_have_an_outcome(status: int, body: bytes) -> None:
    assert read(status, body).outcome is not Outcome.OK


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["choices", "error", "message", "usage", "code"]), inner)
        ),
    )
)
def test_any_json_has_an_outcome(value: Any) -> None:
    assert read(200, value).outcome in Outcome
