"""
What the engine and the workflows say to each other: closes, cases, verdicts, and the registry of handlers.

Higher floors register their handlers and hooks here, so that the engine never imports upwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from monitoring import clock, intervals, ledger
from monitoring.analyst.contract import Answer, Kind
from monitoring.indicators import Window
from monitoring.models import SignalAnalysis, Trader
from monitoring.models.schedules import WorkflowType


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


_handlers: dict[str, Handler] = {}
_hooks: list[Callable[[Close, datetime], None]] = []


def register(workflow_type: WorkflowType, handler: Handler) -> None:
    """Name the handler of a type of workflow; called from `AppConfig.ready`."""
    _handlers[workflow_type] = handler


def before_decisions(hook: Callable[[Close, datetime], None]) -> None:
    """Have `hook(close, now)` run, and commit, before any decision on a close. It must bear to run twice."""
    if hook not in _hooks:
        _hooks.append(hook)


def hooks() -> Sequence[Callable[[Close, datetime], None]]:
    """What runs before any decision on a close, in the order of registration."""
    return tuple(_hooks)


def registered() -> Mapping[str, Handler]:
    """Every handler by its type of workflow."""
    return _handlers


def handler_of(run: ledger.Run) -> Handler:
    """The handler of a run's workflow."""
    return _handlers[run.schedule.workflow_type]


def deadline_of(*, open_time: int, interval: str, trader: Trader) -> datetime:
    """Until when a decision on a close counts: a part of the interval, and never more than the cap (P7)."""
    length = intervals.length_ms(interval)
    allowed_s = min(length / 1000 * float(trader.decision_deadline_pct) / 100, ledger.DEADLINE_CAP_S)
    return clock.at(intervals.close_time(open_time=open_time, interval=interval)) + timedelta(seconds=allowed_s)
