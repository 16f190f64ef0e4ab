"""Traders and their signals: the two tables of this floor that a person writes."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from monitoring import audit, clock, intake
from monitoring.intake import IntakeError, NewSignal
from monitoring.models import ScreeningCheck, Signal, Trader

from .base import KeptAdmin, LogAdmin, RecordAdmin, actor_of, join, link, list_link, page_link, pretty, sees_all, tag

STATUS_TONES = {"in_position": "good", "ready": "good", "monitoring": "info", "expired": "quiet", "closed": "quiet"}
STATE_TONES = {"running": "good", "paused": "warn", "archived": "quiet"}
SCREENING_TONES = {"fired": "good", "due": "warn", "not_ready": "warn"}


@admin.register(Trader)
class TraderAdmin(KeptAdmin):
    """Traders are archived, never deleted."""

    owner_path = "user"
    list_display = ("name", "state_tag", "interval", "symbol_list", "analyst", "side", "owner", "more")
    list_filter = ("state", "market", "interval", "analyst", "is_test")
    search_fields = ("name", "strategy", "symbols")
    list_select_related = ("user",)
    autocomplete_fields = ("user",)
    readonly_fields = ("created_at", "more")
    actions = ("new_webhook_token",)
    fieldsets = (
        (None, {"fields": ("user", "name", "strategy", "state", "is_test", "more")}),
        ("What it watches", {"fields": ("market", "symbols", "interval", "side", "conditions", "invalidation_conditions", "indicators")}),
        ("Stop and target", {"fields": ("stop_atr_multiple", "target_r")}),
        (
            "Analyst",
            {
                "fields": (
                    "analyst",
                    "ai_model",
                    "fallbacks",
                    "auto_analyze_signals",
                    "min_confidence_to_enter",
                    "decision_deadline_pct",
                    "daily_budget_usd",
                )
            },
        ),
        ("How long it waits", {"fields": ("max_reanalyses", "max_monitoring_duration", "min_price_move_pct")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Trader | None = None) -> tuple[str, ...]:
        """Whoever sees own traders only can't give one away."""
        return self.readonly_fields if sees_all(request.user) else (*self.readonly_fields, "user")

    @admin.display(description="State", ordering="state")
    def state_tag(self, trader: Trader) -> SafeString:
        return tag(trader.state, STATE_TONES[trader.state])

    @admin.display(description="Symbols")
    def symbol_list(self, trader: Trader) -> str:
        shown = ", ".join(trader.symbols[:4])
        return shown if len(trader.symbols) <= 4 else f"{shown} and {len(trader.symbols) - 4} more"

    @admin.display(description="Owner", ordering="user__username")
    def owner(self, trader: Trader) -> str:
        return str(trader.user)

    @admin.display(description="Records")
    def more(self, trader: Trader) -> SafeString | str:
        if trader.created_at is None or trader._state.adding:
            return "–"
        signals = list_link("monitoring_signal", "signals", trader__id__exact=trader.pk)
        positions = list_link("positions_position", "positions", trader__id__exact=trader.pk)
        return join((page_link("trader", trader.pk), signals, positions))

    @admin.action(description="Make a new webhook token (the former one stops working)", permissions=["change"])
    def new_webhook_token(self, request: HttpRequest, chosen: QuerySet[Trader]) -> None:
        for trader in chosen:
            token, digest = intake.new_webhook_token()
            Trader.objects.filter(pk=trader.pk).update(webhook_token_hash=digest)
            audit.record(
                action="new webhook token",
                subject=("trader", str(trader.pk)),
                actor=actor_of(request),
                reason="asked for in the admin",
                now=clock.now(),
            )
            path = f"/api/v1/signals/{token}/"
            self.message_user(request, f"{trader.name}: POST signals to {path} (shown this once)", messages.WARNING)


class SignalForm(forms.ModelForm):
    """A signal raised by hand: checked by the same rules as one that arrives by webhook."""

    class Meta:
        model = Signal
        fields = ("trader", "symbol", "side", "initial_price")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        trader, symbol = cleaned.get("trader"), cleaned.get("symbol")
        if trader and symbol and symbol not in trader.symbols:
            raise ValidationError({"symbol": f"{trader.name} trades {', '.join(trader.symbols)}."})
        return cleaned


