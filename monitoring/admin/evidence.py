"""Questions, answers and decisions: written once, read for ever."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from monitoring import clock
from monitoring.models import MonitoringDecision, SignalAnalysis

from .base import LogAdmin, all_fields, link, list_link, number, pretty, tag

DECISION_TONES = {"enter_trade": "good", "enter": "good", "bad_setup": "bad", "abandon": "bad"}


@admin.register(SignalAnalysis)
class SignalAnalysisAdmin(LogAdmin):
    """One question put to an analyst: prompt, answer, cost."""

    owner_path = "user"
    list_display = ("created_at", "kind", "decision_tag", "confidence_text", "signal_link", "analyst", "model", "latency_ms", "cost_usd")
    list_filter = (
        "kind",
        "outcome",
        "decision",
        "analyst",
        "model",
        "prompt_version",
    )
    search_fields = ("signal__symbol", "reasoning", "error")
    list_select_related = ("signal",)
    log_field = "created_at"
    readonly_fields = ("prompt", "answer_as_received", "verdict", "seen", "signal_link", "run_link", "more")
    fields = (
        *all_fields(SignalAnalysis, without=("id", "request", "raw_response", "answer", "snapshot", "signal", "run")),
        *readonly_fields,
    )

    @admin.display(description="Decision", ordering="decision")
    def decision_tag(self, row: SignalAnalysis) -> SafeString:
        return tag(row.decision, DECISION_TONES.get(row.decision, "quiet")) if row.decision else tag(row.outcome, "warn")

    @admin.display(description="Conf.", ordering="confidence")
    def confidence_text(self, row: SignalAnalysis) -> str:
        return "–" if row.confidence is None else f"{row.confidence:.2f}"

    @admin.display(description="Signal")
    def signal_link(self, row: SignalAnalysis) -> str | SafeString:
        return link(row.signal)

    @admin.display(description="Close")
    def run_link(self, row: SignalAnalysis) -> str | SafeString:
        return link(row.run)

    @admin.display(description="Prompt as sent")
    def prompt(self, row: SignalAnalysis) -> SafeString:
        return pretty(row.request)

    @admin.display(description="Answer as received")
    def answer_as_received(self, row: SignalAnalysis) -> SafeString:
        return pretty(row.raw_response)

    @admin.display(description="Verdict")
    def verdict(self, row: SignalAnalysis) -> SafeString:
        return pretty(row.answer)

    @admin.display(description="Snapshot")
    def seen(self, row: SignalAnalysis) -> SafeString:
        return pretty(row.snapshot)

    @admin.display(description="Orders")
    def more(self, row: SignalAnalysis) -> SafeString:
        return list_link("positions_order", "orders it caused", analysis__id__exact=row.pk)


@admin.register(MonitoringDecision)
class MonitoringDecisionAdmin(LogAdmin):
    """What was decided on a waiting setup."""

    owner_path = "signal__user"
    list_display = ("timestamp", "symbol", "decision_tag", "price_text", "confidence_text", "outcome", "reason", "analysis_link")
    list_filter = ("decision", "signal__trader", "signal__interval")
    search_fields = ("signal__symbol", "reasoning")
    list_select_related = ("signal", "analysis")
    log_field = "timestamp"
    readonly_fields = ("candle", "plan", "values", "market", "analysis_link", "signal_link")
    fields = (
        *all_fields(
            MonitoringDecision, without=("id", "trade_plan", "indicators", "market_conditions", "analysis", "signal", "candle_time")
        ),
        *readonly_fields,
    )

    @admin.display(description="Symbol", ordering="signal__symbol")
    def symbol(self, row: MonitoringDecision) -> str | SafeString:
        return link(row.signal)

    @admin.display(description="Decision", ordering="decision")
    def decision_tag(self, row: MonitoringDecision) -> SafeString:
        return tag(row.decision, DECISION_TONES.get(row.decision, "quiet"))

    @admin.display(description="Price", ordering="price")
    def price_text(self, row: MonitoringDecision) -> str:
        return number(row.price)

    @admin.display(description="Conf.", ordering="confidence")
    def confidence_text(self, row: MonitoringDecision) -> str:
        return f"{row.confidence:.2f}"

    @admin.display(description="Reasoning")
    def reason(self, row: MonitoringDecision) -> str:
        return row.reasoning[:120]

    @admin.display(description="Analysis")
    def analysis_link(self, row: MonitoringDecision) -> str | SafeString:
        return link(row.analysis, "why")

    @admin.display(description="Signal")
    def signal_link(self, row: MonitoringDecision) -> str | SafeString:
        return link(row.signal)

    @admin.display(description="Candle")
    def candle(self, row: MonitoringDecision) -> str:
        return f"{clock.at(row.candle_time):%Y-%m-%d %H:%M} UTC"

    @admin.display(description="Trade plan")
    def plan(self, row: MonitoringDecision) -> SafeString:
        return pretty(row.trade_plan)

    @admin.display(description="Indicators")
    def values(self, row: MonitoringDecision) -> SafeString:
        return pretty(row.indicators)

    @admin.display(description="Market conditions")
    def market(self, row: MonitoringDecision) -> SafeString:
        return pretty(row.market_conditions)
