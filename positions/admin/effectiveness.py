"""How monitoring and management turned out, per trader."""

from __future__ import annotations

from django.contrib import admin
from django.core.paginator import Paginator
from django.utils.safestring import SafeString

from monitoring.admin.base import RecordAdmin, link
from positions.models import ManagementEffectiveness, MonitoringEffectiveness


class PerTraderAdmin(RecordAdmin):
    """A view with one row per trader."""

    paginator = Paginator  # type: ignore[assignment]  # a view has no estimate, and few rows
    list_display_links = None

    list_select_related = ("trader",)
    ordering = ("trader__name",)

    @admin.display(description="Trader", ordering="trader__name")
    def trader_link(self, row: MonitoringEffectiveness | ManagementEffectiveness) -> str | SafeString:
        return link(row.trader)


@admin.register(MonitoringEffectiveness)
class MonitoringEffectivenessAdmin(PerTraderAdmin):
    """How setup monitoring turned out."""

    list_display = ("trader_link", "total_monitored", "entered_trades", "abandoned_setups", "hours", "win_rate")

    @admin.display(description="Hours to entry")
    def hours(self, row: MonitoringEffectiveness) -> str:
        return "–" if row.avg_hours_to_entry is None else f"{row.avg_hours_to_entry:.2f}"

    @admin.display(description="Won")
    def win_rate(self, row: MonitoringEffectiveness) -> str:
        return "–" if row.win_rate_after_monitoring is None else f"{row.win_rate_after_monitoring:.0%}"


@admin.register(ManagementEffectiveness)
class ManagementEffectivenessAdmin(PerTraderAdmin):
    """How position management turned out."""

    list_display = ("trader_link", "decisions", "stops", "targets", "exits", "retention", "win_rate")

    @admin.display(description="Decisions per trade")
    def decisions(self, row: ManagementEffectiveness) -> str:
        return f"{row.avg_decisions_per_trade or 0:.1f}"

    @admin.display(description="Stop moves")
    def stops(self, row: ManagementEffectiveness) -> str:
        return f"{row.avg_sl_adjustments or 0:.2f}"

    @admin.display(description="Target moves")
    def targets(self, row: ManagementEffectiveness) -> str:
        return f"{row.avg_tp_adjustments or 0:.2f}"

    @admin.display(description="Partial exits")
    def exits(self, row: ManagementEffectiveness) -> str:
        return f"{row.avg_partial_exits or 0:.2f}"

    @admin.display(description="Profit kept")
    def retention(self, row: ManagementEffectiveness) -> str:
        return "–" if row.profit_retention_ratio is None else f"{row.profit_retention_ratio:.0%}"

    @admin.display(description="Won")
    def win_rate(self, row: ManagementEffectiveness) -> str:
        return "–" if row.managed_win_rate is None else f"{row.managed_win_rate:.0%}"