@admin.register(Signal)
class SignalAdmin(RecordAdmin):
    """Signals: raised by hand through intake, otherwise evidence."""

    owner_path = "user"
    form = SignalForm
    list_display = ("symbol_and_interval", "side", "status_tag", "trader_link", "source", "reanalysis_count", "created_at", "more")
    list_filter = ("status", "source", "side", "interval", "trader")
    search_fields = ("symbol", "external_id", "close_reason", "trader__name")
    list_select_related = ("trader",)
    when_field = "created_at"
    ordering = ("-created_at",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("monitoring.add_signal"))

    def get_fields(self, request: HttpRequest, obj: Signal | None = None) -> tuple[str, ...]:
        if obj is None:
            return ("trader", "symbol", "side", "initial_price")
        return (
            *("trader_link", "symbol_and_interval", "side", "status_tag", "source", "external_id", "initial_price"),
            *("created_at", "monitoring_started_at", "position_opened_at", "closed_at", "close_reason", "reanalysis_count"),
            *("matched", "more_data", "more"),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Signal | None = None) -> tuple[str, ...]:
        return () if obj is None else self.get_fields(request, obj)

    def save_model(self, request: HttpRequest, obj: Signal, form: Any, change: bool) -> None:
        """Raised through intake, so that it is told of and analyzed like any other."""
        new = NewSignal(trader=obj.trader, symbol=obj.symbol, side=obj.side, price=obj.initial_price, source=Signal.Source.ADMIN)
        try:
            signal, _ = intake.record(new, now=clock.now())
        except IntakeError as error:
            self.message_user(request, f"Not taken: {error}", messages.ERROR)
            raise
        obj.pk = signal.pk
        obj._state.adding = False

    @admin.display(description="Signal", ordering="symbol")
    def symbol_and_interval(self, signal: Signal) -> str:
        return f"{signal.symbol} {signal.interval}"

    @admin.display(description="Status", ordering="status")
    def status_tag(self, signal: Signal) -> SafeString:
        return tag(signal.get_status_display(), STATUS_TONES.get(signal.status, "warn"))

    @admin.display(description="Trader", ordering="trader__name")
    def trader_link(self, signal: Signal) -> str | SafeString:
        return link(signal.trader)

    @admin.display(description="Matched conditions")
    def matched(self, signal: Signal) -> SafeString:
        return pretty(signal.matched_conditions)

    @admin.display(description="Metadata")
    def more_data(self, signal: Signal) -> SafeString:
        return pretty(signal.metadata)

    @admin.display(description="Records")
    def more(self, signal: Signal) -> SafeString:
        parts = (
            list_link("monitoring_signalanalysis", "analyses", signal__id__exact=signal.pk),
            list_link("monitoring_monitoringdecision", "decisions", signal__id__exact=signal.pk),
            list_link("monitoring_workflowschedule", "workflow", entity_id=signal.pk),
            list_link("positions_position", "position", signal__id__exact=signal.pk),
        )
        return join(parts)


@admin.register(ScreeningCheck)
class ScreeningCheckAdmin(LogAdmin):
    """Every look at a trader's conditions."""

    owner_path = "trader__user"
    list_display = ("symbol", "interval", "candle", "status_tag", "trader", "reason", "signal_link")
    list_filter = ("status", "interval", "trader")
    search_fields = ("symbol", "reason")
    list_select_related = ("trader", "signal")
    log_field = "created_at"

    @admin.display(description="Candle", ordering="candle_time")
    def candle(self, check: ScreeningCheck) -> str:
        return f"{clock.at(check.candle_time):%m-%d %H:%M}"

    @admin.display(description="Outcome", ordering="status")
    def status_tag(self, check: ScreeningCheck) -> SafeString:
        return tag(check.get_status_display(), SCREENING_TONES.get(check.status, "quiet"))

    @admin.display(description="Signal")
    def signal_link(self, check: ScreeningCheck) -> str | SafeString:
        return link(check.signal)
