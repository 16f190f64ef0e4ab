"""
The one way to put questions: each to the analysts it names, all at once, nobody waiting for a deadline in vain.

The loop below owns the database connection: it takes permits, hands requests to the courier, collects what has come,
gives back what they held, and turns to the next attempt. The courier's thread does nothing but HTTP.
"""

from __future__ import annotations

import logging
import random
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID, uuid4

from django.conf import settings

from monitoring import clock, controls
from monitoring.analyst import reply as replies
from monitoring.analyst import rules
from monitoring.analyst.catalog import Endpoint
from monitoring.analyst.contract import RULES, Answer, Kind, Outcome, Question
from monitoring.analyst.courier import Courier, Letter, Returned
from monitoring.asking import models, permits, tracing
from monitoring.asking.inquiry import Inquiry, cost_of
from monitoring.asking.permits import Health, Permit, Settled, Wish

logger = logging.getLogger(__name__)
POLL_S = 0.05  # how often a process asks again for slots that others hold
TELLING_S = 5.0  # an attempt that had this long and got no answer says something of its endpoint
LONGEST_WAIT_S = 3600.0  # for requests that are out; each ends by its own time-out


def ask_all(questions: Sequence[Question], *, now: datetime) -> Mapping[UUID, Answer]:
    """
    An answer for every question, by its id. Rules are judged here; models are asked concurrently.

    No transaction may be open: a model takes seconds.
    """
    answers = {question.id: _judge(question) for question in questions if question.analyst == RULES}
    asked = [question for question in questions if question.analyst != RULES]
    if asked:
        with Courier() as courier:
            answers.update(_Round(asked, courier, now=now).run())
    after = clock.now()
    final = {question.id: _in_time(answers[question.id], question, after) for question in questions}
    return {question.id: tracing.record(question, final[question.id]) for question in questions}


