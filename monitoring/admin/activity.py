"""The market's candles, the event log, switches, audit, and what keeps the desk running."""

from __future__ import annotations

from typing import ClassVar

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from monitoring import clock, delivery, events, notifications
from monitoring.events import NewEvent
from monitoring.models import (
    AbsentCandle,
    AuditLog,
    Candle,
    Event,
    Halt,
    Heartbeat,
    Installation,
    Instrument,
    NotificationDelivery,
    NotificationTarget,
)

from .base import LogAdmin, OwnedAdmin, RecordAdmin, number, pretty, tag

LEVEL_TONES = {"info": "quiet", "warning": "warn", "critical": "bad"}


@admin.register(Candle)
class CandleAdmin(LogAdmin):
    """Closed candles as the exchange sent them."""

    owner_path = OwnedAdmin.EVERYBODY
    list_display = ("symbol", "interval", "opened", "open_text", "high_text", "low_text", "close_text", "volume_text", "source")
    list_filter = ("market", "interval", "source")
    search_fields = ("symbol",)
    log_field = "received_at"

    @admin.display(description="Open time", ordering="open_time")
    def opened(self, candle: Candle) -> str:
        return f"{clock.at(candle.open_time):%Y-%m-%d %H:%M}"

    @admin.display(description="Open")
    def open_text(self, candle: Candle) -> str:
        return number(candle.open)

    @admin.display(description="High")
    def high_text(self, candle: Candle) -> str:
        return number(candle.high)

    @admin.display(description="Low")
    def low_text(self, candle: Candle) -> str:
        return number(candle.low)

    @admin.display(description="Close")
    def close_text(self, candle: Candle) -> str:
        return number(candle.close)

    @admin.display(description="Volume")
    def volume_text(self, candle: Candle) -> str:
        return number(candle.volume)


@admin.register(AbsentCandle)
class AbsentCandleAdmin(RecordAdmin):
    """Candles that the exchange itself lacks."""

    owner_path = OwnedAdmin.EVERYBODY
    list_display = ("market", "symbol", "interval", "open_time", "noted_at")
    list_filter = ("market", "interval")
    search_fields = ("symbol",)
    when_field = "noted_at"


@admin.register(Instrument)
class InstrumentAdmin(RecordAdmin):
    """Symbols and their filters."""

    owner_path = OwnedAdmin.EVERYBODY
    list_display = ("symbol", "market", "base", "quote", "tick", "step", "is_trading", "updated_at")
    list_filter = ("market", "is_trading", "quote")
    search_fields = ("symbol", "base")
    ordering = ("symbol",)

    @admin.display(description="Tick")
    def tick(self, row: Instrument) -> str:
        return number(row.tick_size)

    @admin.display(description="Step")
    def step(self, row: Instrument) -> str:
        return number(row.step_size)


@admin.register(Event)
class EventAdmin(LogAdmin):
    """The event log in commit order."""

    owner_path = "user"
    list_display = ("at", "kind", "level_tag", "text", "trader")
    list_filter = ("level", "kind", "trader")
    search_fields = ("text",)
    list_select_related = ("trader",)
    log_field = "at"
    readonly_fields = ("details",)
    fields = ("seq", "at", "kind", "level", "text", "details", "user", "trader", "signal", "position_id", "schedule")

    @admin.display(description="Level", ordering="level")
    def level_tag(self, event: Event) -> SafeString:
        return tag(event.level, LEVEL_TONES[event.level])

    @admin.display(description="Data")
    def details(self, event: Event) -> SafeString:
        return pretty(event.data)


@admin.register(Halt)
class HaltAdmin(RecordAdmin):
    """Kill switches, open and resumed."""

    list_display = ("scope", "state", "reason", "halted_by", "halted_at", "resumed_by", "resumed_at", "source")
    list_filter = ("state", "source")
    search_fields = ("scope", "reason", "halted_by")
    when_field = "halted_at"
    ordering = ("-halted_at",)


@admin.register(AuditLog)
class AuditLogAdmin(LogAdmin):
    """Who changed what, when, from where and why."""

    list_display = ("at", "actor", "action", "subject_type", "subject_id", "reason", "source")
    list_filter = ("action", "subject_type", "source")
    search_fields = ("actor", "subject_id", "reason")
    log_field = "at"


@admin.register(Heartbeat)
class HeartbeatAdmin(RecordAdmin):
    """Processes that are alive."""

    list_display = ("kind", "instance", "started_at", "beat_at")
    list_filter = ("kind",)
    ordering = ("-beat_at",)


class TargetForm(forms.ModelForm):
    """An address that Apprise knows, and kinds of events that exist."""

    class Meta:
        model = NotificationTarget
        fields = ("user", "name", "url", "kinds", "min_level", "quiet_from", "quiet_until", "is_active")
        widgets: ClassVar = {"url": forms.TextInput(attrs={"size": 80, "autocomplete": "off"})}

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"]).strip()
        if problem := delivery.problem_with(url):
            raise forms.ValidationError(problem)
        return url

    def clean_kinds(self) -> list[str]:
        kinds = self.cleaned_data["kinds"] or []
        if unknown := sorted(set(map(str, kinds)) - set(events.KINDS)):
            raise forms.ValidationError(f"unknown kinds: {', '.join(unknown)}; there are {', '.join(sorted(events.KINDS))}")
        return list(kinds)


@admin.register(NotificationTarget)
class NotificationTargetAdmin(OwnedAdmin):
    """Where people want to be told."""

    owner_path = "user"
    form = TargetForm
    list_display = ("name", "user", "min_level", "quiet_from", "quiet_until", "is_active")
    list_filter = ("min_level", "is_active")
    search_fields = ("name", "user__username")
    list_select_related = ("user",)
    actions = ("send_test",)

    @admin.action(description="Send a test", permissions=["change"])
    def send_test(self, request: HttpRequest, queryset: QuerySet[NotificationTarget]) -> None:
        """Send an event to each, whatever they want to be told."""
        name = request.user.get_username()
        for target in queryset:
            with transaction.atomic():
                new = NewEvent(
                    "notification_test", f"a test, asked for by {name}", {"by": name, "target": target.name}, user_id=target.user_id
                )
                notifications.test(target, events.record(new, now=clock.now()))
        self.message_user(request, "On its way; the deliveries tell what came of it.")


@admin.register(NotificationDelivery)
class NotificationDeliveryAdmin(LogAdmin):
    """Who was told of what."""

    list_display = ("created_at", "user", "event", "target", "status", "attempts", "error")
    list_filter = ("status",)
    list_select_related = ("user", "event", "target")
    log_field = "created_at"


@admin.register(Installation)
class InstallationAdmin(RecordAdmin):
    """Which clock and data source this database belongs to."""

    list_display = ("market_source", "clock_speed", "clock_epoch", "created_at")
