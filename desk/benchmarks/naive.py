"""
The usual way, to compare with: one queue task per workflow, and the ORM row by row.

It judges with the same indicators and the same analyst, and writes the same kinds of rows, without leases, tokens or
batches. Used by `manage.py benchmark closes` only.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from monitoring import candles, clock, events, handlers, indicators, intervals, recording, setup_workflow, snapshot
from monitoring.analyst.contract import Kind, Question
from monitoring.asking import ask
from monitoring.candles import CandleKey
from monitoring.events import NewEvent
from monitoring.indicators import Window
from monitoring.models import MonitoringDecision, Signal, SignalAnalysis, WorkflowRun


def judge_one(*, run_id: str, **_: Any) -> None:
    """Judge one close of one workflow."""
    run = WorkflowRun.objects.select_related("schedule").get(id=UUID(run_id))
    schedule, now = run.schedule, clock.now()
    signal = Signal.objects.select_related("trader").get(id=schedule.entity_id)
    recent = list(signal.decisions.order_by("-timestamp").values("timestamp", "decision", "confidence", "reasoning", "price")[:5])
    key = CandleKey(schedule.market, schedule.symbol, schedule.interval, run.candle_time)
    window = candles.windows([key])[key]
    assert isinstance(window, Window)
    readings = indicators.compute(window=window, names=sorted(setup_workflow.indicator_names(signal.trader)))
    view = snapshot.market_view(symbol=key.symbol, interval=key.interval, market=key.market, window=window, readings=readings)
    view |= {
        "trader": setup_workflow.trader_view(signal.trader, side=signal.side),
        "signal": setup_workflow.signal_view(signal, now=now),
        "recent_decisions": snapshot.recent_decisions(recent),
    }
    deadline = handlers.deadline_of(open_time=key.open_time, interval=key.interval, trader=signal.trader)
    question = Question(run.id, Kind.MONITORING, view, signal.trader.analyst, settings.LLM_MODEL, deadline)
    answer = ask.ask_all([question], now=now)[run.id]
    verdict = answer.verdict
    assert verdict is not None, answer.error
    with transaction.atomic():
        analysis: SignalAnalysis = recording.analysis_row(
            question, answer, trader=signal.trader, signal_id=signal.id, run_id=run.id, candle_time=key.open_time, now=now
        )
        analysis.save()
        price = Decimal(repr(float(window.close[-1])))
        MonitoringDecision.objects.create(
            run=run,
            signal=signal,
            timestamp=clock.at(intervals.close_time(open_time=key.open_time, interval=key.interval)),
            candle_time=key.open_time,
            price=price,
            volume=Decimal(repr(float(window.volume[-1]))),
            decision=verdict.decision,
            confidence=verdict.confidence,
            reasoning=verdict.reasoning,
            indicators=view["indicators"],
            analysis=analysis,
        )
        data = {"symbol": key.symbol, "interval": key.interval, "old_status": "", "new_status": "", "reason": verdict.decision}
        events.record(NewEvent("signal_status_changed", verdict.reasoning[:500], data, signal_id=signal.id), now=now)
        schedule.last_run_at, schedule.last_candle_time = now, key.open_time
        schedule.execution_count += 1
        schedule.save()
        run.status, run.finished_at = WorkflowRun.Status.DECIDED, now
        run.save()