@dataclass
class _Round:
    """A batch of questions to models, from the first permit to the last answer."""

    questions: Sequence[Question]
    courier: Courier
    now: datetime
    holder: UUID = field(default_factory=uuid4)
    open: dict[UUID, Inquiry] = field(default_factory=dict)  # by key, without a request that is out
    out: dict[UUID, tuple[Inquiry, Permit]] = field(default_factory=dict)
    answers: dict[UUID, Answer] = field(default_factory=dict)
    quiet: dict[str, tuple[float, Outcome, str]] = field(default_factory=dict)  # endpoint: until when, and why

    def run(self) -> dict[UUID, Answer]:
        catalog, chance, began = models.catalog(), random.Random(), time.monotonic()
        for question in self.questions:
            inquiry = Inquiry(
                question=question,
                deadline=began + clock.real_seconds(question.deadline - self.now),
                began=began,
                spec_of=catalog.spec,
                timeout_s=settings.LLM_TIMEOUT_SECONDS,
                max_attempts=settings.LLM_MAX_ATTEMPTS,
                chance=chance,
            )
            self._finish(inquiry, inquiry.begin(now=began))
        try:
            while self.open or self.out:
                self._stop_halted()
                self._end_hopeless()
                self._send()
                self._collect(timeout_s=self._pause_s())
        finally:
            permits.done(holder=self.holder)
        return self.answers

    def _stop_halted(self) -> None:
        """Whatever was halted meanwhile is not asked any more; of what is out, the orders of a decision meet the switch."""
        halts = controls.open_halts() if self.open else {}
        if not halts:
            return
        for inquiry in list(self.open.values()):
            halt = controls.strictest(halts, inquiry.question.scopes)
            if halt and (halt.state == controls.HALTED or inquiry.question.kind is not Kind.MANAGEMENT):
                self._finish(inquiry, inquiry.gave_up(Outcome.HALTED, f"{halt.scope} is {halt.state}: {halt.reason}", now=time.monotonic()))

    def _end_hopeless(self) -> None:
        """Questions whose turn with the present analyst is over, and those that are the rules' by now."""
        now = time.monotonic()
        for inquiry in list(self.open.values()):
            if inquiry.is_for_rules:
                self._finish(inquiry, inquiry.by_rules(_judge(inquiry.question)))
                continue
            assert inquiry.spec is not None
            url = inquiry.spec.endpoint.base_url
            until, outcome, why = self._quiet(url, now)
            if not url:
                self._finish(inquiry, inquiry.gave_up(Outcome.UNAVAILABLE, "LLM_BASE_URL is not set", now=now))
            elif until >= inquiry.ends or inquiry.is_out_of_time(now=now) or (outcome is Outcome.UNAVAILABLE and inquiry.has_another):
                self._finish(inquiry, inquiry.gave_up(outcome, why, now=now))

    def _quiet(self, url: str, now: float) -> tuple[float, Outcome, str]:
        """Until when an endpoint is left alone, and what that comes to for a question whose time is up before."""
        until, outcome, why = self.quiet.get(url, (0.0, Outcome.RATE_LIMITED, ""))
        return (until, outcome, why) if until > now else (0.0, Outcome.RATE_LIMITED, "no slot was free before its time was up")

    def _send(self) -> None:
        now = time.monotonic()
        ready: dict[Endpoint, list[Inquiry]] = defaultdict(list)
        for inquiry in self.open.values():
            assert inquiry.spec is not None
            endpoint = inquiry.spec.endpoint
            if inquiry.not_before <= now and self.quiet.get(endpoint.base_url, (0.0,))[0] <= now:
                ready[endpoint].append(inquiry)
        for endpoint, inquiries in ready.items():
            granted = permits.grant([_wish(inquiry, now) for inquiry in inquiries], endpoint=endpoint, holder=self.holder, now=clock.now())
            if granted.quiet_s > 0:
                why = "the circuit is open: it did not answer" if granted.is_broken else "it asked to be left alone"
                outcome = Outcome.UNAVAILABLE if granted.is_broken else Outcome.RATE_LIMITED
                self.quiet[endpoint.base_url] = (time.monotonic() + granted.quiet_s, outcome, f"{endpoint.base_url}: {why}")
            self._post(granted.permits)
            for key, why in granted.over_budget.items():
                inquiry = self.open[key]
                self._finish(inquiry, inquiry.gave_up(Outcome.OVER_BUDGET, why, now=time.monotonic()))

    def _post(self, given: Iterable[Permit]) -> None:
        letters, now = [], time.monotonic()
        for permit in given:
            inquiry = self.open.pop(permit.key)
            self.out[permit.key] = (inquiry, permit)
            letters.append(_letter(inquiry, now))
        self.courier.send(letters)

    def _collect(self, *, timeout_s: float) -> None:
        """Take what has come back, settle it by endpoint, and go on with each question."""
        settled: dict[Endpoint, list[Settled]] = defaultdict(list)
        decided: list[tuple[Inquiry, Answer | None]] = []
        for returned in self.courier.collect(timeout_s=timeout_s):
            inquiry, permit = self.out.pop(returned.key)
            assert inquiry.spec is not None
            endpoint = inquiry.spec.endpoint
            reply = _read(returned)
            settled[endpoint].append(_settled(permit, inquiry, reply, returned))
            answer = inquiry.returned(
                reply,
                status=returned.received.status,
                headers=dict(returned.received.headers),
                sent_at=returned.begun,
                done_at=returned.done,
            )
            decided.append((inquiry, answer))
        for endpoint, ended in settled.items():
            permits.settle(ended, endpoint=endpoint, now=clock.now())
            if any(one.health is Health.ANSWERED for one in ended):
                self.quiet.pop(endpoint.base_url, None)  # it answers again
        for inquiry, answer in decided:
            self._finish(inquiry, answer)

    def _finish(self, inquiry: Inquiry, answer: Answer | None) -> None:
        """Keep a final answer; a question that has another attempt before it stays open."""
        self.open.pop(inquiry.key, None)
        if answer is not None:
            self.answers[inquiry.question.id] = answer
        else:
            inquiry.key = uuid4()
            self.open[inquiry.key] = inquiry

    def _pause_s(self) -> float:
        """Until something can be done again at the earliest; what comes back ends it sooner."""
        if not self.open:
            return LONGEST_WAIT_S if self.out else 0.0
        now = time.monotonic()
        return max(0.0, min(self._next_look(inquiry, now) for inquiry in self.open.values()) - now)

    def _next_look(self, inquiry: Inquiry, now: float) -> float:
        if inquiry.spec is None:
            return now  # it is the rules' turn
        until = self.quiet.get(inquiry.spec.endpoint.base_url, (0.0,))[0]
        return now if until >= inquiry.ends else min(max(inquiry.not_before, until, now + POLL_S), inquiry.ends)


