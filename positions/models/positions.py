"""Positions: what is held, what it cost, and what protects it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from monitoring import fields
from monitoring.models import Signal, Trader
from monitoring.models.market import MARKETS
from monitoring.models.traders import Side

from .accounts import ExchangeAccount


class Position(models.Model):
    """
    One position from its entry until it is flat.

    `contracts` is the size held in base, always positive; `cost` what that size cost in quote, so that profit is
    exact where an average price would round. Realized profit is before fees; `fees` are in quote.
    """

    class Status(models.TextChoices):
        OPENING = "opening"
        OPEN = "open"
        CLOSING = "closing"
        CLOSED = "closed"

    id = fields.uuid_key()
    account = models.ForeignKey(ExchangeAccount, on_delete=models.PROTECT, related_name="positions")
    trader = models.ForeignKey(Trader, on_delete=models.PROTECT, related_name="positions")
    signal = models.ForeignKey(Signal, on_delete=models.PROTECT, null=True, blank=True, related_name="positions")
    market = models.CharField(max_length=32, choices=MARKETS)
    symbol = models.CharField(max_length=128)
    side = models.CharField(max_length=8, choices=Side)
    status = models.CharField(max_length=16, choices=Status, default=Status.OPENING, db_default=Status.OPENING)
    contracts = fields.NumericField(default=0, db_default=0)
    planned_contracts = fields.NumericField(default=0, db_default=0)  # what the risk gate approved for the entry
    initial_contracts = fields.NumericField(default=0, db_default=0)
    cost = fields.NumericField(default=0, db_default=0)
    entry_price = fields.NumericField(null=True, blank=True)
    stop_loss = fields.NumericField(null=True, blank=True)
    initial_stop_loss = fields.NumericField(null=True, blank=True)
    take_profit = fields.NumericField(null=True, blank=True)
    realized_pnl = fields.NumericField(default=0, db_default=0)
    unrealized_pnl = fields.NumericField(default=0, db_default=0)
    max_pnl = fields.NumericField(default=0, db_default=0)
    fees = fields.NumericField(default=0, db_default=0)
    unprotected_seconds = fields.NumericField(default=0, db_default=0)
    unprotected_since = models.DateTimeField(null=True, blank=True, editable=False)
    opened_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    close_reason = models.CharField(max_length=64, blank=True, default="", db_default="")
    created_at = fields.created_at()
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)  # real time, while opening or closing

    class Meta:
        db_table = "positions"
        permissions = [("manage_position", "Can close and reduce positions and move their stops by hand")]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "market", "symbol"], condition=~Q(status="closed"), name="position_one_open_per_symbol"
            ),
            models.UniqueConstraint(fields=["signal"], condition=Q(signal__isnull=False), name="position_one_per_signal"),
            models.CheckConstraint(condition=Q(contracts__gte=0, cost__gte=0, fees__gte=0), name="position_amounts_not_negative"),
            models.CheckConstraint(condition=~Q(status="closed") | Q(contracts=0, closed_at__isnull=False), name="position_closed_is_flat"),
        ]
        indexes = [
            models.Index(fields=["market", "symbol"], condition=~Q(status="closed"), name="position_open_by_symbol"),
            models.Index(fields=["trader", "-opened_at"], name="position_by_trader"),
            models.Index(fields=["-created_at"], name="position_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.side} {self.contracts.normalize() if self.contracts else 0}"

    @property
    def sign(self) -> int:
        """+1 for long, -1 for short."""
        return 1 if self.side == Side.LONG else -1
