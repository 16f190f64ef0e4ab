"""Every leaf of both trees, and the table that explains them."""

from __future__ import annotations

import re
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from monitoring.analyst import rules
from monitoring.analyst.contract import Kind, Question
from tests.support.clocks import START_MS, SteppingClock

BASE = {
    "atr_14": 1.0,
    "natr_14": 1.0,
    "stddev_20": 1.0,
    "adx_14": 20.0,
    "plus_di_14": 25.0,
    "minus_di_14": 15.0,
    "macd_hist": 0.1,
    "ema_20": 99.0,
    "ema_50": 98.0,
    "rsi_14": 55.0,
    "volume_ratio_20": 1.1,
    "change_pct_1": 0.1,
    "highest_20": 100.1,
    "lowest_20": 95.0,
    "close": 100.0,
}
HOLDS = [{"field": "close", "operator": "gt", "value": 0}]
FAILS = [{"field": "close", "operator": "lt", "value": 0}]


def question(kind: Kind, *, now: dict[str, Any] | None = None, before: dict[str, Any] | None = None, **trader: Any) -> Question:
    position = trader.pop("position", None)
    indicators = {**BASE, **(now or {})}
    snapshot = {
        "interval": "5m",
        "candle": {"close": indicators["close"]},
        "indicators": indicators,
        "previous_indicators": {**BASE, **(before or {})},
        "trader": {
            "side": "long",
            "conditions": HOLDS,
            "invalidation_conditions": FAILS,
            "stop_atr_multiple": 2.0,
            "target_r": 2.0,
            **trader,
        },
        "position": {
            "entry_price": 100.0,
            "stop_loss": 98.0,
            "initial_stop_loss": 98.0,
            "take_profit": 104.0,
            "reduced": False,
            **(position or {}),
        },
    }
    with SteppingClock.installed(START_MS) as clock:
        return Question(uuid.uuid4(), kind, snapshot, "rules", "", clock.now)


def setup(**over: Any) -> str:
    return rules.judge(question(Kind.MONITORING, **over)).decision


def manage(**over: Any) -> str:
    return rules.judge(question(Kind.MANAGEMENT, **over)).decision


class TestSetupTree:
    def test_enters_when_met_and_worth_the_risk(self) -> None:
        verdict = rules.judge(question(Kind.MONITORING))
        assert verdict.decision == "enter"
        assert verdict.plan is not None
        assert (verdict.plan.entry, verdict.plan.stop_loss, verdict.plan.take_profit) == (Decimal(100), Decimal(98), Decimal(104))
        assert verdict.confidence == Decimal("0.95"), "five signs agree, and it is capped"

    def test_continues_when_resistance_is_near(self) -> None:
        assert setup(now={"highest_20": 101.0}) == "continue"

    def test_enters_when_resistance_is_far(self) -> None:
        assert setup(now={"highest_20": 110.0}) == "enter"

    def test_abandons_when_not_met_and_invalidated(self) -> None:
        assert setup(conditions=FAILS, invalidation_conditions=HOLDS) == "abandon"

    def test_continues_when_not_met_and_not_invalidated(self) -> None:
        assert setup(conditions=FAILS) == "continue"

    def test_continues_while_the_range_is_unknown(self) -> None:
        assert setup(now={"atr_14": None}) == "continue"

    @pytest.mark.parametrize(
        ("over", "decision"),
        [({}, "enter_trade"), ({"conditions": FAILS}, "wait"), ({"conditions": FAILS, "invalidation_conditions": HOLDS}, "bad_setup")],
    )
    def test_the_first_look_uses_its_own_words(self, over: dict[str, Any], decision: str) -> None:
        assert rules.judge(question(Kind.INITIAL, **over)).decision == decision

    def test_a_short_plan_is_mirrored(self) -> None:
        plan = rules.judge(question(Kind.MONITORING, side="short", now={"lowest_20": 99.9})).plan
        assert plan is not None
        assert (plan.stop_loss, plan.take_profit) == (Decimal(102), Decimal(96))


class TestPositionTree:
    def test_closes_when_the_target_is_as_good_as_reached(self) -> None:
        assert manage(now={"close": 103.7}) == "close"

    def test_reduces_once_at_the_partial_target(self) -> None:
        assert manage(now={"close": 102.1}) == "reduce"
        assert manage(now={"close": 102.1}, position={"reduced": True}) == "hold"

    def test_raises_the_target_on_strong_momentum_but_not_for_ever(self) -> None:
        strong = {"close": 102.6, "adx_14": 30.0}
        verdict = rules.judge(question(Kind.MANAGEMENT, now=strong, position={"reduced": True}))
        assert (verdict.decision, verdict.details) == ("adjust_tp", {"newTakeProfit": "105"})
        assert manage(now={**strong, "close": 104.3}, position={"reduced": True, "take_profit": 106.0}) == "hold"

    def test_tightens_the_stop_when_candles_widen(self) -> None:
        verdict = rules.judge(question(Kind.MANAGEMENT, now={"natr_14": 1.3, "close": 100.5}))
        assert (verdict.decision, verdict.details) == ("adjust_sl", {"newStopLoss": "99"})

    def test_tightens_the_stop_when_volume_is_behind_a_move_against_us(self) -> None:
        against = {"volume_ratio_20": 1.5, "change_pct_1": -0.2, "macd_hist": -0.1}
        assert manage(now=against) == "adjust_sl"

    def test_never_loosens_it(self) -> None:
        assert manage(now={"natr_14": 1.3}, position={"stop_loss": 98.9}) == "hold"

    def test_closes_when_the_setup_is_no_longer_valid(self) -> None:
        assert manage(now={"close": 99.0}, invalidation_conditions=HOLDS) == "close"

    def test_holds_otherwise(self) -> None:
        assert manage() == "hold"
        assert manage(now={"close": 101.0}) == "hold"

    def test_a_short_position_is_mirrored(self) -> None:
        short = {"stop_loss": 102.0, "initial_stop_loss": 102.0, "take_profit": 96.0}
        assert manage(side="short", now={"close": 97.8}, position=short) == "reduce"
        assert manage(side="short", now={"close": 96.1}, position=short) == "close"


class TestReasoning:
    @pytest.mark.parametrize("close", [99.0, 100.0, 101.0, 102.1, 103.7])
    def test_names_the_numbers_it_used(self, close: float) -> None:
        verdict = rules.judge(question(Kind.MANAGEMENT, now={"close": close}))
        for value in (f"{close:g}", "98", "104"):
            assert value in verdict.reasoning

    def test_the_same_snapshot_gives_the_same_answer(self) -> None:
        asked = question(Kind.MONITORING)
        assert rules.judge(asked) == rules.judge(asked)

    def test_the_documented_table_has_the_constants_of_the_code(self) -> None:
        text = (Path(__file__).parents[2] / "docs" / "rules-analyst.md").read_text()
        rows = re.findall(r"\| `([A-Z_]+)` \| ([\d.]+) \|", text)
        assert {name: float(value) for name, value in rows} == {
            name: float(getattr(rules, name)) for name in dir(rules) if name.isupper() and isinstance(getattr(rules, name), float)
        }