def _wish(inquiry: Inquiry, now: float) -> Wish:
    assert inquiry.spec is not None
    assert inquiry.request is not None
    return Wish(
        key=inquiry.key,
        model=inquiry.spec.name,
        trader_id=inquiry.question.trader_id,
        is_urgent=inquiry.is_urgent,
        lasts_s=inquiry.lasts_s(now=now),
        most_usd=inquiry.spec.most(request_bytes=len(inquiry.request.body)),
        trader_budget_usd=inquiry.question.daily_budget_usd,
    )


def _letter(inquiry: Inquiry, now: float) -> Letter:
    assert inquiry.spec is not None
    assert inquiry.request is not None
    endpoint = inquiry.spec.endpoint
    key = (("Authorization", f"Bearer {endpoint.api_key}"),) if endpoint.api_key else ()
    headers = (("Content-Type", "application/json"), ("Accept", "application/json"), *key, *endpoint.headers)
    url = f"{endpoint.base_url}/chat/completions"
    return Letter(inquiry.key, url, headers, inquiry.request.body, inquiry.lasts_s(now=now))


def _settled(permit: Permit, inquiry: Inquiry, reply: replies.Reply, returned: Returned) -> Settled:
    assert inquiry.spec is not None
    never_left = returned.sent is None
    return Settled(
        permit=permit,
        cost_usd=cost_of(replace(reply, billed=False) if never_left else reply, inquiry.spec),
        sent_ago_s=None if returned.sent is None else time.monotonic() - returned.sent,
        health=_health(reply, returned, inquiry.timeout_s),
        quiet_s=reply.retry_after_s if reply.outcome is Outcome.RATE_LIMITED else None,
        error=reply.error,
    )


def _health(reply: replies.Reply, returned: Returned, timeout_s: float) -> Health:
    """What an attempt says of its endpoint; one that was left little time by others, and ran out of it, says nothing."""
    if returned.received.timed_out and returned.done - returned.begun < min(TELLING_S, timeout_s):
        return Health.UNKNOWN
    return Health.FAILED if reply.endpoint_failed else Health.ANSWERED


def _read(returned: Returned) -> replies.Reply:
    try:
        return replies.read(returned.received, now=clock.real_now())
    except Exception as error:  # whatever an endpoint sent, it is one reply that can't be used
        logger.exception("a reply can't be read")
        return replies.Reply(Outcome.INVALID, f"it can't be read: {type(error).__name__}: {error}"[:500])


def _judge(question: Question) -> Answer:
    began = time.monotonic()
    try:
        verdict = rules.judge(question)
    except Exception as error:  # one trader's unusable data must not cost the others of the batch their decision
        logger.exception("the rules failed on question %s", question.id)
        return Answer(Outcome.INVALID, RULES, error=f"{type(error).__name__}: {error}", prompt_version=rules.VERSION)
    return Answer(Outcome.OK, RULES, verdict=verdict, prompt_version=rules.VERSION, latency_ms=int((time.monotonic() - began) * 1000))


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
