"""One question on its way: whom it is put to next, until when, and what has been tried. Knows neither HTTP nor the database."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from uuid import UUID, uuid4

from monitoring.analyst import verdicts
from monitoring.analyst.backoff import delay_s
from monitoring.analyst.catalog import ModelSpec
from monitoring.analyst.contract import RULES, Answer, Attempt, Kind, Outcome, Question, Verdict
from monitoring.analyst.reply import Reply, kept_headers
from monitoring.analyst.request import Request, build

logger = logging.getLogger(__name__)
# No decision of one analyst that asking the next can't mend.
FINAL = frozenset({Outcome.LATE, Outcome.HALTED})
SHORTEST_S = 0.05  # an attempt with less time than this is not begun


@dataclass
class Inquiry:
    """
    A question and its chain of analysts. Times are `time.monotonic`.

    Every model of the chain gets an equal part of the time that is left, so that one which keeps silent leaves the next
    ones theirs; the rules at the end take none.
    """

    question: Question
    deadline: float
    began: float
    spec_of: Callable[[str], ModelSpec]
    timeout_s: float
    max_attempts: int
    chance: random.Random
    attempts: list[Attempt] = field(default_factory=list)
    key: UUID = field(default_factory=uuid4)
    not_before: float = 0.0
    waiting_since: float = 0.0
    tries: int = 0  # of the present analyst
    place: int = 0  # in the chain
    ends: float = 0.0  # of the present analyst's part
    spec: ModelSpec | None = None
    request: Request | None = None
    last: Answer | None = None

    @property
    def is_urgent(self) -> bool:
        """Open positions are asked about before setups."""
        return self.question.kind is Kind.MANAGEMENT

    @property
    def is_for_rules(self) -> bool:
        """Whether it is the rules' turn."""
        return self.place < len(self.question.chain) and self.question.chain[self.place] == RULES

    def begin(self, *, now: float) -> Answer | None:
        """
        Turn to the analyst at `place`, or to the first after it that can be asked; the last answer when there is none.

        A question that can't even be put costs neither the rest of its chain nor the rest of its batch.
        """
        while self.place < len(self.question.chain):
            try:
                self._begin(now=now)
            except Exception as error:
                logger.exception("question %s can't be put to %r", self.question.id, self.question.chain[self.place])
                model, text = str(self.question.chain[self.place]), f"it can't be asked: {type(error).__name__}: {error}"
                self.attempts.append(Attempt("llm", model, Outcome.INVALID, text))
                self.last = Answer(Outcome.INVALID, "llm", error=text[:500], model=model, attempts=tuple(self.attempts))
                self.place += 1
            else:
                return None
        return self.last

    @property
    def has_another(self) -> bool:
        """Whether somebody else can be asked after the present analyst."""
        return self.place + 1 < len(self.question.chain)

    def _begin(self, *, now: float) -> None:
        name = self.question.chain[self.place]
        models_left = sum(analyst != RULES for analyst in self.question.chain[self.place :])
        self.ends = now + max(0.0, self.deadline - now) / max(1, models_left)
        self.tries, self.waiting_since, self.not_before = 0, now, now
        self.spec = self.request = None
        if name != RULES:
            self.spec = self.spec_of(name)
            self.request = build(self.question, spec=self.spec)

    def lasts_s(self, *, now: float) -> float:
        """How long an attempt that begins now may take."""
        return min(self.timeout_s, self.ends - now)

    def is_out_of_time(self, *, now: float) -> bool:
        """Whether another attempt makes no sense."""
        return self.ends - max(now, self.not_before) < SHORTEST_S

    def returned(self, reply: Reply, *, status: int | None, headers: dict[str, str], sent_at: float, done_at: float) -> Answer | None:
        """
        What an attempt gave: the final answer, or None when there is another attempt to make.

        `not_before` and `place` then say when and with whom.
        """
        assert self.spec is not None
        assert self.request is not None
        outcome, error, verdict, made_up = self._judged(reply)
        self.attempts.append(
            Attempt(
                analyst="llm",
                model=self.spec.name,
                outcome=outcome,
                error=error,
                answered_by=reply.model,
                status=status,
                waited_ms=int((sent_at - self.waiting_since) * 1000),
                latency_ms=int((done_at - sent_at) * 1000),
                prompt_tokens=reply.prompt_tokens,
                cached_tokens=reply.cached_tokens,
                completion_tokens=reply.completion_tokens,
                cost_usd=cost_of(reply, self.spec),
            )
        )
        self.tries += 1
        self.waiting_since = done_at
        self.last = verdicts.answer(
            outcome, error, verdict, made_up, request=self.request, raw=reply.raw, headers=kept_headers(headers), attempts=self.attempts
        )
        if verdict is not None:
            return self.last
        if reply.retry and self.tries < self.max_attempts:
            self.not_before = done_at + delay_s(self.tries, asked_s=reply.retry_after_s, chance=self.chance)
            if not self.is_out_of_time(now=done_at):
                return None
        return self.next(now=done_at)

    def gave_up(self, outcome: Outcome, error: str, *, now: float) -> Answer | None:
        """There was no attempt, or no further one, with the present analyst."""
        assert self.spec is not None
        assert self.request is not None
        waited_ms = int((now - self.waiting_since) * 1000)
        self.attempts.append(Attempt("llm", self.spec.name, outcome, error, waited_ms=waited_ms))
        self.last = verdicts.answer(outcome, error, None, (), request=self.request, raw="", headers={}, attempts=self.attempts)
        return self.last if outcome in FINAL else self.next(now=now)

    def next(self, *, now: float) -> Answer | None:
        """Turn to the next analyst of the chain; the last answer when there is none."""
        self.place += 1
        return self.begin(now=now)

    def _judged(self, reply: Reply) -> tuple[Outcome, str, Verdict | None, tuple[str, ...]]:
        try:
            return verdicts.judge(reply, question=self.question)
        except Exception as error:  # whatever a model wrote, it is one answer that can't be used
            logger.exception("the answer to question %s can't be judged", self.question.id)
            return Outcome.INVALID, f"it can't be judged: {type(error).__name__}: {error}"[:500], None, ()

    def by_rules(self, answer: Answer) -> Answer:
        """The rules' answer in this inquiry: with what was tried before."""
        attempt = Attempt(RULES, "", answer.outcome, answer.error, latency_ms=answer.latency_ms)
        waited_ms = sum(attempt.latency_ms + attempt.waited_ms for attempt in self.attempts)
        return replace(answer, attempts=(*self.attempts, attempt), latency_ms=answer.latency_ms + waited_ms)


def cost_of(reply: Reply, spec: ModelSpec) -> Decimal | None:
    """
    USD for an attempt: the provider's own figure, else tokens times price, nothing when it was refused before any work.

    None when tokens may have been used and nobody says how many: then the reservation stays.
    """
    if reply.cost_usd is not None:
        return reply.cost_usd
    if reply.prompt_tokens is not None and reply.completion_tokens is not None:
        return spec.cost(
            prompt_tokens=reply.prompt_tokens, completion_tokens=reply.completion_tokens, cached_tokens=reply.cached_tokens or 0
        )
    return None if reply.billed else Decimal(0)
