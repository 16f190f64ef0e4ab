"""
What an analyst is asked and what it may answer. Pure.

An answer is data from outside. Either it holds a verdict that the workflow allows, or its outcome names why there
is none; "no decision" never turns into wait or hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

N = TypeVar("N", int, Decimal)
RULES = "rules"


class Kind(StrEnum):
    """The questions of the workflows, and those that people put in their own words."""

    INITIAL = "initial"
    MONITORING = "monitoring"
    MANAGEMENT = "management"
    CUSTOM = "custom"


ALLOWED: dict[Kind, tuple[str, ...]] = {
    Kind.INITIAL: ("enter_trade", "bad_setup", "wait"),
    Kind.MONITORING: ("enter", "continue", "abandon"),
    Kind.MANAGEMENT: ("hold", "adjust_sl", "adjust_tp", "add", "reduce", "close"),
    Kind.CUSTOM: ("answered",),
}
ENTERS = ("enter_trade", "enter")
ADDS_RISK = (*ENTERS, "add")


class Outcome(StrEnum):
    """What became of a question; everything but OK is a kind of no-decision."""

    OK = "ok"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    RATE_LIMITED = "rate_limited"
    REFUSED = "refused"
    TRUNCATED = "truncated"
    FILTERED = "filtered"
    INVALID = "invalid"
    UNGROUNDED = "ungrounded"
    OVER_BUDGET = "over_budget"
    LATE = "late"
    HALTED = "halted"


# Faults of one question, which count towards switching its workflow off (P8); the others are shared causes.
OWN_FAULTS = frozenset({Outcome.TIMEOUT, Outcome.REFUSED, Outcome.TRUNCATED, Outcome.FILTERED, Outcome.INVALID, Outcome.UNGROUNDED})


@dataclass(frozen=True)
class TradePlan:
    """Where to enter, stop and take profit, in quote. `position_size` in base is a cap on ours, never a wish."""

    entry: Decimal
    stop_loss: Decimal
    take_profit: Decimal
    position_size: Decimal | None = None
    timeframe: str = ""

    def as_json(self) -> dict[str, Any]:
        """The form kept in `trade_plan`; prices as strings, so that nothing is rounded."""
        return {
            "entry": str(self.entry),
            "stopLoss": str(self.stop_loss),
            "takeProfit": str(self.take_profit),
            "positionSize": None if self.position_size is None else str(self.position_size),
            "timeframe": self.timeframe,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TradePlan:
        """The plan that `as_json` wrote."""
        size = data["positionSize"]
        return cls(
            entry=Decimal(data["entry"]),
            stop_loss=Decimal(data["stopLoss"]),
            take_profit=Decimal(data["takeProfit"]),
            position_size=None if size is None else Decimal(size),
            timeframe=data["timeframe"],
        )


@dataclass(frozen=True)
class Verdict:
    """A decision that the workflow allows. `details` holds newStopLoss, newTakeProfit, reduceAmount or addAmount."""

    decision: str
    confidence: Decimal
    reasoning: str
    plan: TradePlan | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    market_conditions: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The form kept with the analysis."""
        return {
            "decision": self.decision,
            "confidence": str(self.confidence),
            "reasoning": self.reasoning,
            "tradePlan": self.plan.as_json() if self.plan else None,
            "details": dict(self.details),
            "marketConditions": dict(self.market_conditions),
        }


@dataclass(frozen=True)
class Question:
    """One question about one close. The snapshot is all that the analyst may know; `deadline` is app time."""

    id: UUID
    kind: Kind
    snapshot: Mapping[str, Any]
    analyst: str
    model: str
    deadline: datetime
    fallbacks: tuple[str, ...] = ()  # asked in turn when there is no decision: names of models, or "rules"
    trader_id: UUID | None = None
    daily_budget_usd: Decimal | None = None  # of the trader, besides everybody's
    scopes: tuple[str, ...] = ()  # of the switches that may stop it

    @property
    def chain(self) -> tuple[str, ...]:
        """Everybody it may be put to, in order: names of models, or "rules"."""
        return (RULES if self.analyst == RULES else self.model, *self.fallbacks)


@dataclass(frozen=True)
class Attempt:
    """One try to get an answer: of whom, when, and what became of it. A retry and a fallback are further attempts."""

    analyst: str
    model: str
    outcome: Outcome
    error: str = ""
    answered_by: str = ""  # the model's own name for itself, often with a date
    status: int | None = None  # of HTTP, when there was one
    waited_ms: int = 0  # for a slot, for back-off, for a circuit to close
    latency_ms: int = 0
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: Decimal | None = None  # None: not known; the budget then keeps what was reserved

    def as_json(self) -> dict[str, Any]:
        """The form kept with the analysis."""
        cost = None if self.cost_usd is None else f"{self.cost_usd:f}"
        return {**vars(self), "outcome": self.outcome.value, "error": self.error[:500], "cost_usd": cost}


@dataclass(frozen=True)
class Answer:
    """What came back, with everything needed to explain it. Exactly one of `verdict` and a no-decision outcome."""

    outcome: Outcome
    analyst: str
    verdict: Verdict | None = None
    error: str = ""
    model: str = ""
    prompt_version: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)
    raw_response: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    ungrounded: tuple[str, ...] = ()  # numbers it quotes that are not in the snapshot
    latency_ms: int = 0
    attempts: tuple[Attempt, ...] = ()
    trace_id: str = ""

    def __post_init__(self) -> None:
        if (self.verdict is None) == (self.outcome is Outcome.OK):
            raise ValueError(f"an answer with outcome {self.outcome} and verdict {self.verdict}")

    @property
    def prompt_tokens(self) -> int | None:
        """Of all attempts; None when none of them says."""
        return _total(attempt.prompt_tokens for attempt in self.attempts)

    @property
    def completion_tokens(self) -> int | None:
        """Of all attempts; None when none of them says."""
        return _total(attempt.completion_tokens for attempt in self.attempts)

    @property
    def cost_usd(self) -> Decimal | None:
        """Of all attempts whose cost is known; None when it is known of none."""
        return _total(attempt.cost_usd for attempt in self.attempts)


def _total(values: Iterable[N | None]) -> N | None:
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known else None
