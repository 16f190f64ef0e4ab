"""The journal of orders and what they filled."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from monitoring import fields
from monitoring.models import SignalAnalysis

from .accounts import ExchangeAccount
from .positions import Position


class Order(models.Model):
    """
    An order from intent to outcome. The row is committed before the exchange is called (P4).

    `unknown` means that the answer was unclear: the exchange is asked by client order id before anything else is sent.
    """

    class Cause(models.TextChoices):
        DECISION = "decision"
        RULE = "rule"
        OPERATOR = "operator"
        RECONCILIATION = "reconciliation"

    class Leg(models.TextChoices):
        ENTRY = "entry"
        STOP = "stop"
        TARGET = "target"
        ADD = "add"
        REDUCE = "reduce"
        CLOSE = "close"

    class Status(models.TextChoices):
        INTENDED = "intended"
        SENT = "sent"
        OPEN = "open"
        PARTIALLY_FILLED = "partially_filled"
        FILLED = "filled"
        CANCELED = "canceled"
        REJECTED = "rejected"
        UNKNOWN = "unknown"

    LIVE = (Status.INTENDED, Status.SENT, Status.OPEN, Status.PARTIALLY_FILLED, Status.UNKNOWN)
    ADDS_EXPOSURE = (Leg.ENTRY, Leg.ADD)

    id = fields.uuid_key()
    position = models.ForeignKey(Position, on_delete=models.PROTECT, related_name="orders")
    account = models.ForeignKey(ExchangeAccount, on_delete=models.PROTECT, related_name="+")
    cause = models.CharField(max_length=16, choices=Cause)
    cause_id = models.CharField(max_length=64, blank=True, default="", db_default="")
    analysis = models.ForeignKey(SignalAnalysis, on_delete=models.PROTECT, null=True, blank=True, related_name="orders")
    leg = models.CharField(max_length=8, choices=Leg)
    generation = models.PositiveIntegerField(default=0, db_default=0)
    side = models.CharField(max_length=4, choices=[("buy", "buy"), ("sell", "sell")])
    type = models.CharField(max_length=16, choices=[(t, t.replace("_", " ")) for t in ("market", "limit", "stop_market")])
    quantity = fields.NumericField()
    price = fields.NumericField(null=True, blank=True)
    trigger_price = fields.NumericField(null=True, blank=True)
    reduce_only = models.BooleanField(default=False, db_default=False)
    client_order_id = models.CharField(max_length=32, unique=True)
    exchange_order_id = models.CharField(max_length=64, blank=True, default="", db_default="")
    status = models.CharField(max_length=20, choices=Status, default=Status.INTENDED, db_default=Status.INTENDED)
    filled = fields.NumericField(default=0, db_default=0)
    average_price = fields.NumericField(null=True, blank=True)
    intended_at = models.DateTimeField(db_default=fields.AppNow())
    sent_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error = fields.text()

    class Meta:
        db_table = "orders"
        constraints = [
            models.UniqueConstraint(fields=["position", "cause_id", "leg", "generation"], name="order_once_per_intent"),
            models.CheckConstraint(
                condition=Q(quantity__gt=0, filled__gte=0, filled__lte=models.F("quantity")), name="order_amounts_in_bounds"
            ),
        ]
        indexes = [
            models.Index(
                fields=["position", "leg"],
                condition=Q(status__in=["intended", "sent", "open", "partially_filled", "unknown"]),
                name="order_live_by_position",
            ),
            models.Index(fields=["-intended_at"], name="order_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.leg} {self.side} {self.quantity} ({self.status})"


class Fill(models.Model):
    """A trade at the exchange that filled part of an order; unique by the exchange's own trade id."""

    id = fields.uuid_key()
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="fills")
    account = models.ForeignKey(ExchangeAccount, on_delete=models.PROTECT, related_name="+")
    exchange_trade_id = models.CharField(max_length=64)
    price = fields.NumericField()
    quantity = fields.NumericField()
    fee = fields.NumericField(default=0, db_default=0)
    fee_currency = models.CharField(max_length=32, blank=True, default="", db_default="")
    realized = fields.NumericField(null=True, blank=True)  # the venue's own figure of the profit before fees, where it has one
    at = models.DateTimeField()

    class Meta:
        db_table = "fills"
        constraints = [
            models.UniqueConstraint(fields=["account", "exchange_trade_id"], name="fill_once_per_trade"),
            models.CheckConstraint(condition=Q(price__gt=0, quantity__gt=0), name="fill_amounts_positive"),
        ]
        indexes = [models.Index(fields=["-at"], name="fill_newest")]

    def __str__(self) -> str:
        return f"{self.quantity} at {self.price}"
