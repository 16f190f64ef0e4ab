"""
One step of the desk: closes have happened, and everything that was owed them is judged (P1, P3, P7, P8).

The work is a batch from the start: rows are claimed, read and recorded in sets, questions are asked at once, and
the number of statements does not grow with the number of workflows. What a workflow is about its handler knows;
higher floors register theirs here, and hooks that must run before any decision on a close.
"""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, transaction

from monitoring import candles, clock, controls, events, indicators, intervals, ledger, snapshot
from monitoring.analyst import ask
from monitoring.analyst.contract import OWN_FAULTS, Answer, Kind, Outcome, Question
from monitoring.candles import CandleKey, Hole
from monitoring.events import NewEvent
from monitoring.indicators import Reading, Window
from monitoring.models import SignalAnalysis, Trader, WorkflowRun, WorkflowSchedule
from monitoring.models.schedules import WorkflowType

logger = logging.getLogger(__name__)
BATCH = 1000
SKIPPING = {Outcome.OVER_BUDGET, Outcome.HALTED}


@dataclass(frozen=True)
class Close:
    """Candles of one market and interval that closed together; `open_time` in ms."""

    market: str
    interval: str
    open_time: int
    symbols: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """A run that can be asked about. `snapshot` is made once the market view of its close is known."""

    run: ledger.Run
    trader: Trader
    kind: Kind
    signal_id: UUID | None
    position_id: UUID | None
    indicator_names: frozenset[str]
    snapshot: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    entity: Any  # the signal or the position, for its own handler


@dataclass(frozen=True)
class Unasked:
    """Why a run ends without a question: a ledger status and reason, and a reason to stop the schedule, if any."""

    status: str
    reason: str
    stop: str = ""
    error: str = ""


@dataclass(frozen=True)
class Judged:
    """A case with its answer and the evidence row."""

    case: Case
    answer: Answer
    analysis: SignalAnalysis
    window: Window
    close_price: float


class Handler(Protocol):
    """What the engine has to know about one type of workflow."""

    def load(self, runs: Sequence[ledger.Run], *, now: datetime) -> Mapping[UUID, Case | Unasked]:
        """A case, or the reason for none, for every run, by run id; in a fixed number of queries."""

    def check(self, case: Case, *, window: Window) -> Unasked | None:
        """A last reason not to ask, now that the close is known."""

    def setups_only(self) -> bool:
        """Whether *reducing* already keeps the analyst from being asked."""

    def record(self, judged: Sequence[Judged], *, now: datetime) -> Mapping[UUID, str]:
        """
        Write decisions, events and follow-up jobs, in the engine's transaction and in sets.

        Only answers with a verdict come here. Returns reasons to stop schedules, by run id.
        """

    def unanswered(self, cases: Sequence[Case], *, now: datetime) -> Mapping[UUID, str]:
        """Cases that ended without a decision: reasons to stop their schedules nevertheless, by run id."""


_handlers: dict[WorkflowType, Handler] = {}
_hooks: list[Callable[[Close, datetime], None]] = []


def register(workflow_type: WorkflowType, handler: Handler) -> None:
    """Name the handler of a type of workflow; called from `AppConfig.ready`."""
    _handlers[workflow_type] = handler


def before_decisions(hook: Callable[[Close, datetime], None]) -> None:
    """Have `hook(close, now)` run, and commit, before any decision on a close. It must bear to run twice."""
    if hook not in _hooks:
        _hooks.append(hook)


def handle(close: Close) -> int:
    """
    Everything that is owed these closes; returns how many runs were finished here.

    1. The hooks: resting paper orders fill first.
    2. Claim runs in batches until none is left; each batch is judged and recorded.
    """
    for hook in _hooks:
        hook(close, clock.now())
    finished = 0
    while True:
        token = uuid.uuid4()
        runs = ledger.claim(
            market=close.market,
            interval=close.interval,
            open_time=close.open_time,
            symbols=close.symbols,
            limit=BATCH,
            token=token,
            now=clock.now(),
        )
        if not runs:
            return finished
        finished += _judge(runs, token=token, now=clock.now())


