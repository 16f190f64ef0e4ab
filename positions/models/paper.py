"""
The paper exchange's own books: what the venue knows, as opposed to what our journal believes.

They are kept apart from `orders` and `fills` so that a lost answer can be resolved by asking the venue,
exactly as with a real one.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from monitoring import fields

from .accounts import ExchangeAccount


class PaperBalance(models.Model):
    """Cash of one asset in a paper account."""

    id = fields.uuid_key()
    account = models.ForeignKey(ExchangeAccount, on_delete=models.CASCADE, related_name="paper_balances")
    asset = models.CharField(max_length=32)
    total = fields.NumericField(default=0, db_default=0)

    class Meta:
        db_table = "paper_balances"
        constraints = [models.UniqueConstraint(fields=["account", "asset"], name="paper_balance_once_per_asset")]

    def __str__(self) -> str:
        return f"{self.total} {self.asset}"


class PaperPosition(models.Model):
    """What a paper account holds of one symbol: signed quantity in base, and its cost in quote."""

    id = fields.uuid_key()
    account = models.ForeignKey(ExchangeAccount, on_delete=models.CASCADE, related_name="paper_positions")
    symbol = models.CharField(max_length=128)
    quantity = fields.NumericField(default=0, db_default=0)
    cost = fields.NumericField(default=0, db_default=0)

    class Meta:
        db_table = "paper_positions"
        constraints = [models.UniqueConstraint(fields=["account", "symbol"], name="paper_position_once_per_symbol")]

    def __str__(self) -> str:
        return f"{self.quantity} {self.symbol}"


class PaperOrder(models.Model):
    """An order as the paper exchange keeps it. `created_ms` and `matched_until` are app time in milliseconds."""

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(ExchangeAccount, on_delete=models.CASCADE, related_name="paper_orders")
    client_order_id = models.CharField(max_length=36)
    symbol = models.CharField(max_length=128)
    side = models.CharField(max_length=4)
    type = models.CharField(max_length=16)
    quantity = fields.NumericField()
    price = fields.NumericField(null=True, blank=True)
    trigger_price = fields.NumericField(null=True, blank=True)
    reduce_only = models.BooleanField(default=False)
    status = models.CharField(max_length=20, default="open", db_default="open")
    filled = fields.NumericField(default=0, db_default=0)
    quote_filled = fields.NumericField(default=0, db_default=0)
    created_ms = models.BigIntegerField()
    matched_until = models.BigIntegerField(null=True, blank=True)

    class Meta:
        db_table = "paper_orders"
        constraints = [models.UniqueConstraint(fields=["account", "client_order_id"], name="paper_order_once")]
        indexes = [models.Index(fields=["symbol"], condition=Q(status="open"), name="paper_order_open_by_symbol")]

    def __str__(self) -> str:
        return f"{self.type} {self.side} {self.quantity} {self.symbol} ({self.status})"


class PaperTrade(models.Model):
    """A fill at the paper exchange; its key is the trade id."""

    id = models.BigAutoField(primary_key=True)
    order = models.ForeignKey(PaperOrder, on_delete=models.CASCADE, related_name="trades")
    price = fields.NumericField()
    quantity = fields.NumericField()
    fee = fields.NumericField()
    fee_currency = models.CharField(max_length=32)
    at_ms = models.BigIntegerField()

    class Meta:
        db_table = "paper_trades"

    def __str__(self) -> str:
        return f"{self.quantity} at {self.price}"
