"""Executions: one run of one version, with the graph it ran and what every node gave."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q

from monitoring import fields

from .sessions import NONE, WorkflowSession


class WorkflowExecution(models.Model):
    """
    A run. `outputs` and `node_runs` go by node id and grow while it runs, so that a run that dies keeps what was done.

    Only one is made for a version and a candle, whatever is delivered twice.
    """

    class Status(models.TextChoices):
        RUNNING = "running"
        COMPLETED = "completed"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class Trigger(models.TextChoices):
        MANUAL = "manual"
        CLOSE = "close"
        API = "api"

    id = fields.uuid_key()
    session = models.ForeignKey(WorkflowSession, on_delete=models.DO_NOTHING, related_name="executions", db_constraint=False)
    root_id = models.UUIDField()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    version = models.PositiveIntegerField()
    graph = fields.json_object(help_text="Nodes and edges as they were when it ran.")
    trigger = models.CharField(max_length=16, choices=Trigger, default=Trigger.MANUAL, db_default=Trigger.MANUAL)
    is_trial = models.BooleanField(default=False, db_default=False)  # raises no signal and tells nobody
    interval = models.CharField(max_length=8, blank=True, default="", db_default="")
    candle_time = models.BigIntegerField(null=True, blank=True)
    missing = ArrayField(models.CharField(max_length=128), default=list, db_default=NONE, blank=True)
    status = models.CharField(max_length=16, choices=Status, default=Status.RUNNING, db_default=Status.RUNNING)
    nodes_executed = models.PositiveIntegerField(default=0, db_default=0)
    outputs = fields.json_object()
    node_runs = fields.json_object(help_text='{node id: {"status": …, "ms": …, "at": …}}')
    error_message = fields.text()
    errors = fields.json_list(help_text='[{"node_id": …, "type": …, "message": …, "time": …}]')
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)  # real time; null until a worker has it
    started_at = models.DateTimeField(db_default=fields.AppNow())
    finished_at = models.DateTimeField(null=True, blank=True)
    duration = models.GeneratedField(
        expression=F("finished_at") - F("started_at"), output_field=models.DurationField(null=True), db_persist=True
    )

    class Meta:
        db_table = "workflow_executions"
        constraints = [
            models.UniqueConstraint(
                fields=["user", "session", "interval", "candle_time"],
                condition=Q(candle_time__isnull=False),
                name="execution_once_per_close",
            ),
            models.CheckConstraint(
                condition=Q(status="running", finished_at__isnull=True) | (~Q(status="running") & Q(finished_at__isnull=False)),
                name="execution_running_or_finished",
            ),
        ]
        indexes = [
            models.Index(fields=["user", "root_id", "-started_at"], name="execution_history"),
            models.Index(fields=["user", "-started_at"], name="execution_newest"),
            models.Index(fields=["user", "duration"], condition=Q(duration__isnull=False), name="execution_slow"),
            models.Index(fields=["session"], name="execution_of_version"),
            models.Index(fields=["lease_until"], condition=Q(status="running"), name="execution_running"),
            GinIndex(fields=["errors"], condition=~Q(errors=[]), opclasses=["jsonb_path_ops"], name="execution_errors"),
        ]

    def __str__(self) -> str:
        return f"run of {self.session_id} v{self.version}: {self.status}"
