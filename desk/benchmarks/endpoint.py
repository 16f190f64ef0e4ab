"""A model that always says *continue*, after a fixed latency: an ASGI application for benchmarks."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

ANSWER = json.dumps(
    {"decision": "continue", "confidence": 0.6, "reasoning": "stub", "tradePlan": None, "details": None, "marketConditions": None}
)
CHOICE = {"index": 0, "message": {"role": "assistant", "content": ANSWER, "refusal": None}, "finish_reason": "stop"}
BODY = json.dumps({"choices": [CHOICE], "usage": {"prompt_tokens": 1000, "completion_tokens": 100}}).encode()
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
LATENCY_VARIABLE = "BENCHMARK_LATENCY_S"


async def application(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """Answer one completion."""
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(float(os.environ[LATENCY_VARIABLE]))
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})
