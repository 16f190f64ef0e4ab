"""The analyst's side: who gets continuous monitoring, what is known of the endpoints, and what questions cost."""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib import admin
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.safestring import SafeString

from monitoring import audit, clock
from monitoring.models import AnalystEndpoint, BudgetReservation, MonitoringRollout

from .base import LogAdmin, RecordAdmin, actor_of, number, tag


class RolloutForm(ModelForm):
    """Remembers what stood there before, for the audit log."""

    before: Mapping[str, object]


@admin.register(MonitoringRollout)
class MonitoringRolloutAdmin(admin.ModelAdmin):
    """One row, changed and never deleted; every change is in the audit log."""

    form = RolloutForm
    list_display = ("__str__", "mode", "percent")
    fields = ("mode", "percent", "users", "traders", "groups")
    autocomplete_fields = ("users", "traders")
    filter_horizontal = ("groups",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return not MonitoringRollout.objects.exists() and super().has_add_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: MonitoringRollout, form: RolloutForm, change: bool) -> None:
        form.before = _state(MonitoringRollout.objects.get(pk=obj.pk)) if change else {}
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: RolloutForm, formsets: object, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        audit.record(
            action="roll-out",
            subject=("monitoring_rollout", "1"),
            actor=actor_of(request),
            before=form.before,
            after=_state(MonitoringRollout.objects.get(pk=1)),
            reason="changed in the admin",
            now=clock.now(),
        )


def _state(row: MonitoringRollout) -> dict[str, object]:
    chosen = {name: sorted(str(key) for key in getattr(row, name).values_list("pk", flat=True)) for name in ("users", "traders", "groups")}
    return {"mode": row.mode, "percent": row.percent, **chosen}


@admin.register(AnalystEndpoint)
class AnalystEndpointAdmin(RecordAdmin):
    """Whether an endpoint answers, as all processes see it."""

    list_display = ("base_url", "state", "failures", "open_until", "quiet_until", "last_error", "changed_at")

    @admin.display(description="State")
    def state(self, row: AnalystEndpoint) -> SafeString:
        return tag("circuit open", "bad") if row.open_until else tag("answers", "good")


@admin.register(BudgetReservation)
class BudgetReservationAdmin(LogAdmin):
    """One attempt each: what was reserved for it, what it cost, and how long it was out."""

    list_display = ("granted_at", "model", "trader", "reserved", "cost", "sent_at", "finished_at")
    list_filter = ("model", "trader")
    list_select_related = ("trader",)
    log_field = "granted_at"

    @admin.display(description="Reserved, USD", ordering="reserved_usd")
    def reserved(self, row: BudgetReservation) -> str:
        return number(row.reserved_usd)

    @admin.display(description="Cost, USD", ordering="cost_usd")
    def cost(self, row: BudgetReservation) -> str:
        return number(row.cost_usd)
