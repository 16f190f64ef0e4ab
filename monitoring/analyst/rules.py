"""
The deterministic analyst: two decision trees over the snapshot, no network, no clock. Pure.

Every number it decides on is named in its reasoning. The thresholds are explained in docs/rules-analyst.md, and a
test compares that table with the constants here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from monitoring import conditions
from monitoring.indicators import Reading

from .contract import Kind, Question, TradePlan, Verdict

VERSION = "rules-1"

# Setup tree
FAVOURABLE_RISK_REWARD = 1.5  # reward within reach over risk, unless the trader aims lower
AT_THE_EXTREME_ATR = 0.25  # this close to the 20-candle extreme nothing stands in the way
BASE_CONFIDENCE, CONFIDENCE_PER_SIGN = 0.5, 0.1

# Position tree; progress is the part of the way from entry to target, R the distance from entry to the first stop
TARGET_REACHED_PROGRESS = 0.9
PARTIAL_TARGET_PROGRESS, PARTIAL_TARGET_REDUCE = 0.5, 0.5
STRONG_ADX, STRONG_PROGRESS, RAISE_TARGET_R, FARTHEST_TARGET = 25.0, 0.6, 0.5, 1.5
RISING_NATR_RATIO, RISING_VOLUME_RATIO = 1.15, 1.2
TIGHTER_STOP_ATR, SMALLEST_STEP_ATR = 1.5, 0.25

NEEDED = (
    "atr_14",
    "natr_14",
    "stddev_20",
    "adx_14",
    "plus_di_14",
    "minus_di_14",
    "macd_hist",
    "ema_20",
    "ema_50",
    "rsi_14",
    "volume_ratio_20",
    "change_pct_1",
    "highest_20",
    "lowest_20",
)


def judge(question: Question) -> Verdict:
    """The verdict of the tree that fits the question."""
    view = _View.of(question.snapshot)
    if question.kind is Kind.MANAGEMENT:
        return _position(view, question.snapshot["position"])
    if question.kind is Kind.CUSTOM:
        return _own_words(_setup(view, initial=True), question.snapshot["question"])
    return _setup(view, initial=question.kind is Kind.INITIAL)


@dataclass(frozen=True)
class _View:
    """The snapshot as numbers; `sign` is +1 for long and -1 for short, so that one tree serves both."""

    close: float
    sign: int
    readings: Mapping[str, Reading]
    trader: Mapping[str, Any]
    interval: str

    @classmethod
    def of(cls, snapshot: Mapping[str, Any]) -> _View:
        current, previous = snapshot["indicators"], snapshot["previous_indicators"]
        readings = {name: Reading(value, previous.get(name)) for name, value in current.items()}
        side = snapshot["trader"]["side"]
        return cls(snapshot["candle"]["close"], 1 if side == "long" else -1, readings, snapshot["trader"], snapshot["interval"])

    def value(self, name: str) -> float | None:
        return self.readings[name].current

    def signed(self, amount: float | None) -> float:
        """An amount in the direction of the trade; unknown counts as nothing."""
        return self.sign * (amount or 0.0)

    def holds(self, which: str) -> bool | None:
        return conditions.hold(conditions.parse(self.trader[which]), readings=self.readings)

    def explain(self, which: str) -> str:
        results = conditions.evaluate(conditions.parse(self.trader[which]), readings=self.readings)
        return "; ".join(f"{r.condition} ({_n(r.value)}: {'yes' if r.held else 'no' if r.held is False else 'unknown'})" for r in results)


def _own_words(verdict: Verdict, form: Mapping[str, Any]) -> Verdict:
    """What the setup tree says to a question of somebody's own, where the answer has its fields; it can't think of others."""
    said = {"decision": verdict.decision, "confidence": float(verdict.confidence), "reasoning": verdict.reasoning}
    wanted = [field["name"] for field in form["fields"]]
    if unknown := sorted(set(wanted) - set(said)):
        raise ValueError(f"the rules answer decision, confidence and reasoning; {unknown[0]} needs a model")
    return Verdict("answered", verdict.confidence, verdict.reasoning, details={name: said[name] for name in wanted})


def _setup(view: _View, *, initial: bool) -> Verdict:
    enter, wait, drop = ("enter_trade", "wait", "bad_setup") if initial else ("enter", "continue", "abandon")
    atr = view.value("atr_14")
    if atr is None or not atr > 0:
        return _verdict(view, wait, 0.5, f"ATR(14) is not known yet at {_n(view.close)}; nothing can be measured.")
    if view.holds("conditions") is not True:
        if view.holds("invalidation_conditions"):
            return _verdict(view, drop, 0.8, f"Invalidated at {_n(view.close)}: {view.explain('invalidation_conditions')}.")
        return _verdict(view, wait, 0.6, f"Entry conditions are not met at {_n(view.close)}: {view.explain('conditions')}.")
    plan, risk_reward, wanted = _plan(view, atr)
    facts = f"{view.explain('conditions')}; ATR(14) {_n(atr)}, reward within reach {risk_reward:.2f} times the risk, {wanted:.2f} wanted"
    if risk_reward < wanted:
        return _verdict(view, wait, 0.6, f"Conditions are met at {_n(view.close)}, but the risk is not worth it: {facts}.")
    confidence, signs = _confidence(view)
    return _verdict(view, enter, confidence, f"Conditions are met at {_n(view.close)} and worth the risk: {facts}; {signs}.", plan=plan)


def _plan(view: _View, atr: float) -> tuple[TradePlan, float, float]:
    """The plan, the reward within reach over the risk, and what is wanted of it."""
    risk = float(view.trader["stop_atr_multiple"]) * atr
    target_r = float(view.trader["target_r"])
    aim = risk * target_r
    extreme = view.value("highest_20" if view.sign > 0 else "lowest_20")
    room = view.signed(extreme - view.close) if extreme is not None else 0.0
    within_reach = aim if room <= AT_THE_EXTREME_ATR * atr else min(aim, room)
    plan = TradePlan(
        entry=_price(view.close),
        stop_loss=_price(view.close - view.sign * risk),
        take_profit=_price(view.close + view.sign * aim),
        timeframe=view.interval,
    )
    return plan, within_reach / risk, min(FAVOURABLE_RISK_REWARD, target_r)


def _confidence(view: _View) -> tuple[float, str]:
    """A half, and a tenth for each sign that agrees with the trade."""
    ema_20, ema_50 = view.value("ema_20"), view.value("ema_50")
    signs = {
        "volume above its average": (view.value("volume_ratio_20") or 0) > 1,
        "close beyond EMA(20)": ema_20 is not None and view.signed(view.close - ema_20) > 0,
        "EMA(20) beyond EMA(50)": ema_20 is not None and ema_50 is not None and view.signed(ema_20 - ema_50) > 0,
        "MACD histogram agrees": view.signed(view.value("macd_hist")) > 0,
        "last candle agrees": view.signed(view.value("change_pct_1")) > 0,
    }
    agreeing = [name for name, holds in signs.items() if holds]
    confidence = min(0.95, BASE_CONFIDENCE + CONFIDENCE_PER_SIGN * len(agreeing))
    return confidence, f"{len(agreeing)} of {len(signs)} signs agree ({', '.join(agreeing) or 'none'})"


def _position(view: _View, position: Mapping[str, Any]) -> Verdict:
    entry, stop, target = (float(position[name]) for name in ("entry_price", "stop_loss", "take_profit"))
    first_risk = abs(entry - float(position["initial_stop_loss"])) or abs(entry - stop)
    progress = view.signed(view.close - entry) / (abs(target - entry) or 1.0)
    facts = f"close {_n(view.close)}, entry {_n(entry)}, stop {_n(stop)}, target {_n(target)}, progress {progress:.0%}"
    atr = view.value("atr_14")
    if progress > 0:
        if progress >= TARGET_REACHED_PROGRESS:
            return _verdict(view, "close", 0.9, f"The target is as good as reached: {facts}.")
        if progress >= PARTIAL_TARGET_PROGRESS and not position["reduced"]:
            details = {"reduceAmount": str(PARTIAL_TARGET_REDUCE)}
            return _verdict(view, "reduce", 0.8, f"Half of the way is done, half of the size is taken off: {facts}.", details=details)
        if raised := _raised_target(view, entry, target, first_risk, progress):
            adx = _n(view.value("adx_14"))
            reason = f"Momentum is strong (ADX(14) {adx}, MACD histogram {_n(view.value('macd_hist'))}), the target goes up: {facts}."
            return _verdict(view, "adjust_tp", 0.75, reason, details={"newTakeProfit": str(_price(raised))})
    if atr and (why := _rising_risk(view)):
        tighter = view.close - view.sign * TIGHTER_STOP_ATR * atr
        if view.signed(tighter - stop) >= SMALLEST_STEP_ATR * atr:
            details = {"newStopLoss": str(_price(tighter))}
            return _verdict(view, "adjust_sl", 0.75, f"Risk is rising ({why}), the stop moves closer: {facts}.", details=details)
    if view.holds("invalidation_conditions"):
        return _verdict(view, "close", 0.8, f"The setup is no longer valid: {view.explain('invalidation_conditions')}; {facts}.")
    return _verdict(view, "hold", 0.6, f"Nothing has changed that asks for action: {facts}.")


def _raised_target(view: _View, entry: float, target: float, first_risk: float, progress: float) -> float | None:
    """The farther target when momentum is strong and the target is not yet at its farthest."""
    plus, minus = view.value("plus_di_14"), view.value("minus_di_14")
    strong = (
        progress >= STRONG_PROGRESS
        and (view.value("adx_14") or 0) >= STRONG_ADX
        and plus is not None
        and minus is not None
        and view.signed(plus - minus) > 0
        and view.signed(view.value("macd_hist")) > 0
    )
    farthest = FARTHEST_TARGET * float(view.trader["target_r"]) * first_risk
    raised = abs(target - entry) + RAISE_TARGET_R * first_risk
    return entry + view.sign * raised if strong and raised <= farthest else None


def _rising_risk(view: _View) -> str:
    """Why risk is rising, or an empty text: wider candles than a candle ago, or volume behind a move against us."""
    natr = view.readings["natr_14"]
    if natr.current and natr.previous and natr.current >= RISING_NATR_RATIO * natr.previous:
        return f"NATR(14) from {_n(natr.previous)} to {_n(natr.current)}"
    volume, change = view.value("volume_ratio_20"), view.value("change_pct_1")
    if volume and volume >= RISING_VOLUME_RATIO and view.signed(change) < 0 and view.signed(view.value("macd_hist")) < 0:
        return f"{_n(volume)} times the usual volume behind a move of {_n(change)} %"
    return ""


def _verdict(
    view: _View, decision: str, confidence: float, reasoning: str, *, plan: TradePlan | None = None, details: dict[str, str] | None = None
) -> Verdict:
    ema_20, ema_50, natr = view.value("ema_20"), view.value("ema_50"), view.value("natr_14")
    trend = "unknown" if ema_20 is None or ema_50 is None else "up" if ema_20 > ema_50 else "down"
    adx = view.value("adx_14")
    market = {
        "trend": trend,
        "volatility": "unknown" if natr is None else "high" if natr > 1 else "normal",
        "momentum": "unknown" if adx is None else "strong" if adx >= STRONG_ADX else "weak",
        "support": view.value("lowest_20"),
        "resistance": view.value("highest_20"),
    }
    return Verdict(decision, Decimal(f"{confidence:.2f}"), reasoning, plan, details or {}, market)


def _price(value: float) -> Decimal:
    """A float price as a decimal of 10 significant digits; the exchange's tick is applied where orders are made."""
    exact = Decimal(repr(value))
    return exact.quantize(Decimal(1).scaleb(exact.adjusted() - 9), rounding=ROUND_HALF_EVEN).normalize() if exact else exact


def _n(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.6g}"
