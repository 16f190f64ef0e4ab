"""
One step of the desk: closes have happened, and everything that was owed them is judged (P1, P3, P7, P8).

The work is a batch from the start: rows are claimed, read and recorded in sets, questions are asked at once, and
the number of statements does not grow with the number of workflows. What a workflow is about its handler knows.
"""

from __future__ import annotations

import logging
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError

from monitoring import candles, clock, controls, handlers, indicators, ledger, recording, snapshot
from monitoring.analyst.contract import Question
from monitoring.asking import ask
from monitoring.candles import CandleKey, Hole
from monitoring.handlers import Case, Close, Unasked
from monitoring.indicators import Reading, Window

logger = logging.getLogger(__name__)
BATCH = 1000


def handle(close: Close) -> int:
    """
    Everything that is owed these closes; returns how many runs were finished here.

    1. The hooks: resting paper orders fill first.
    2. Claim runs in batches until none is left; each batch is judged and recorded.
    """
    for hook in handlers.hooks():
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
            reason = handlers.handler_of(case.run).check(case, window=window)
            question = None if reason else _question(case, window, readings[case.run.key])
        except Exception as error:  # one workflow's data must not cost the others their decision (P8)
            reason, question = _own_error(case.run, error), None
        if reason:
            ended[case.run.id] = reason
        elif question:
            questions.append(question)
            asked[question.id] = (case, window)
    answers = ask.ask_all(questions, now=clock.now())
    return recording.record(runs, ended, questions, asked, answers, token=token, now=clock.now())


def _load(runs: Sequence[ledger.Run], ended: dict[UUID, Unasked], now: datetime) -> list[Case]:
    by_type: dict[str, list[ledger.Run]] = defaultdict(list)
    for run in runs:
        if run.attempt > ledger.MAX_ATTEMPTS:
            ended[run.id] = Unasked("failed", "attempts_exhausted", error=f"its worker died {ledger.MAX_ATTEMPTS} times")
        elif not run.schedule.is_active:
            ended[run.id] = Unasked("skipped", recording.why_inactive(run.schedule))
        else:
            by_type[run.schedule.workflow_type].append(run)
    cases = []
    for workflow_type, members in by_type.items():
        loaded = handlers.registered()[workflow_type].load(members, now=now)
        for run in members:
            found = loaded[run.id]
            if isinstance(found, Unasked):
                ended[run.id] = found
            elif now > handlers.deadline_of(open_time=run.candle_time, interval=run.schedule.interval, trader=found.trader):
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
        if halt and (halt.state == controls.HALTED or handlers.handler_of(case.run).setups_only()):
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
        deadline=handlers.deadline_of(open_time=case.run.candle_time, interval=schedule.interval, trader=case.trader),
        fallbacks=case.trader.fallback_chain(),
        trader_id=case.trader.id,
        daily_budget_usd=case.trader.daily_budget_usd,
        scopes=controls.scopes(trader_id=case.trader.id, symbol=schedule.symbol, schedule_id=schedule.id),
    )


def _own_error(run: ledger.Run, error: Exception) -> Unasked:
    if isinstance(error, DatabaseError):
        raise error  # everybody's trouble: the job comes back when the lease has run out
    logger.error("workflow %s failed on candle %s", run.schedule.id, run.candle_time, exc_info=error)
    return Unasked("failed", "error", error=f"{type(error).__name__}: {error}")