def deadline_of(*, open_time: int, interval: str, trader: Trader) -> datetime:
    """Until when a decision on a close counts: a part of the interval, and never more than the cap (P7)."""
    length = intervals.length_ms(interval)
    allowed_s = min(length / 1000 * float(trader.decision_deadline_pct) / 100, ledger.DEADLINE_CAP_S)
    return clock.at(intervals.close_time(open_time=open_time, interval=interval)) + timedelta(seconds=allowed_s)


def analysis_row(
    question: Question, answer: Answer, *, trader: Trader, signal_id: UUID | None, run_id: UUID | None, candle_time: int, now: datetime
) -> SignalAnalysis:
    """The evidence of one question, whatever came of it (P9)."""
    verdict = answer.verdict
    return SignalAnalysis(
        kind=question.kind.value,
        signal_id=signal_id,
        run_id=run_id,
        trader=trader,
        user_id=trader.user_id,
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
        attempts=answer.attempts,
        candle_time=candle_time,
        created_at=now,
    )


def _judge(runs: Sequence[ledger.Run], *, token: UUID, now: datetime) -> int:
    ended: dict[UUID, Unasked] = {}
    cases = _load(runs, ended, now)
    cases = _not_halted(cases, ended, now)
    windows = candles.windows(case.run.key for case in cases)
    questions: list[Question] = []
    asked: dict[UUID, tuple[Case, Window]] = {}
    readings = _readings(cases, windows)
    for case in cases:
        window = windows[case.run.key]
        if isinstance(window, Hole):
            ended[case.run.id] = Unasked("failed", "incomplete_window", error=window.reason)
            continue
        try:
            reason = _handler(case.run).check(case, window=window)
            question = None if reason else _question(case, window, readings[case.run.key])
        except Exception as error:  # one workflow's data must not cost the others their decision (P8)
            reason, question = _own_error(case.run, error), None
        if reason:
            ended[case.run.id] = reason
        elif question:
            questions.append(question)
            asked[question.id] = (case, window)
    answers = ask.ask_all(questions, now=clock.now())
    return _record(runs, ended, questions, asked, answers, token=token, now=clock.now())


def _load(runs: Sequence[ledger.Run], ended: dict[UUID, Unasked], now: datetime) -> list[Case]:
    by_type: dict[str, list[ledger.Run]] = defaultdict(list)
    for run in runs:
        if run.attempt > ledger.MAX_ATTEMPTS:
            ended[run.id] = Unasked("failed", "attempts_exhausted", error=f"its worker died {ledger.MAX_ATTEMPTS} times")
        elif not run.schedule.is_active:
            ended[run.id] = Unasked("skipped", _why_inactive(run.schedule))
        else:
            by_type[run.schedule.workflow_type].append(run)
    cases = []
    for workflow_type, members in by_type.items():
        loaded = _handlers[WorkflowType(workflow_type)].load(members, now=now)
        for run in members:
            found = loaded[run.id]
            if isinstance(found, Unasked):
                ended[run.id] = found
            elif now > deadline_of(open_time=run.candle_time, interval=run.schedule.interval, trader=found.trader):
                ended[run.id] = Unasked("late", "claimed_late", error="it was claimed after its deadline")
            else:
                cases.append(found)
    return cases


def _not_halted(cases: Sequence[Case], ended: dict[UUID, Unasked], now: datetime) -> list[Case]:
    halts = controls.open_halts()
    free = []
    for case in cases:
        schedule = case.run.schedule
        applying = controls.scopes(trader_id=case.trader.id, symbol=schedule.symbol, schedule_id=schedule.id)
        halt = controls.strictest(halts, applying)
        if halt and (halt.state == controls.HALTED or _handler(case.run).setups_only()):
            ended[case.run.id] = Unasked("skipped", "halted", error=f"{halt.scope} is {halt.state}: {halt.reason}")
        else:
            free.append(case)
    return free


