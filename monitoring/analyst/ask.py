"""The one way to put questions: each to the analyst it names, all at once, nobody waiting for a deadline in vain."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from django.conf import settings

from monitoring import clock
from monitoring.analyst import llm, rules
from monitoring.analyst.contract import Answer, Outcome, Question

logger = logging.getLogger(__name__)


def ask_all(questions: Sequence[Question], *, now: datetime) -> Mapping[UUID, Answer]:
    """
    An answer for every question, by its id. Rules are judged here; models are asked concurrently.

    No transaction may be open: a model takes seconds.
    """
    answers = {question.id: _judge(question) for question in questions if question.analyst == "rules"}
    asked = [(question, clock.real_seconds(question.deadline - now)) for question in questions if question.analyst == "llm"]
    if asked:
        endpoint = llm.Endpoint(
            base_url=settings.LLM_BASE_URL,
            api_key=settings.LLM_API_KEY,
            timeout_s=settings.LLM_TIMEOUT_SECONDS,
            max_concurrency=settings.LLM_MAX_CONCURRENCY,
        )
        if endpoint.base_url:
            replies = asyncio.run(llm.ask(asked, endpoint=endpoint))
        else:
            replies = [Answer(Outcome.UNAVAILABLE, "llm", error="LLM_BASE_URL is not set") for _ in asked]
        answers.update({question.id: reply for (question, _), reply in zip(asked, replies, strict=True)})
    after = clock.now()
    return {question.id: _in_time(answers[question.id], question, after) for question in questions}


def _judge(question: Question) -> Answer:
    began = time.monotonic()
    try:
        verdict = rules.judge(question)
    except Exception as error:  # one trader's unusable data must not cost the others of the batch their decision
        logger.exception("the rules failed on question %s", question.id)
        return Answer(Outcome.INVALID, "rules", error=f"{type(error).__name__}: {error}", prompt_version=rules.VERSION)
    return Answer(Outcome.OK, "rules", verdict=verdict, prompt_version=rules.VERSION, latency_ms=int((time.monotonic() - began) * 1000))


def _in_time(answer: Answer, question: Question, after: datetime) -> Answer:
    """An answer past its deadline is kept as evidence and not acted on (P7)."""
    if answer.outcome is Outcome.OK and after > question.deadline:
        return replace(
            answer,
            outcome=Outcome.LATE,
            verdict=None,
            error=f"answered {answer.verdict and answer.verdict.decision} after {question.deadline:%H:%M:%S}",
        )
    return answer
