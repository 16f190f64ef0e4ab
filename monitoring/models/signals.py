"""Signals and the checks that raised them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from monitoring import fields, intervals

from .market import MARKETS
from .traders import Side, Trader


class Signal(models.Model):
    """
    A trader's claim that a symbol is worth a look.

    Life: new, analyzing, monitoring, ready, in_position, closed; or expired at any point before a position.
    """

    class Status(models.TextChoices):
        NEW = "new"
        ANALYZING = "analyzing"
        MONITORING = "monitoring"
        READY = "ready"
        IN_POSITION = "in_position"
        CLOSED = "closed"
        EXPIRED = "expired"

    class Source(models.TextChoices):
        SCREEN = "screen"
        WEBHOOK = "webhook"
        ADMIN = "admin"
        SESSION = "session"
        SQL = "sql"

    id = fields.uuid_key()
    trader = models.ForeignKey(Trader, on_delete=models.PROTECT, related_name="signals")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    symbol = models.CharField(max_length=128)
    interval = models.CharField(max_length=8, choices=intervals.CHOICES)
    side = models.CharField(max_length=8, choices=Side, default=Side.LONG, db_default=Side.LONG)
    status = models.CharField(max_length=16, choices=Status, default=Status.NEW, db_default=Status.NEW)
    initial_price = fields.NumericField(null=True, blank=True)
    matched_conditions = fields.json_list()
    metadata = fields.json_object()
    source = models.CharField(max_length=16, choices=Source, default=Source.SQL, db_default=Source.SQL)
    external_id = models.CharField(max_length=200, null=True, blank=True)  # noqa: DJ001 - null means: no id was given
    reanalysis_count = models.PositiveIntegerField(default=0, db_default=0)
    created_at = fields.created_at()
    monitoring_started_at = models.DateTimeField(null=True, blank=True)
    position_opened_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    close_reason = fields.text()
    # Real time until which a worker holds the signal in a passing state; a sweep takes it back afterwards.
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    claimed_by = models.UUIDField(null=True, blank=True, editable=False)

    class Meta:
        db_table = "signals"
        constraints = [
            models.UniqueConstraint(fields=["trader", "external_id"], name="signal_once_per_external_id"),
            models.CheckConstraint(condition=Q(initial_price__isnull=True) | Q(initial_price__gt=0), name="signal_price_positive"),
        ]
        indexes = [
            models.Index(fields=["created_at"], condition=Q(status__in=["new", "analyzing", "ready"]), name="signal_in_passing_state"),
            models.Index(fields=["trader", "-created_at"], name="signal_by_trader"),
            models.Index(fields=["-created_at"], name="signal_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval} {self.side}"


class ScreeningCheck(models.Model):
    """One check of a trader's conditions on one closed candle; every one that was owed has exactly one row."""

    class Status(models.TextChoices):
        DUE = "due"
        FIRED = "fired"
        NO_MATCH = "no_match"
        STILL_MATCHING = "still_matching"
        NOT_READY = "not_ready"
        SKIPPED = "skipped"

    id = models.BigAutoField(primary_key=True)
    trader = models.ForeignKey(Trader, on_delete=models.CASCADE, related_name="screenings")
    market = models.CharField(max_length=32, choices=MARKETS)
    symbol = models.CharField(max_length=128)
    interval = models.CharField(max_length=8, choices=intervals.CHOICES)
    candle_time = models.BigIntegerField()
    status = models.CharField(max_length=16, choices=Status, default=Status.DUE, db_default=Status.DUE)
    reason = fields.text()
    signal = models.ForeignKey(Signal, on_delete=models.SET_NULL, null=True, blank=True, related_name="screenings")
    created_at = fields.created_at()

    class Meta:
        db_table = "screenings"
        constraints = [models.UniqueConstraint(fields=["trader", "symbol", "interval", "candle_time"], name="screening_once")]
        indexes = [
            models.Index(fields=["market", "interval", "candle_time"], condition=Q(status="due"), name="screening_due"),
            models.Index(fields=["-created_at"], name="screening_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval} {self.candle_time}: {self.status}"
