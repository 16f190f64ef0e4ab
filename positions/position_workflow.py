"""
Open positions: judged at every close of the management interval until they are flat (the handler of the engine).

The engine's transaction records the decision with an outcome still open, and enqueues the job that acts on it. What
was decided is known before any order leaves (P9), and a job that runs twice finds its own orders.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from monitoring import candles, clock, events, intervals, jobs, ledger, snapshot
from monitoring.analyst.contract import Kind, Verdict
from monitoring.candles import CandleKey
from monitoring.conditions import ConditionError
from monitoring.events import NewEvent
from monitoring.handlers import Case, Judged, Unasked
from monitoring.indicators import Window
from monitoring.models import WorkflowSchedule
from monitoring.setup_workflow import indicator_names, signal_view, trader_view
from positions import assessment
from positions.exchange import accounting
from positions.exchange.accounting import Holding
from positions.models import Position, PositionManagementDecision
from positions.telling import about
from positions.trading import APPLIED

RECENT = """
SELECT p.id, d.timestamp, d.action, d.confidence, d.reasoning, d.market_price
  FROM unnest(%s::uuid[]) AS p(id)
 CROSS JOIN LATERAL (SELECT * FROM position_management_decisions WHERE position_id = p.id ORDER BY timestamp DESC LIMIT %s) d
"""


@dataclass(frozen=True)
class _Held:
    """An open position with the decisions it has had, newest first."""

    position: Position
    recent: Sequence[Mapping[str, Any]]


class PositionHandler:
    """The engine's handler for position management."""

    def load(self, runs: Sequence[ledger.Run], *, now: datetime) -> Mapping[UUID, Case | Unasked]:
        ids = [run.schedule.entity_id for run in runs]
        positions = Position.objects.select_related("trader", "signal", "account").in_bulk(ids)
        recent = _recent(ids)
        found: dict[UUID, Case | Unasked] = {}
        for run in runs:
            position = positions.get(run.schedule.entity_id)
            if position is None or position.status == Position.Status.CLOSED:
                found[run.id] = Unasked("skipped", "ended", stop=WorkflowSchedule.StopReason.POSITION_CLOSED)
            elif position.status != Position.Status.OPEN or not position.contracts:
                found[run.id] = Unasked("skipped", "not_open")
            else:
                found[run.id] = _case(run, _Held(position, recent.get(position.id, [])))
        return found

    def check(self, case: Case, *, window: Window) -> Unasked | None:
        return None

    def setups_only(self) -> bool:
        return False

    def record(self, judged: Sequence[Judged], *, now: datetime) -> Mapping[UUID, str]:
        correlations = _correlations(judged)
        rows, told = [], []
        for item in judged:
            verdict = item.answer.verdict
            assert verdict is not None
            row = _decision(item, verdict, correlations.get(item.case.run.id), now)
            rows.append(row)
            if verdict.decision == "hold":
                told.append(management_event(row, position=item.case.entity.position, previous_stop=None, now=now))
            else:
                jobs.enqueue(jobs.Job.ACT_ON_DECISION, decision_id=str(row.id))
        PositionManagementDecision.objects.bulk_create(rows)
        events.record_many(told, now=now)
        return {}

    def unanswered(self, cases: Sequence[Case], *, now: datetime) -> Mapping[UUID, str]:
        """Without an answer the position keeps its resting stop, and is judged at the next close."""
        return {}


def management_event(row: PositionManagementDecision, *, position: Position, previous_stop: Decimal | None, now: datetime) -> NewEvent:
    """The event of a decision once its outcome is known."""
    level = events.INFO if row.outcome == APPLIED else events.WARNING
    event = about(
        position,
        "management_action",
        row.reasoning[:500],
        {
            "symbol": position.symbol,
            "interval": row.run.schedule.interval,
            "action": row.action,
            "confidence": str(row.confidence),
            "previous_sl": str(previous_stop if previous_stop is not None else position.stop_loss),
            "new_sl": str(position.stop_loss),
            "reasoning": row.reasoning,
            "current_pnl": str(row.current_pnl),
            "current_pnl_pct": str(row.current_pnl_pct),
            "outcome": row.outcome,
            "latency_ms": row.analysis.latency_ms,
        },
        level=level,
    )
    return replace(event, schedule_id=row.run.schedule_id)


