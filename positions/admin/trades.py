"""Positions, orders, fills and what was decided about them."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from monitoring.admin.base import LogAdmin, RecordAdmin, all_fields, join, link, list_link, number, page_link, pretty, tag
from positions.models import Fill, Order, Position, PositionManagementDecision

STATUS_TONES = {"open": "good", "opening": "info", "closing": "warn", "closed": "quiet"}
ORDER_TONES = {"filled": "good", "open": "info", "partially_filled": "info", "rejected": "bad", "unknown": "bad", "canceled": "quiet"}
ACTION_TONES = {"hold": "quiet", "close": "bad", "reduce": "bad", "adjust_sl": "warn", "adjust_tp": "warn", "add": "good"}


@admin.register(Position)
class PositionAdmin(RecordAdmin):
    """Positions from entry to flat."""

    owner_path = "trader__user"
    list_display = ("name", "status_tag", "size", "entry", "stop", "target", "result", "trader", "opened_at", "more")
    list_filter = ("status", "side", "close_reason", "account", "trader")
    search_fields = ("symbol", "trader__name", "close_reason")
    list_select_related = ("trader", "account", "signal")
    when_field = "created_at"
    ordering = ("-created_at",)
    readonly_fields = ("signal_link", "more")
    fields = (*all_fields(Position, without=("id", "signal", "lease_until")), *readonly_fields)

    @admin.display(description="Position", ordering="symbol")
    def name(self, row: Position) -> str:
        return f"{row.symbol} {row.side}"

    @admin.display(description="Status", ordering="status")
    def status_tag(self, row: Position) -> SafeString:
        return tag(row.get_status_display(), STATUS_TONES[row.status])

    @admin.display(description="Size", ordering="contracts")
    def size(self, row: Position) -> str:
        return number(row.contracts or row.initial_contracts)

    @admin.display(description="Entry", ordering="entry_price")
    def entry(self, row: Position) -> str:
        return number(row.entry_price)

    @admin.display(description="Stop", ordering="stop_loss")
    def stop(self, row: Position) -> str:
        return number(row.stop_loss)

    @admin.display(description="Target", ordering="take_profit")
    def target(self, row: Position) -> str:
        return number(row.take_profit)

    @admin.display(description="P&L after fees")
    def result(self, row: Position) -> SafeString:
        net = row.realized_pnl + row.unrealized_pnl - row.fees
        return tag(f"{net:+.2f}", "good" if net > 0 else "bad" if net < 0 else "quiet")

    @admin.display(description="Signal")
    def signal_link(self, row: Position) -> str | SafeString:
        return link(row.signal)

    @admin.display(description="Records")
    def more(self, row: Position) -> SafeString:
        parts = (
            page_link("position", row.pk),
            list_link("positions_order", "orders", position__id__exact=row.pk),
            list_link("positions_positionmanagementdecision", "decisions", position__id__exact=row.pk),
            list_link("monitoring_workflowschedule", "workflow", entity_id=row.pk),
        )
        return join(parts)


@admin.register(Order)
class OrderAdmin(LogAdmin):
    """The order journal."""

    owner_path = "position__trader__user"
    list_display = ("intended_at", "position_link", "leg", "side", "type", "amount", "status_tag", "average", "cause", "why", "fills")
    list_filter = ("status", "leg", "side", "type", "cause")
    search_fields = ("position__symbol", "client_order_id", "exchange_order_id", "error")
    list_select_related = ("position", "analysis")
    log_field = "intended_at"
    readonly_fields = ("position_link", "why", "fills")
    fields = (*all_fields(Order, without=("id", "position", "analysis")), *readonly_fields)

    @admin.display(description="Position", ordering="position__symbol")
    def position_link(self, row: Order) -> str | SafeString:
        return link(row.position, row.position.symbol)

    @admin.display(description="Quantity", ordering="quantity")
    def amount(self, row: Order) -> str:
        return number(row.quantity)

    @admin.display(description="Status", ordering="status")
    def status_tag(self, row: Order) -> SafeString:
        return tag(row.get_status_display(), ORDER_TONES.get(row.status, "warn"))

    @admin.display(description="Price")
    def average(self, row: Order) -> str:
        return number(row.average_price or row.trigger_price or row.price)

    @admin.display(description="Decision")
    def why(self, row: Order) -> str | SafeString:
        return link(row.analysis, "why")

    @admin.display(description="Fills")
    def fills(self, row: Order) -> SafeString:
        return list_link("positions_fill", "fills", order__id__exact=row.pk)


@admin.register(Fill)
class FillAdmin(LogAdmin):
    """What really traded."""

    owner_path = "order__position__trader__user"
    list_display = ("at", "order_link", "amount", "at_price", "fee", "fee_currency", "why")
    list_filter = ("order__leg", "fee_currency")
    search_fields = ("exchange_trade_id", "order__client_order_id", "order__position__symbol")
    list_select_related = ("order__position", "order__analysis")
    log_field = "at"

    @admin.display(description="Order")
    def order_link(self, row: Fill) -> str | SafeString:
        return link(row.order, f"{row.order.position.symbol} {row.order.leg}")

    @admin.display(description="Quantity")
    def amount(self, row: Fill) -> str:
        return number(row.quantity)

    @admin.display(description="Price")
    def at_price(self, row: Fill) -> str:
        return number(row.price)

    @admin.display(description="Decision")
    def why(self, row: Fill) -> str | SafeString:
        return link(row.order.analysis, "why")


@admin.register(PositionManagementDecision)
class PositionManagementDecisionAdmin(LogAdmin):
    """What was decided about open positions."""

    owner_path = "position__trader__user"
    list_display = ("timestamp", "position_link", "action_tag", "pnl", "confidence_text", "outcome", "reason", "analysis_link")
    list_filter = ("action", "position__trader")
    search_fields = ("position__symbol", "reasoning", "outcome")
    list_select_related = ("position", "analysis")
    log_field = "timestamp"
    readonly_fields = ("details", "values", "risk", "position_link", "analysis_link")
    fields = (
        *all_fields(PositionManagementDecision, without=("id", "action_details", "indicators", "risk_assessment", "position", "analysis")),
        *readonly_fields,
    )

    @admin.display(description="Position", ordering="position__symbol")
    def position_link(self, row: PositionManagementDecision) -> str | SafeString:
        return link(row.position, row.position.symbol)

    @admin.display(description="Action", ordering="action")
    def action_tag(self, row: PositionManagementDecision) -> SafeString:
        return tag(row.get_action_display(), ACTION_TONES[row.action])

    @admin.display(description="P&L", ordering="current_pnl")
    def pnl(self, row: PositionManagementDecision) -> str:
        return f"{row.current_pnl:+.2f} ({row.current_pnl_pct:+.2f} %)"

    @admin.display(description="Conf.", ordering="confidence")
    def confidence_text(self, row: PositionManagementDecision) -> str:
        return f"{row.confidence:.2f}"

    @admin.display(description="Reasoning")
    def reason(self, row: PositionManagementDecision) -> str:
        return row.reasoning[:120]

    @admin.display(description="Analysis")
    def analysis_link(self, row: PositionManagementDecision) -> str | SafeString:
        return link(row.analysis, "why")

    @admin.display(description="Details")
    def details(self, row: PositionManagementDecision) -> SafeString:
        return pretty(row.action_details)

    @admin.display(description="Indicators")
    def values(self, row: PositionManagementDecision) -> SafeString:
        return pretty(row.indicators)

    @admin.display(description="Risk assessment")
    def risk(self, row: PositionManagementDecision) -> SafeString:
        return pretty(row.risk_assessment)
