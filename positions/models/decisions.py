"""What was decided about an open position at a close."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from monitoring import fields
from monitoring.models import Signal, SignalAnalysis, WorkflowRun

from .positions import Position


class PositionManagementDecision(models.Model):
    """One decision at one close. P&L in quote and in percent of the cost; `timestamp` is the candle's close time."""

    class Action(models.TextChoices):
        HOLD = "hold"
        ADJUST_SL = "adjust_sl"
        ADJUST_TP = "adjust_tp"
        ADD = "add"
        REDUCE = "reduce"
        CLOSE = "close"

    id = fields.uuid_key()
    run = models.OneToOneField(WorkflowRun, on_delete=models.PROTECT, related_name="management_decision")
    position = models.ForeignKey(Position, on_delete=models.PROTECT, related_name="decisions")
    signal = models.ForeignKey(Signal, on_delete=models.SET_NULL, null=True, blank=True, related_name="management_decisions")
    timestamp = models.DateTimeField()
    candle_time = models.BigIntegerField()
    current_pnl = fields.NumericField()
    current_pnl_pct = fields.NumericField()
    position_size = fields.NumericField()
    action = models.CharField(max_length=16, choices=Action)
    confidence = fields.NumericField()
    reasoning = models.TextField()
    action_details = fields.json_object()
    market_price = fields.NumericField()
    indicators = fields.json_object()
    risk_assessment = fields.json_object()
    outcome = models.CharField(max_length=200, default="", db_default="", blank=True, help_text="applied, or denied with the reason.")
    analysis = models.ForeignKey(SignalAnalysis, on_delete=models.PROTECT, related_name="management_decisions")
    created_at = fields.created_at()

    class Meta:
        db_table = "position_management_decisions"
        constraints = [
            models.CheckConstraint(
                condition=Q(action__in=["hold", "adjust_sl", "adjust_tp", "add", "reduce", "close"]), name="management_action_is_known"
            ),
            models.CheckConstraint(condition=Q(confidence__gte=0, confidence__lte=1), name="management_confidence_is_fraction"),
        ]
        indexes = [
            models.Index(fields=["position", "-timestamp"], name="management_by_position"),
            models.Index(fields=["-timestamp"], name="management_newest"),
            models.Index(fields=["signal"], condition=Q(signal__isnull=False), name="management_by_signal"),
            models.Index(fields=["created_at"], condition=Q(outcome=""), name="management_not_acted_on"),
        ]

    def __str__(self) -> str:
        return f"{self.action} at {self.market_price}"
