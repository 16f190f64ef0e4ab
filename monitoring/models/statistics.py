"""Sums of what never changes again, so that statistics over years need not read every row."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from monitoring import fields, intervals

from .traders import Trader


class RolledDay(models.Model):
    """A day whose questions are summed up, or being summed up. Days are rolled in order, without a gap."""

    day = models.DateField(primary_key=True)  # UTC, of the app clock
    asked_at = models.DateTimeField(db_default=Now())  # real time
    rolled_at = models.DateTimeField(null=True, blank=True)  # real time

    class Meta:
        db_table = "rolled_days"
        indexes = [models.Index(fields=["-day"], condition=models.Q(rolled_at__isnull=False), name="rolled_day_newest")]

    def __str__(self) -> str:
        return f"{self.day}"


class QuestionDay(models.Model):
    """
    The questions to analysts of one day that are alike in everything they are grouped by.

    Sums are over all questions of the row; `failed` leaves out what a switch or a budget refused, `counted` are those whose tokens are
    known. `latency_steps` and `latency_counts`, in pairs, are the distribution that percentiles are read from.
    """

    id = models.BigAutoField(primary_key=True)
    day = models.DateField()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    trader = models.ForeignKey(Trader, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    symbol = models.CharField(max_length=128, null=True, blank=True)  # noqa: DJ001 - null: about no signal
    interval = models.CharField(max_length=8, choices=intervals.CHOICES, null=True, blank=True)  # noqa: DJ001
    kind = models.CharField(max_length=16)
    analyst = models.CharField(max_length=16)
    model = models.CharField(max_length=120)
    prompt_version = models.CharField(max_length=40)
    asked_model = models.BooleanField()
    questions = models.IntegerField()
    decided = models.IntegerField()
    failed = models.IntegerField()
    counted = models.IntegerField()
    tokens = models.BigIntegerField()
    latency_ms = models.BigIntegerField()
    cost_usd = fields.NumericField()
    latency_steps = ArrayField(models.SmallIntegerField())
    latency_counts = ArrayField(models.IntegerField())

    class Meta:
        db_table = "question_days"
        constraints = [
            models.UniqueConstraint(
                fields=["day", "user", "trader", "symbol", "interval", "kind", "analyst", "model", "prompt_version", "asked_model"],
                nulls_distinct=False,
                name="question_day_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.trader_id} {self.kind}: {self.questions}"