def _readings(cases: Sequence[Case], windows: Mapping[CandleKey, Window | Hole]) -> dict[CandleKey, dict[str, Reading]]:
    """Each close's indicators, computed once for all workflows that need them."""
    needed: dict[CandleKey, set[str]] = defaultdict(set)
    for case in cases:
        needed[case.run.key] |= case.indicator_names
    computed = {}
    for key, names in needed.items():
        window = windows[key]
        if isinstance(window, Window):
            computed[key] = indicators.compute(window=window, names=sorted(names))
    return computed


def _question(case: Case, window: Window, readings: Mapping[str, Reading]) -> Question:
    schedule = case.run.schedule
    own = {name: readings[name] for name in case.indicator_names}
    view = snapshot.market_view(symbol=schedule.symbol, interval=schedule.interval, market=schedule.market, window=window, readings=own)
    return Question(
        id=case.run.id,
        kind=case.kind,
        snapshot=case.snapshot(view),
        analyst=case.trader.analyst,
        model=case.trader.ai_model or settings.LLM_MODEL,
        deadline=deadline_of(open_time=case.run.candle_time, interval=schedule.interval, trader=case.trader),
    )


def _record(
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
    for workflow_type, handler in _handlers.items():
        members = [item for item in decided if item.case.run.schedule.workflow_type == workflow_type]
        if members:
            stops |= handler.record(members, now=now)
    return stops


def _give_up(
    asked: Mapping[UUID, tuple[Case, Window]], outcomes: Mapping[UUID, ledger.Outcome], ours: set[UUID], now: datetime
) -> dict[UUID, str]:
    stops: dict[UUID, str] = {}
    for workflow_type, handler in _handlers.items():
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
    SignalAnalysis.objects.bulk_create(item.analysis for item in judged)
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
        return ledger.Outcome(run, "skipped", _why_inactive(schedule), "neutral")
    if answer.outcome is Outcome.OK:
        return ledger.Outcome(run, "decided", "", "success")
    if answer.outcome is Outcome.LATE:
        return ledger.Outcome(run, "late", "answered_late", "neutral", answer.error)
    if answer.outcome in SKIPPING:
        return ledger.Outcome(run, "skipped", answer.outcome.value, "neutral")
    own = answer.outcome in OWN_FAULTS and not (shared and answer.outcome is Outcome.TIMEOUT)
    return ledger.Outcome(run, "failed", answer.outcome.value, "fault" if own else "neutral", f"{answer.outcome}: {answer.error}")


def _shared_outage(answers: Any) -> bool:
    """Whether a model let everybody down: of two or more questions none was answered in any way."""
    models = [answer.outcome for answer in answers if answer.analyst == "llm"]
    return len(models) > 1 and all(outcome in (Outcome.TIMEOUT, Outcome.UNAVAILABLE, Outcome.RATE_LIMITED) for outcome in models)


def _with_stop(outcome: ledger.Outcome, stop: str) -> ledger.Outcome:
    return ledger.Outcome(outcome.run, outcome.status, outcome.reason, outcome.effect, outcome.error, stop)


def _why_inactive(schedule: WorkflowSchedule) -> str:
    ended = schedule.stop_reason not in (WorkflowSchedule.StopReason.OPERATOR, WorkflowSchedule.StopReason.ERROR_LIMIT_EXCEEDED)
    return "ended" if ended else "disabled"


def _own_error(run: ledger.Run, error: Exception) -> Unasked:
    if isinstance(error, DatabaseError):
        raise error  # everybody's trouble: the job comes back when the lease has run out
    logger.error("workflow %s failed on candle %s", run.schedule.id, run.candle_time, exc_info=error)
    return Unasked("failed", "error", error=f"{type(error).__name__}: {error}")


def _handler(run: ledger.Run) -> Handler:
    return _handlers[WorkflowType(run.schedule.workflow_type)]


def _tell_no_decisions(outcomes: Sequence[ledger.Outcome], now: datetime) -> None:
    told = [outcome for outcome in outcomes if outcome.status in (WorkflowRun.Status.FAILED, WorkflowRun.Status.LATE)]
    if not told:
        return
    events.record_many(
        (
            NewEvent(
                "no_decision",
                f"{outcome.run.schedule}: {outcome.status}, {outcome.reason}",
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
