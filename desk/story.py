"""
What happened to one workflow or position, for reading: its closes with their outcomes, the chart, and one decision in full.

Everything is read in a fixed number of queries, whatever the length of the story.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from monitoring import clock, intervals
from monitoring.models import Candle, MonitoringDecision, Signal, SignalAnalysis, WorkflowRun, WorkflowSchedule
from monitoring.models.schedules import WorkflowType
from positions.models import Order, Position, PositionManagementDecision

CLOSES_SHOWN = 200
CANDLES_SHOWN = 400
TONES = {
    "enter": "good",
    "enter_trade": "good",
    "add": "good",
    "abandon": "bad",
    "bad_setup": "bad",
    "close": "bad",
    "reduce": "bad",
    "adjust_sl": "warn",
    "adjust_tp": "warn",
}
MARKED = {
    "enter": ("belowBar", "arrowUp"),
    "add": ("belowBar", "arrowUp"),
    "reduce": ("aboveBar", "arrowDown"),
    "close": ("aboveBar", "arrowDown"),
}


@dataclass(frozen=True)
class Entity:
    """What a workflow is about: a signal that waits, or a position."""

    signal: Signal | None
    position: Position | None


@dataclass(frozen=True)
class CloseLine:
    """One close in the timeline."""

    run: WorkflowRun
    decision: MonitoringDecision | PositionManagementDecision | None
    label: str
    tone: str
    text: str

    @property
    def closed_ms(self) -> int:
        """When the candle closed."""
        return intervals.close_time(open_time=self.run.candle_time, interval=self.run.schedule.interval)


def entity_of(schedule: WorkflowSchedule) -> Entity:
    """The signal and the position of a workflow."""
    if schedule.workflow_type == WorkflowType.SIGNAL_MONITORING:
        signal = Signal.objects.filter(id=schedule.entity_id).first()
        return Entity(signal, Position.objects.filter(signal=signal).first() if signal else None)
    position = Position.objects.filter(id=schedule.entity_id).select_related("signal", "account").first()
    return Entity(position.signal if position else None, position)


def closes(schedule: WorkflowSchedule) -> list[CloseLine]:
    """Every close that the workflow was owed, the newest first, with what came of it."""
    runs = list(schedule.runs.order_by("-candle_time")[:CLOSES_SHOWN])
    decisions: dict[UUID, MonitoringDecision | PositionManagementDecision] = {}
    for model in (MonitoringDecision, PositionManagementDecision):
        decisions.update({row.run_id: row for row in model.objects.filter(run__in=runs)})
    for run in runs:
        run.schedule = schedule
    return [_line(run, decisions.get(run.id)) for run in runs]


def _line(run: WorkflowRun, decision: MonitoringDecision | PositionManagementDecision | None) -> CloseLine:
    if decision is None:
        tone = {"failed": "bad", "late": "warn", "due": "info", "claimed": "info"}.get(run.status, "quiet")
        return CloseLine(run, None, run.status, tone, run.reason.replace("_", " "))
    word = decision.decision if isinstance(decision, MonitoringDecision) else decision.action
    return CloseLine(run, decision, word.replace("_", " "), TONES.get(word, "quiet"), decision.reasoning)


def chart(schedule: WorkflowSchedule) -> dict[str, Any]:
    """
    Closed candles, decision markers, entry, and the steps of stop and target, for the chart.

    Times are unix seconds of the candle's open, as the chart's library wants them.
    """
    stream = {"market": schedule.market, "symbol": schedule.symbol, "interval": schedule.interval}
    rows = list(
        Candle.objects.filter(**stream).order_by("-open_time").values_list("open_time", "open", "high", "low", "close")[:CANDLES_SHOWN]
    )[::-1]
    entity = entity_of(schedule)
    position = entity.position
    markers = [_marker(line) for line in reversed(closes(schedule)) if line.decision]
    return {
        "candles": [
            {"time": at // 1000, **{k: float(v) for k, v in zip(("open", "high", "low", "close"), prices, strict=True)}}
            for at, *prices in rows
        ],
        "markers": [marker for marker in markers if rows and marker["time"] * 1000 >= rows[0][0]],
        "entry": _number(position.entry_price) if position else None,
        "stops": _steps(position, Order.Leg.STOP, schedule.interval) if position else [],
        "targets": _steps(position, Order.Leg.TARGET, schedule.interval) if position else [],
    }


def _marker(line: CloseLine) -> dict[str, Any]:
    word = line.label.replace(" ", "_")
    position, shape = MARKED.get(word, ("aboveBar", "circle"))
    text = word if word in MARKED else ""
    return {
        "id": str(line.run.id),
        "time": line.run.candle_time // 1000,
        "position": position,
        "shape": shape,
        "tone": line.tone,
        "text": text,
    }


def _steps(position: Position, leg: str, interval: str) -> list[dict[str, Any]]:
    """Where a protecting order stood from when on; one step for each candle at most."""
    steps: dict[int, float] = {}
    placed = position.orders.filter(leg=leg).exclude(status=Order.Status.REJECTED).order_by("intended_at")
    for at, trigger, price in placed.values_list("intended_at", "trigger_price", "price"):
        if (level := trigger or price) is not None:
            steps[intervals.open_time_at(at_ms=clock.to_ms(at), interval=interval) // 1000] = float(level)
    if steps and position.closed_at:
        steps[intervals.open_time_at(at_ms=clock.to_ms(position.closed_at), interval=interval) // 1000] = steps[max(steps)]
    return [{"time": at, "value": value} for at, value in sorted(steps.items())]


@dataclass(frozen=True)
class Evidence:
    """One decision in full: what was asked, what was answered, and what came of it."""

    line: CloseLine | None
    analysis: SignalAnalysis | None
    numbers: list[tuple[str, str]]
    prompt: str
    changed: str
    orders: Sequence[Order]

    @property
    def answer(self) -> str:
        """The stored answer, readable when it is JSON."""
        raw = self.analysis.raw_response if self.analysis else ""
        try:
            return json.dumps(json.loads(raw), indent=2, ensure_ascii=False)
        except ValueError:
            return raw


def evidence(run: WorkflowRun) -> Evidence:
    """What is kept of one close of a workflow."""
    decision = (
        MonitoringDecision.objects.filter(run=run).first()
        or PositionManagementDecision.objects.filter(run=run).select_related("position").first()
    )
    analysis = run.analyses.order_by("-created_at").first()
    orders: list[Order] = []
    if analysis:
        orders = list(Order.objects.filter(analysis=analysis).prefetch_related("fills").order_by("intended_at"))
    prompt = _prompt(analysis)
    return Evidence(_line(run, decision), analysis, list(_numbers(decision)), prompt, _difference(analysis, prompt), orders)


def _numbers(decision: MonitoringDecision | PositionManagementDecision | None) -> Iterable[tuple[str, str]]:
    if isinstance(decision, MonitoringDecision):
        yield "price", _text(decision.price)
        for name, value in (decision.trade_plan or {}).items():
            yield _words(name), str(value)
    elif decision is not None:
        yield "price", _text(decision.market_price)
        yield "size", _text(decision.position_size)
        yield "P&L", f"{decision.current_pnl:+,.2f} ({decision.current_pnl_pct:+.2f} %)"
        for name, value in {**decision.action_details, **decision.risk_assessment}.items():
            yield _words(name), str(value)


def _prompt(analysis: SignalAnalysis | None) -> str:
    """The messages that were sent, as text; empty for rules, which are asked nothing."""
    request = analysis.request if analysis else None
    messages = request.get("messages", []) if isinstance(request, dict) else []
    return "\n\n".join(f"[{message.get('role')}]\n{message.get('content')}" for message in messages if isinstance(message, dict))


def _difference(analysis: SignalAnalysis | None, prompt: str) -> str:
    if analysis is None or not prompt:
        return ""
    before = (
        SignalAnalysis.objects.filter(signal=analysis.signal, kind=analysis.kind, created_at__lt=analysis.created_at)
        .order_by("-created_at")
        .first()
    )
    lines = difflib.unified_diff(_prompt(before).splitlines(), prompt.splitlines(), "the prompt before", "this prompt", n=1, lineterm="")
    return "\n".join(lines) if before else ""


def _words(name: str) -> str:
    """camelCase or snake_case as words."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).replace("_", " ").strip()


def _text(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
