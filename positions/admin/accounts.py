"""Accounts, profiles and the paper exchange's books."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from monitoring.admin.base import KeptAdmin, RecordAdmin, page_link
from positions.models import ExchangeAccount, PaperBalance, PaperOrder, PaperPosition, PaperTrade, TradingProfile


@admin.register(ExchangeAccount)
class ExchangeAccountAdmin(KeptAdmin):
    """Where orders go."""

    owner_path = "user"
    list_display = ("name", "kind", "market", "is_live", "leverage", "reconciled_at", "user", "page")
    list_filter = ("kind", "market", "is_live")
    search_fields = ("name", "user__username")
    list_select_related = ("user",)
    autocomplete_fields = ("user",)

    @admin.display(description="")
    def page(self, account: ExchangeAccount) -> str:
        """Its API key, its arming, and whether it agrees with its exchange."""
        return page_link("account", account.id)

    def get_readonly_fields(self, request: HttpRequest, obj: ExchangeAccount | None = None) -> tuple[str, ...]:
        """Where it trades is settled once it has traded."""
        return ("kind", "market", "user") if obj and obj.positions.exists() else ()


@admin.register(TradingProfile)
class TradingProfileAdmin(KeptAdmin):
    """A trader's account and limits."""

    owner_path = "trader__user"
    list_display = ("trader", "account", "risk_per_trade_pct", "max_position_notional", "max_open_positions", "min_risk_reward")
    list_filter = ("account", "use_trailing_stop")
    search_fields = ("trader__name",)
    list_select_related = ("trader", "account")
    autocomplete_fields = ("trader", "account")


@admin.register(PaperBalance)
class PaperBalanceAdmin(KeptAdmin):
    """Cash of paper accounts."""

    owner_path = "account__user"
    list_display = ("account", "asset", "total")
    list_select_related = ("account",)


@admin.register(PaperPosition)
class PaperPositionAdmin(RecordAdmin):
    """What paper accounts hold."""

    owner_path = "account__user"
    list_display = ("account", "symbol", "quantity", "cost")
    list_filter = ("account",)
    search_fields = ("symbol",)
    list_select_related = ("account",)


@admin.register(PaperOrder)
class PaperOrderAdmin(RecordAdmin):
    """Orders as the paper exchange knows them."""

    owner_path = "account__user"
    list_display = ("id", "symbol", "side", "type", "quantity", "status", "filled", "client_order_id")
    list_filter = ("status", "type", "side")
    search_fields = ("symbol", "client_order_id")
    ordering = ("-id",)


@admin.register(PaperTrade)
class PaperTradeAdmin(RecordAdmin):
    """Fills at the paper exchange."""

    list_display = ("id", "order", "price", "quantity", "fee", "fee_currency")
    list_select_related = ("order",)
    ordering = ("-id",)
