"""What was asked, what was answered, and what was decided."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from monitoring import fields

from .schedules import WorkflowRun
from .signals import Signal
from .traders import Trader


class SignalAnalysis(models.Model):
    """One question put to an analyst, with everything needed to explain or replay the answer."""

    class Kind(models.TextChoices):
        INITIAL = "initial"
        MONITORING = "monitoring"
        MANAGEMENT = "management"
        CUSTOM = "custom"

    id = fields.uuid_key()
    kind = models.CharField(max_length=16, choices=Kind)
    signal = models.ForeignKey(Signal, on_delete=models.PROTECT, null=True, blank=True, related_name="analyses")
    run = models.ForeignKey(WorkflowRun, on_delete=models.PROTECT, null=True, blank=True, related_name="analyses")
    trader = models.ForeignKey(Trader, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    asked_by = models.CharField(max_length=120, blank=True, default="", db_default="")  # of a custom question: what asked it
    decision = models.CharField(max_length=16, null=True, blank=True)  # noqa: DJ001 - null: there was no decision
    confidence = fields.NumericField(null=True, blank=True)
    reasoning = fields.text()
    outcome = models.CharField(max_length=16, default="ok", db_default="ok")
    error = fields.text()
    analyst = models.CharField(max_length=16)
    model = models.CharField(max_length=120, blank=True, default="", db_default="")
    prompt_version = models.CharField(max_length=40, blank=True, default="", db_default="")
    request = fields.json_object()
    raw_response = fields.text()
    answer = fields.json_object(help_text="The validated answer, as the workflow acted on it.")
    snapshot = fields.json_object()
    prompt_tokens = models.PositiveIntegerField(null=True, blank=True)
    completion_tokens = models.PositiveIntegerField(null=True, blank=True)
    cost_usd = fields.NumericField(null=True, blank=True)
    latency_ms = models.PositiveIntegerField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=1, db_default=1)
    attempt_log = fields.json_list(help_text="Every attempt, retries and fallbacks included: of whom, when, and what became of it.")
    response_headers = fields.json_object()
    ungrounded = fields.json_list(help_text="Numbers of the answer that are not in the snapshot.")
    candle_time = models.BigIntegerField(null=True, blank=True)
    trace_id = models.CharField(max_length=32, blank=True, default="", db_default="")
    created_at = fields.created_at()

    class Meta:
        db_table = "signal_analyses"
        verbose_name_plural = "signal analyses"
        constraints = [
            models.UniqueConstraint(fields=["signal"], condition=Q(kind="initial"), name="analysis_one_initial_per_signal"),
            models.CheckConstraint(
                condition=Q(outcome="ok", decision__isnull=False) | (~Q(outcome="ok") & Q(decision__isnull=True)),
                name="analysis_no_decision_is_named",
            ),
            models.CheckConstraint(condition=Q(kind="custom") | Q(trader__isnull=False), name="analysis_of_a_trader_unless_custom"),
        ]
        indexes = [
            models.Index(fields=["signal", "-created_at"], name="analysis_by_signal"),
            models.Index(fields=["-created_at"], name="analysis_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.decision or self.outcome}"


class MonitoringDecision(models.Model):
    """What an analyst decided on a waiting setup at one close. `timestamp` is the candle's close time."""

    id = fields.uuid_key()
    run = models.OneToOneField(WorkflowRun, on_delete=models.PROTECT, related_name="monitoring_decision")
    signal = models.ForeignKey(Signal, on_delete=models.PROTECT, related_name="decisions")
    timestamp = models.DateTimeField()
    candle_time = models.BigIntegerField()
    price = fields.NumericField()
    volume = fields.NumericField()
    decision = models.CharField(max_length=16)
    confidence = fields.NumericField()
    reasoning = models.TextField()
    trade_plan = models.JSONField(null=True, blank=True)
    indicators = fields.json_object()
    market_conditions = fields.json_object()
    outcome = models.CharField(max_length=120, default="applied", db_default="applied", help_text="applied, or denied with the reason.")
    analysis = models.ForeignKey(SignalAnalysis, on_delete=models.PROTECT, related_name="monitoring_decisions")
    created_at = fields.created_at()

    class Meta:
        db_table = "monitoring_decisions"
        constraints = [
            models.CheckConstraint(condition=Q(decision__in=["enter", "continue", "abandon"]), name="monitoring_decision_is_known"),
            models.CheckConstraint(condition=Q(confidence__gte=0, confidence__lte=1), name="monitoring_confidence_is_fraction"),
        ]
        indexes = [
            models.Index(fields=["signal", "-timestamp"], name="monitoring_by_signal"),
            models.Index(fields=["-timestamp"], name="monitoring_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.decision} at {self.price}"
