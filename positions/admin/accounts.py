"""Accounts, profiles and the paper exchange's books."""

from __future__ import annotations

from django.contrib import admin

from monitoring.admin.base import KeptAdmin, RecordAdmin
from positions.models import ExchangeAccount, PaperBalance, PaperOrder, PaperPosition, PaperTrade, TradingProfile


@admin.register(ExchangeAccount)
class ExchangeAccountAdmin(KeptAdmin):
    """Where orders go."""

    owner_path = "user"
    list_display = ("name", "kind", "market", "is_live", "leverage", "taker_fee_rate", "slippage_rate", "user")
    list_filter = ("kind", "market", "is_live")
    search_fields = ("name", "user__username")
    list_select_related = ("user",)
    autocomplete_fields = ("user",)


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
