"""
What an analyst is asked and what it may answer. Pure.

An answer is data from outside. Either it holds a verdict that the workflow allows, or its outcome names why there
is none; "no decision" never turns into wait or hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID


class Kind(StrEnum):
    """The three questions."""

    INITIAL = "initial"
    MONITORING = "monitoring"
    MANAGEMENT = "management"


ALLOWED: dict[Kind, tuple[str, ...]] = {
    Kind.INITIAL: ("enter_trade", "bad_setup", "wait"),
    Kind.MONITORING: ("enter", "continue", "abandon"),
    Kind.MANAGEMENT: ("hold", "adjust_sl", "adjust_tp", "add", "reduce", "close"),
}
ENTERS = ("enter_trade", "enter")


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
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: Decimal | None = None
    latency_ms: int = 0
    attempts: int = 1

    def __post_init__(self) -> None:
        if (self.verdict is None) == (self.outcome is Outcome.OK):
            raise ValueError(f"an answer with outcome {self.outcome} and verdict {self.verdict}")
