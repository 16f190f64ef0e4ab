"""
What a batch of judged closes comes to, written in one transaction and in sets (P3, P8, P9).

Rows that somebody else has taken over meanwhile are left alone; a schedule that was switched off while its question
was out is not acted on.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.db import connection, transaction
from psycopg.types.json import Jsonb

from monitoring import events, handlers, ledger
from monitoring.analyst.contract import OWN_FAULTS, Answer, Outcome, Question
from monitoring.events import NewEvent
from monitoring.handlers import Case, Judged, Unasked
from monitoring.indicators import Window
from monitoring.models import SignalAnalysis, Trader, WorkflowRun, WorkflowSchedule

WORDS = {"signal_monitoring": "waiting setup", "position_management": "open position"}
SKIPPING = {Outcome.OVER_BUDGET, Outcome.HALTED}


def analysis_row(
    question: Question,
    answer: Answer,
    *,
    trader: Trader | None,
    signal_id: UUID | None,
    run_id: UUID | None,
    candle_time: int | None,
    now: datetime,
    user_id: UUID | None = None,
    asked_by: str = "",
) -> SignalAnalysis:
    """The evidence of one question, whatever came of it (P9); of a custom question `user_id` says whose it is."""
    verdict = answer.verdict
    return SignalAnalysis(
        kind=question.kind.value,
        signal_id=signal_id,
        run_id=run_id,
        trader=trader,
        user_id=trader.user_id if trader else user_id,  # type: ignore[misc]  # one of both is there
        asked_by=asked_by,
        decision=verdict.decision if verdict else None,
        confidence=verdict.confidence if verdict else None,
        reasoning=verdict.reasoning if verdict else "",
        outcome=answer.outcome.value,
        error=answer.error,
        analyst=answer.analyst,
        model=answer.model,
        prompt_version=answer.prompt_version,
        request=dict(answer.request),
        raw_response=answer.raw_response,
        answer=verdict.as_json() if verdict else {},
        snapshot=dict(question.snapshot),
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        cost_usd=answer.cost_usd,
        latency_ms=answer.latency_ms,
        attempts=max(1, len(answer.attempts)),
        attempt_log=[attempt.as_json() for attempt in answer.attempts],
        response_headers=dict(answer.headers),
        ungrounded=list(answer.ungrounded),
        trace_id=answer.trace_id,
        candle_time=candle_time,
        created_at=now,
    )


def keep(rows: Sequence[SignalAnalysis]) -> None:
    """
    Write evidence rows by COPY, in the current transaction.

    They are kilobytes of JSON each; the arrays that `bulk_create` sends them in cost the worker three times as much.
    """
    fields = list(SignalAnalysis._meta.concrete_fields)
    columns = ", ".join(f'"{field.column}"' for field in fields)
    with connection.cursor() as cursor, cursor.copy(f"COPY signal_analyses ({columns}) FROM STDIN") as copy:
        for row in rows:
            values = (getattr(row, field.attname) for field in fields)
            copy.write_row([Jsonb(value, dumps=_json) if isinstance(value, dict | list) else value for value in values])


def _json(value: Any) -> bytes | str:
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer of more than 64 bits, which JSON and PostgreSQL allow
        return json.dumps(value)


def record(
    runs: Sequence[ledger.Run],
    ended: Mapping[UUID, Unasked],
    questions: Sequence[Question],
    asked: Mapping[UUID, tuple[Case, Window]],
    answers: Mapping[UUID, Answer],
    *,
    token: UUID,
    now: datetime,
) -> int:
    """Everything that a batch came to, in one transaction; rows that were taken over by others are left alone."""
    by_id = {run.id: run for run in runs}
    with transaction.atomic():
        # Lock the schedules first: whoever disables one now waits, and whoever did before is seen.
        locked = WorkflowSchedule.objects.select_for_update(no_key=True).order_by("id").in_bulk({run.schedule.id for run in runs})
        outcomes = {run_id: _unasked_outcome(by_id[run_id], reason) for run_id, reason in ended.items()}
        shared = _shared_outage(answers.values())
        for run_id, answer in answers.items():
            schedule = locked[by_id[run_id].schedule.id]
            outcomes[run_id] = _answered_outcome(by_id[run_id], schedule, answer, shared=shared)
        ours = ledger.finish(outcomes.values(), token=token, now=now)
        judged = _analyses(questions, asked, answers, ours, now)
        stops = _hand_over(judged, outcomes, now)
        stops |= _give_up(asked, outcomes, ours, now)
        kept = [outcome for run_id, outcome in outcomes.items() if run_id in ours]
        final = [_with_stop(outcome, stops.get(outcome.run.id, outcome.stop)) for outcome in kept]
        ledger.settle(final, now=now)
        _tell_no_decisions(final, now)
    return len(ours)


def _hand_over(judged: Sequence[Judged], outcomes: Mapping[UUID, ledger.Outcome], now: datetime) -> dict[UUID, str]:
    """Give decisions to the handlers of their workflows."""
    stops: dict[UUID, str] = {}
    decided = [item for item in judged if outcomes[item.case.run.id].status == WorkflowRun.Status.DECIDED]
    for workflow_type, handler in handlers.registered().items():
        members = [item for item in decided if item.case.run.schedule.workflow_type == workflow_type]
        if members:
            stops |= handler.record(members, now=now)
    return stops


def _give_up(
    asked: Mapping[UUID, tuple[Case, Window]], outcomes: Mapping[UUID, ledger.Outcome], ours: set[UUID], now: datetime
) -> dict[UUID, str]:
    stops: dict[UUID, str] = {}
    for workflow_type, handler in handlers.registered().items():
        members = [
            case
            for run_id, (case, _) in asked.items()
            if run_id in ours
            and outcomes[run_id].status in (WorkflowRun.Status.FAILED, WorkflowRun.Status.LATE)
            and case.run.schedule.workflow_type == workflow_type
        ]
        if members:
            stops |= handler.unanswered(members, now=now)
    return stops


def _analyses(
    questions: Sequence[Question],
    asked: Mapping[UUID, tuple[Case, Window]],
    answers: Mapping[UUID, Answer],
    ours: set[UUID],
    now: datetime,
) -> list[Judged]:
    judged = []
    for question in questions:
        if question.id not in ours:
            continue
        case, window = asked[question.id]
        row = analysis_row(
            question,
            answers[question.id],
            trader=case.trader,
            signal_id=case.signal_id,
            run_id=case.run.id,
            candle_time=case.run.candle_time,
            now=now,
        )
        judged.append(Judged(case, answers[question.id], row, window, float(window.close[-1])))
    keep([item.analysis for item in judged])
    return judged


def _unasked_outcome(run: ledger.Run, reason: Unasked) -> ledger.Outcome:
    own_fault = reason.status == "failed" and reason.reason in ("error", "attempts_exhausted")
    return ledger.Outcome(
        run,
        reason.status,
        reason.reason,
        "fault" if own_fault else "neutral",
        reason.error if reason.status == "failed" else "",
        reason.stop,
    )


def _answered_outcome(run: ledger.Run, schedule: WorkflowSchedule, answer: Answer, *, shared: bool) -> ledger.Outcome:
    if not schedule.is_active:  # somebody switched it off while the question was out
        return ledger.Outcome(run, "skipped", why_inactive(schedule), "neutral")
    if answer.outcome is Outcome.OK:
        return ledger.Outcome(run, "decided", "", "success")
    if answer.outcome is Outcome.LATE:
        return ledger.Outcome(run, "late", "answered_late", "neutral", answer.error)
    if answer.outcome in SKIPPING:
        return ledger.Outcome(run, "skipped", answer.outcome.value, "neutral")
    own = answer.outcome in OWN_FAULTS and not (shared and answer.outcome is Outcome.TIMEOUT)
    return ledger.Outcome(run, "failed", answer.outcome.value, "fault" if own else "neutral", f"{answer.outcome}: {answer.error}")


def _shared_outage(answers: Collection[Answer]) -> bool:
    """Whether a model let everybody down: of two or more questions none was answered in any way."""
    models = [answer.outcome for answer in answers if answer.analyst == "llm"]
    return len(models) > 1 and all(outcome in (Outcome.TIMEOUT, Outcome.UNAVAILABLE, Outcome.RATE_LIMITED) for outcome in models)


def _with_stop(outcome: ledger.Outcome, stop: str) -> ledger.Outcome:
    return ledger.Outcome(outcome.run, outcome.status, outcome.reason, outcome.effect, outcome.error, stop)


def why_inactive(schedule: WorkflowSchedule) -> str:
    ended = schedule.stop_reason not in (WorkflowSchedule.StopReason.OPERATOR, WorkflowSchedule.StopReason.ERROR_LIMIT_EXCEEDED)
    return "ended" if ended else "disabled"


def _tell_no_decisions(outcomes: Sequence[ledger.Outcome], now: datetime) -> None:
    told = [outcome for outcome in outcomes if outcome.status in (WorkflowRun.Status.FAILED, WorkflowRun.Status.LATE)]
    if not told:
        return
    events.record_many(
        (
            NewEvent(
                "no_decision",
                f"{WORDS[outcome.run.schedule.workflow_type]}, {outcome.status}: {outcome.error or outcome.reason}"[:500],
                {
                    "symbol": outcome.run.schedule.symbol,
                    "interval": outcome.run.schedule.interval,
                    "workflow_type": outcome.run.schedule.workflow_type,
                    "candle_time": outcome.run.candle_time,
                    "outcome": outcome.reason,
                    "error": outcome.error[:500],
                },
                level=events.WARNING,
                user_id=outcome.run.schedule.user_id,
                trader_id=outcome.run.schedule.trader_id,
                schedule_id=outcome.run.schedule.id,
            )
            for outcome in told
        ),
        now=now,
    )
