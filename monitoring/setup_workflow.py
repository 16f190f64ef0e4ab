"""
Setups that wait: judged at every close until enter, abandon, or a limit of the trader (the handler of the engine).

An *enter* stops the schedule, makes the signal ready and enqueues the opening of a position, all in the engine's
transaction. One whose confidence is under the trader's minimum is recorded and denied, and the setup waits on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from monitoring import clock, events, intervals, jobs, ledger, signal_life, snapshot
from monitoring.analyst.contract import ENTERS, Kind, Verdict
from monitoring.conditions import ConditionError
from monitoring.events import NewEvent
from monitoring.handlers import Case, Judged, Unasked
from monitoring.indicators import Window
from monitoring.models import MonitoringDecision, Signal, Trader, WorkflowSchedule
from monitoring.signal_life import Move

StopReason = WorkflowSchedule.StopReason

RECENT = """
SELECT s.id, d.timestamp, d.decision, d.confidence, d.reasoning, d.price
  FROM unnest(%s::uuid[]) AS s(id)
 CROSS JOIN LATERAL (SELECT * FROM monitoring_decisions WHERE signal_id = s.id ORDER BY timestamp DESC LIMIT %s) d
"""
COUNT = "UPDATE signals SET reanalysis_count = reanalysis_count + 1 WHERE id = ANY(%s)"


@dataclass(frozen=True)
class _Setup:
    """A waiting signal with the decisions it has had, newest first."""

    signal: Signal
    recent: Sequence[Mapping[str, Any]]

    @property
    def last_price(self) -> Decimal | None:
        """The price at the last look."""
        return self.recent[0]["price"] if self.recent else self.signal.initial_price


class SetupHandler:
    """The engine's handler for setup monitoring."""

    def load(self, runs: Sequence[ledger.Run], *, now: datetime) -> Mapping[UUID, Case | Unasked]:
        signals = Signal.objects.select_related("trader").in_bulk([run.schedule.entity_id for run in runs])
        recent = _recent(list(signals))
        found: dict[UUID, Case | Unasked] = {}
        for run in runs:
            signal = signals.get(run.schedule.entity_id)
            if signal is None or signal.status != Signal.Status.MONITORING:
                found[run.id] = Unasked("skipped", "ended", stop=StopReason.SIGNAL_GONE)
            else:
                found[run.id] = _case(run, _Setup(signal, recent.get(signal.id, [])))
        return found

    def check(self, case: Case, *, window: Window) -> Unasked | None:
        setup: _Setup = case.entity
        wanted, last = case.trader.min_price_move_pct, setup.last_price
        if wanted and last:
            moved = abs(Decimal(repr(float(window.close[-1]))) / last - 1) * 100
            if moved < wanted:
                return Unasked("skipped", "price_move")
        return None

    def setups_only(self) -> bool:
        return True

    def record(self, judged: Sequence[Judged], *, now: datetime) -> Mapping[UUID, str]:
        stops: dict[UUID, str] = {}
        moves, told, rows = [], [], []
        for item in judged:
            verdict = item.answer.verdict
            assert verdict is not None
            outcome, move, stop = _consequence(item.case, verdict, now)
            rows.append(_decision(item, verdict, outcome, now))
            told.append(_event(item, verdict, outcome, now))
            if move:
                moves.append(move)
            if stop:
                stops[item.case.run.id] = stop
            if move and move.new == Signal.Status.READY:
                jobs.enqueue(jobs.Job.OPEN_POSITION, analysis_id=str(item.analysis.id))
        MonitoringDecision.objects.bulk_create(rows)
        with connection.cursor() as cursor:
            cursor.execute(COUNT, [sorted(item.case.signal_id for item in judged if item.case.signal_id)])
        events.record_many(told, now=now)
        signal_life.move(moves, now=now)
        return stops

    def unanswered(self, cases: Sequence[Case], *, now: datetime) -> Mapping[UUID, str]:
        """A setup whose time is up ends although the analyst is silent."""
        over = [case for case in cases if _expired(case.entity.signal, case.trader, now)]
        signal_life.move([Move(case.entity.signal, Signal.Status.EXPIRED, StopReason.MAX_DURATION) for case in over], now=now)
        return {case.run.id: StopReason.MAX_DURATION for case in over}


def signal_view(signal: Signal, *, now: datetime) -> dict[str, Any]:
    """The signal as an analyst sees it."""
    return {
        "created_at": snapshot.iso(clock.to_ms(signal.created_at)),
        "age_minutes": round((now - signal.created_at).total_seconds() / 60, 1),
        "side": signal.side,
        "source": signal.source,
        "initial_price": None if signal.initial_price is None else float(signal.initial_price),
        "matched_conditions": [entry.get("text") or entry for entry in signal.matched_conditions if isinstance(entry, dict)],
        "metadata": signal.metadata,
    }


def trader_view(trader: Trader, *, side: str) -> dict[str, Any]:
    """The strategy and its rules as an analyst sees them."""
    return {
        "name": trader.name,
        "strategy": trader.strategy,
        "side": side,
        "conditions": trader.conditions,
        "invalidation_conditions": trader.invalidation_conditions,
        "stop_atr_multiple": float(trader.stop_atr_multiple),
        "target_r": float(trader.target_r),
    }