def _case(run: ledger.Run, held: _Held) -> Case | Unasked:
    position, trader = held.position, held.position.trader
    try:
        names = indicator_names(trader)
    except ConditionError as error:
        return Unasked("failed", "error", error=f"trader {trader.name}: {error}")
    closed_at = clock.at(intervals.close_time(open_time=run.candle_time, interval=run.schedule.interval))
    return Case(
        run=run,
        trader=trader,
        kind=Kind.MANAGEMENT,
        signal_id=position.signal_id,
        position_id=position.id,
        indicator_names=names,
        snapshot=lambda market: {
            **market,
            "trader": trader_view(trader, side=position.side),
            "signal": signal_view(position.signal, now=closed_at) if position.signal else None,
            "position": _position_view(position, Decimal(repr(market["candle"]["close"])), closed_at),
            "recent_decisions": snapshot.recent_decisions(held.recent),
        },
        entity=held,
    )


def _position_view(position: Position, price: Decimal, closed_at: datetime) -> dict[str, Any]:
    pnl, pnl_pct = _pnl(position, price)
    opened_at = position.opened_at or closed_at
    return {
        "side": position.side,
        "contracts": float(position.contracts),
        "initial_contracts": float(position.initial_contracts),
        "reduced": position.contracts < position.initial_contracts,
        "entry_price": float(position.entry_price or 0),
        "stop_loss": float(position.stop_loss or 0),
        "initial_stop_loss": float(position.initial_stop_loss or 0),
        "take_profit": float(position.take_profit or 0),
        "unrealized_pnl": float(pnl),
        "unrealized_pnl_pct": float(pnl_pct),
        "realized_pnl": float(position.realized_pnl),
        "held_minutes": round((closed_at - opened_at).total_seconds() / 60, 1),
    }


def _pnl(position: Position, price: Decimal) -> tuple[Decimal, Decimal]:
    """Unrealized profit in quote at a price, and in percent of the cost."""
    held = Holding(position.sign * position.contracts, position.cost)
    pnl = accounting.unrealized(held, price=price)
    return pnl, (pnl / position.cost * 100).quantize(Decimal("0.0001")) if position.cost else Decimal(0)


def _recent(position_ids: list[UUID]) -> dict[UUID, list[dict[str, Any]]]:
    found: dict[UUID, list[dict[str, Any]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(RECENT, [position_ids, snapshot.RECENT_DECISIONS])
        for position_id, timestamp, action, confidence, reasoning, price in cursor.fetchall():
            row = {"timestamp": timestamp, "decision": action, "confidence": confidence, "reasoning": reasoning, "price": price}
            found[position_id].append(row)
    return found


def _correlations(judged: Sequence[Judged]) -> dict[UUID, float | None]:
    """For each run the correlation with the account's other open positions, from one more query for their candles."""
    accounts = {item.case.entity.position.account_id for item in judged}
    held = Position.objects.filter(account__in=accounts, status=Position.Status.OPEN).values_list("account_id", "market", "symbol")
    by_account: dict[UUID, set[tuple[str, str]]] = defaultdict(set)
    for account_id, market, symbol in held:
        by_account[account_id].add((market, symbol))
    wanted: dict[UUID, list[CandleKey]] = {}
    for item in judged:
        position, key = item.case.entity.position, item.case.run.key
        others = sorted(by_account[position.account_id] - {(position.market, position.symbol)})
        wanted[item.case.run.id] = [CandleKey(market, symbol, key.interval, key.open_time) for market, symbol in others]
    keys = {key for keys in wanted.values() for key in keys}
    windows = candles.windows(keys, size=assessment.CORRELATION_CANDLES + 1)
    found = {}
    for item in judged:
        others_windows = [w for key in wanted[item.case.run.id] if isinstance(w := windows[key], Window)]
        found[item.case.run.id] = assessment.correlation_risk(item.window, others_windows)
    return found


def _decision(item: Judged, verdict: Verdict, correlation: float | None, now: datetime) -> PositionManagementDecision:
    run, position, view = item.case.run, item.case.entity.position, item.analysis.snapshot
    price = Decimal(repr(item.close_price))
    pnl, pnl_pct = _pnl(position, price)
    atr = view["indicators"].get("atr_14")
    return PositionManagementDecision(
        run_id=run.id,
        position=position,
        signal_id=position.signal_id,
        timestamp=clock.at(intervals.close_time(open_time=run.candle_time, interval=run.schedule.interval)),
        candle_time=run.candle_time,
        current_pnl=pnl,
        current_pnl_pct=pnl_pct,
        position_size=position.contracts,
        action=verdict.decision,
        confidence=verdict.confidence,
        reasoning=verdict.reasoning,
        action_details=dict(verdict.details),
        market_price=price,
        indicators=view["indicators"],
        risk_assessment={
            "marketRisk": assessment.market_risk(view["indicators"].get("natr_14")),
            "positionRisk": assessment.position_risk(close=item.close_price, stop=float(position.stop_loss or 0), atr=atr),
            "correlationRisk": correlation,
        },
        outcome=APPLIED if verdict.decision == "hold" else "",
        analysis=item.analysis,
        created_at=now,
    )
