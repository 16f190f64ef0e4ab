"""From a reply to an answer: the text has to be of the schema, of this side of the market, and grounded. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import custom, grounding, schema
from .contract import ADDS_RISK, Answer, Attempt, Kind, Outcome, Question, Verdict
from .reply import Reply, storable
from .request import Request


def judge(reply: Reply, *, question: Question) -> tuple[Outcome, str, Verdict | None, tuple[str, ...]]:
    """
    The outcome of a reply, what is wrong with it, its verdict if it has one, and the numbers that are not in the snapshot.

    An answer that would add risk has to be grounded; of others the ungrounded numbers are only noted.
    """
    if reply.outcome is not Outcome.OK:
        return reply.outcome, reply.error, None, ()
    try:
        if question.kind is Kind.CUSTOM:
            return Outcome.OK, "", custom.parse(reply.content, form=custom.parse_form(question.snapshot["question"])), ()
        verdict = schema.parse(reply.content, kind=question.kind)
        _check_sides(verdict, question.snapshot)
    except schema.InvalidAnswer as error:
        return Outcome.INVALID, storable(str(error)[:500]), None, ()
    made_up = grounding.ungrounded(verdict, snapshot=question.snapshot)
    if made_up and verdict.decision in ADDS_RISK:
        return Outcome.UNGROUNDED, f"{verdict.decision} with numbers that are not in the data: {', '.join(made_up)}"[:500], None, made_up
    return Outcome.OK, "", verdict, made_up


def answer(
    outcome: Outcome,
    error: str,
    verdict: Verdict | None,
    made_up: tuple[str, ...],
    *,
    request: Request,
    raw: str,
    headers: Mapping[str, str],
    attempts: Sequence[Attempt],
) -> Answer:
    """The answer of a model, with its evidence."""
    last = attempts[-1]
    return Answer(
        outcome,
        "llm",
        verdict=verdict,
        error=error,
        model=last.model,
        prompt_version=request.prompt_version,
        request=request.kept,
        raw_response=raw,
        headers=headers,
        ungrounded=made_up,
        latency_ms=sum(attempt.latency_ms + attempt.waited_ms for attempt in attempts),
        attempts=tuple(attempts),
    )


def _check_sides(verdict: Verdict, snapshot: Mapping[str, Any]) -> None:
    """:raises schema.InvalidAnswer: if the planned stop and target are not on their sides of the entry"""
    plan, side = verdict.plan, (snapshot.get("trader") or {}).get("side")
    if plan is None or side not in ("long", "short") or verdict.decision not in ADDS_RISK:
        return
    sign = 1 if side == "long" else -1
    if not sign * (plan.entry - plan.stop_loss) > 0:
        raise schema.InvalidAnswer(f"tradePlan.stopLoss {plan.stop_loss} is not on the losing side of the entry at {plan.entry}")
    if not sign * (plan.take_profit - plan.entry) > 0:
        raise schema.InvalidAnswer(f"tradePlan.takeProfit {plan.take_profit} is not on the winning side of the entry at {plan.entry}")
