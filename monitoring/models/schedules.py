"""Workflows and the ledger of the closes they were owed."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from monitoring import fields, intervals

from .market import MARKETS
from .traders import Trader


class WorkflowType(models.TextChoices):
    """What is judged at every close: a signal that waits, or an open position."""

    SIGNAL_MONITORING = "signal_monitoring"
    POSITION_MANAGEMENT = "position_management"


class WorkflowSchedule(models.Model):
    """
    The state of one workflow. `entity_id` is the signal's or the position's key.

    `last_candle_time` only ever rises: a close is due when it is newer.
    """

    class StopReason(models.TextChoices):
        DECISION_CHANGED = "decision_changed"
        MAX_REANALYSES = "max_reanalyses"
        MAX_DURATION = "max_duration"
        POSITION_CLOSED = "position_closed"
        ERROR_LIMIT_EXCEEDED = "error_limit_exceeded"
        OPERATOR = "operator"
        SIGNAL_GONE = "signal_gone"

    id = fields.uuid_key()
    workflow_type = models.CharField(max_length=32, choices=WorkflowType)
    entity_id = models.UUIDField()
    trader = models.ForeignKey(Trader, on_delete=models.PROTECT, related_name="schedules")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    market = models.CharField(max_length=32, choices=MARKETS, db_default="binance")
    symbol = models.CharField(max_length=128)
    interval = models.CharField(max_length=8, choices=intervals.CHOICES)
    last_run_at = models.DateTimeField(null=True, blank=True)
    last_candle_time = models.BigIntegerField(null=True, blank=True)
    execution_count = models.PositiveIntegerField(default=0, db_default=0)
    consecutive_errors = models.PositiveIntegerField(default=0, db_default=0)
    last_error = fields.text()
    last_error_at = models.DateTimeField(null=True, blank=True)
    is_active = models.BooleanField(default=True, db_default=True)
    started_at = models.DateTimeField(db_default=fields.AppNow())
    stopped_at = models.DateTimeField(null=True, blank=True)
    stop_reason = models.CharField(max_length=32, choices=StopReason, blank=True, default="", db_default="")
    stop_note = fields.text()
    created_at = fields.created_at()
    updated_at = models.DateTimeField(db_default=fields.AppNow(), editable=False)  # kept by a trigger

    class Meta:
        db_table = "workflow_schedules"
        constraints = [
            models.UniqueConstraint(
                fields=["workflow_type", "entity_id"], condition=Q(is_active=True), name="schedule_one_active_per_entity"
            ),
            models.CheckConstraint(
                condition=Q(is_active=True, stopped_at__isnull=True) | Q(is_active=False, stopped_at__isnull=False),
                name="schedule_active_or_stopped",
            ),
        ]
        indexes = [
            models.Index(fields=["symbol", "interval"], condition=Q(is_active=True), name="schedule_active_by_symbol"),
            # Who stopped between a close and its arrival is still owed it.
            models.Index(fields=["symbol", "interval", "stopped_at"], condition=Q(is_active=False), name="schedule_stopped_by_symbol"),
            models.Index(fields=["workflow_type", "entity_id"], name="schedule_by_entity"),
            models.Index(fields=["trader", "is_active"], name="schedule_by_trader"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval} {self.workflow_type}"


class WorkflowRun(models.Model):
    """
    One row of the close ledger: a closed candle that a workflow was owed, and what came of it.

    due and claimed are on their way; decided, skipped, failed and late are final.
    """

    class Status(models.TextChoices):
        DUE = "due"
        CLAIMED = "claimed"
        DECIDED = "decided"
        SKIPPED = "skipped"
        FAILED = "failed"
        LATE = "late"

    FINAL = (Status.DECIDED, Status.SKIPPED, Status.FAILED, Status.LATE)

    id = fields.uuid_key()
    schedule = models.ForeignKey(WorkflowSchedule, on_delete=models.PROTECT, related_name="runs")
    candle_time = models.BigIntegerField()
    status = models.CharField(max_length=16, choices=Status, default=Status.DUE, db_default=Status.DUE)
    reason = fields.text()
    gap = fields.text()  # why the close had to be fetched; empty when it came by the stream
    attempt = models.PositiveIntegerField(default=0, db_default=0)
    claimed_by = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)  # real time
    claimed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    close_to_decision_ms = models.BigIntegerField(null=True, blank=True)
    created_at = fields.created_at()

    class Meta:
        db_table = "workflow_runs"
        constraints = [
            models.UniqueConstraint(fields=["schedule", "candle_time"], name="run_once_per_close"),
            models.CheckConstraint(
                condition=Q(status__in=["due", "claimed"], finished_at__isnull=True)
                | Q(status__in=["decided", "skipped", "failed", "late"], finished_at__isnull=False),
                name="run_final_means_finished",
            ),
        ]
        indexes = [
            # What a worker claims and what the sweep looks for; stays small whatever the age of the ledger.
            models.Index(fields=["candle_time"], condition=Q(status__in=["due", "claimed"]), name="run_open"),
            models.Index(fields=["-created_at"], name="run_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.candle_time}: {self.status} {self.reason}".strip()
