"""
A span for every analysis and one for every attempt, exported by OTLP when an address is configured.

Spans are made after the fact, so that tracing costs nothing while questions are out; they leave on a thread of the SDK
that drops them when the collector is down. Attribute names are those of OpenTelemetry's GenAI conventions
(open-telemetry/semantic-conventions-genai, in development, read in November 2026). Prompts and answers leave the desk only
when asked for: OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, format_trace_id, set_span_in_context

from monitoring import clock
from monitoring.analyst.contract import Answer, Attempt, Outcome, Question
from monitoring.asking import models

logger = logging.getLogger(__name__)
SECOND_NS = 1_000_000_000
PROVIDERS = {
    "api.openai.com": "openai",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "api.anthropic.com": "anthropic",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.x.ai": "x_ai",
}


def record(question: Question, answer: Answer) -> Answer:
    """The answer with the id of its trace; unchanged where nothing is configured, and where tracing fails."""
    tracer = _tracer(os.getpid())
    if tracer is None:
        return answer
    try:
        return _record(tracer, question, answer)
    except Exception:  # an answer that was paid for is worth more than its trace
        logger.exception("question %s could not be traced", question.id)
        return answer


def _record(tracer: Tracer, question: Question, answer: Answer) -> Answer:
    ended = int(clock.real_now().timestamp() * SECOND_NS)
    began = ended - answer.latency_ms * 1_000_000
    analysis = tracer.start_span(
        f"analysis {question.kind}", kind=SpanKind.INTERNAL, start_time=began, attributes=_of_analysis(question, answer)
    )
    inside, at = set_span_in_context(analysis), began
    for index, attempt in enumerate(answer.attempts):
        at += attempt.waited_ms * 1_000_000
        is_last = index + 1 == len(answer.attempts)
        if attempt.analyst == "llm":
            span = tracer.start_span(
                f"chat {attempt.model}",
                context=inside,
                kind=SpanKind.CLIENT,
                start_time=at,
                attributes=_of_attempt(question, attempt, answer if is_last else None),
            )
            span.set_status(_status(attempt.outcome, attempt.error))
            span.end(end_time=at + attempt.latency_ms * 1_000_000)
        at += attempt.latency_ms * 1_000_000
    analysis.set_status(_status(answer.outcome, answer.error))
    analysis.end(end_time=ended)
    return replace(answer, trace_id=format_trace_id(analysis.get_span_context().trace_id))


def provider(exporter: SpanExporter) -> TracerProvider:
    """Spans that leave by this exporter; a full queue drops, it never waits."""
    made = TracerProvider(resource=Resource.create({"service.name": "candle-desk"}), shutdown_on_exit=True)
    made.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=4096, export_timeout_millis=5_000))
    return made


@cache
def _tracer(process: int) -> Tracer | None:
    """One for each process: the SDK's thread doesn't survive the fork of a worker."""
    if not settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        return None
    exporter = OTLPSpanExporter(
        endpoint=f"{settings.OTEL_EXPORTER_OTLP_ENDPOINT}/v1/traces", headers=settings.OTEL_EXPORTER_OTLP_HEADERS, timeout=5
    )
    return provider(exporter).get_tracer("candle-desk")


def _of_analysis(question: Question, answer: Answer) -> dict[str, Any]:
    snapshot, verdict = question.snapshot, answer.verdict
    found = {
        "desk.analysis.kind": question.kind.value,
        "desk.analysis.outcome": answer.outcome.value,
        "desk.analysis.decision": verdict.decision if verdict else None,
        "desk.symbol": snapshot.get("symbol"),
        "desk.interval": snapshot.get("interval"),
        "desk.trader.id": str(question.trader_id) if question.trader_id else None,
        "desk.prompt.version": answer.prompt_version,
        "desk.cost_usd": float(answer.cost_usd) if answer.cost_usd is not None else None,
        "desk.attempts": len(answer.attempts),
    }
    return {name: value for name, value in found.items() if value is not None}


def _of_attempt(question: Question, attempt: Attempt, answer: Answer | None) -> dict[str, Any]:
    """`answer` is given with the attempt that it came from."""
    spec = models.catalog().spec(attempt.model)
    host = urlsplit(spec.endpoint.base_url).hostname or ""
    found: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": PROVIDERS.get(host, "openai"),  # everything here speaks OpenAI's protocol
        "gen_ai.request.model": attempt.model,
        "gen_ai.response.model": attempt.answered_by or None,
        "gen_ai.output.type": "json",
        "gen_ai.conversation.id": str(question.id),
        "server.address": host or None,
        "gen_ai.request.max_tokens": spec.entry.max_answer_tokens,
        "gen_ai.usage.input_tokens": attempt.prompt_tokens,
        "gen_ai.usage.output_tokens": attempt.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": attempt.cached_tokens,
        "http.response.status_code": attempt.status,
        "error.type": None if attempt.outcome is Outcome.OK else attempt.outcome.value,
    }
    temperature = spec.entry.parameters.get("temperature")
    if isinstance(temperature, int | float):
        found["gen_ai.request.temperature"] = float(temperature)
    if answer and settings.TRACE_CONTENT:
        found["gen_ai.input.messages"] = json.dumps([_message(m["role"], m["content"]) for m in answer.request.get("messages", [])])
        found["gen_ai.output.messages"] = json.dumps([_message("assistant", answer.raw_response)])
    return {name: value for name, value in found.items() if value is not None}


def _message(role: str, content: str) -> Mapping[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": content}]}


def _status(outcome: Outcome, error: str) -> Status:
    return Status(StatusCode.OK) if outcome is Outcome.OK else Status(StatusCode.ERROR, f"{outcome}: {error}"[:200])