def indicator_names(trader: Trader) -> frozenset[str]:
    """What a question about this trader's signals and positions needs."""
    return snapshot.indicator_names(raised_by=(trader.conditions, trader.invalidation_conditions), also=trader.indicators)


def confident_enough(verdict: Verdict, trader: Trader) -> bool:
    """Whether an entering verdict reaches the trader's minimum; others always do."""
    return verdict.decision not in ENTERS or verdict.confidence >= trader.min_confidence_to_enter


def _case(run: ledger.Run, setup: _Setup) -> Case | Unasked:
    signal, trader = setup.signal, setup.signal.trader
    try:
        names = indicator_names(trader)
    except ConditionError as error:
        return Unasked("failed", "error", error=f"trader {trader.name}: {error}")
    closed_at = clock.at(intervals.close_time(open_time=run.candle_time, interval=run.schedule.interval))
    return Case(
        run=run,
        trader=trader,
        kind=Kind.MONITORING,
        signal_id=signal.id,
        position_id=None,
        indicator_names=names,
        snapshot=lambda market: {
            **market,
            "trader": trader_view(trader, side=signal.side),
            "signal": signal_view(signal, now=closed_at),
            "recent_decisions": snapshot.recent_decisions(setup.recent),
        },
        entity=setup,
    )


def _recent(signal_ids: list[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    found: dict[UUID, list[dict[str, Any]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(RECENT, [signal_ids, snapshot.RECENT_DECISIONS])
        for signal_id, timestamp, decision, confidence, reasoning, price in cursor.fetchall():
            row = {"timestamp": timestamp, "decision": decision, "confidence": confidence, "reasoning": reasoning, "price": price}
            found.setdefault(signal_id, []).append(row)
    return found


def _consequence(case: Case, verdict: Verdict, now: datetime) -> tuple[str, Move | None, str]:
    """The decision's outcome, the move of its signal, and the reason to stop the schedule."""
    signal, trader = case.entity.signal, case.trader
    outcome = "applied"
    if verdict.decision == "enter":
        if confident_enough(verdict, trader):
            return outcome, Move(signal, Signal.Status.READY, "analyst: enter"), StopReason.DECISION_CHANGED
        outcome = f"denied: confidence {verdict.confidence} is under {trader.min_confidence_to_enter}"
    elif verdict.decision == "abandon":
        return outcome, Move(signal, Signal.Status.EXPIRED, f"abandoned: {verdict.reasoning[:300]}"), StopReason.DECISION_CHANGED
    if signal.reanalysis_count + 1 >= trader.max_reanalyses:
        return outcome, Move(signal, Signal.Status.EXPIRED, StopReason.MAX_REANALYSES), StopReason.MAX_REANALYSES
    if _expired(signal, trader, now):
        return outcome, Move(signal, Signal.Status.EXPIRED, StopReason.MAX_DURATION), StopReason.MAX_DURATION
    return outcome, None, ""


def _expired(signal: Signal, trader: Trader, now: datetime) -> bool:
    return signal.monitoring_started_at is not None and now - signal.monitoring_started_at >= trader.max_monitoring_duration


def _decision(item: Judged, verdict: Verdict, outcome: str, now: datetime) -> MonitoringDecision:
    run, view = item.case.run, item.analysis.snapshot
    return MonitoringDecision(
        run_id=run.id,
        signal=item.case.entity.signal,
        timestamp=clock.at(intervals.close_time(open_time=run.candle_time, interval=run.schedule.interval)),
        candle_time=run.candle_time,
        price=Decimal(repr(item.close_price)),
        volume=Decimal(repr(float(item.window.volume[-1]))),
        decision=verdict.decision,
        confidence=verdict.confidence,
        reasoning=verdict.reasoning,
        trade_plan=verdict.plan.as_json() if verdict.plan else None,
        indicators=view["indicators"],
        market_conditions=dict(verdict.market_conditions),
        outcome=outcome[:120],
        analysis=item.analysis,
        created_at=now,
    )


def _event(item: Judged, verdict: Verdict, outcome: str, now: datetime) -> NewEvent:
    signal, schedule = item.case.entity.signal, item.case.run.schedule
    waited = now - (signal.monitoring_started_at or signal.created_at)
    shown = ("rsi_14", "atr_14", "adx_14", "volume_ratio_20", "change_pct_1")
    return NewEvent(
        "monitoring_decision",
        verdict.reasoning[:500],
        {
            "symbol": schedule.symbol,
            "interval": schedule.interval,
            "decision": verdict.decision,
            "confidence": str(verdict.confidence),
            "reasoning": verdict.reasoning,
            "price_at_decision": str(item.close_price),
            "indicators": {name: item.analysis.snapshot["indicators"].get(name) for name in shown},
            "time_in_monitoring": int(waited.total_seconds()),
            "outcome": outcome,
            "latency_ms": item.answer.latency_ms,
        },
        user_id=signal.user_id,
        trader_id=signal.trader_id,
        signal_id=signal.id,
        schedule_id=schedule.id,
    )
