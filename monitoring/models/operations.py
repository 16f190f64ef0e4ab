"""The installation itself: which clock and data source it belongs to, who is alive, what is being spent."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from monitoring import fields


class Installation(models.Model):
    """One row: the clock and the data source of this database. A process that was started with others refuses."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    market_source = models.TextField()
    clock_epoch = fields.NumericField()  # unix seconds
    clock_speed = fields.NumericField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "installation"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="installation_is_one_row")]

    def __str__(self) -> str:
        return f"{self.market_source} at {self.clock_speed}x"


class Heartbeat(models.Model):
    """A process that is alive, and what it says of itself. Times are real."""

    id = fields.uuid_key()
    kind = models.CharField(max_length=32)
    instance = models.CharField(max_length=120)
    started_at = models.DateTimeField()
    beat_at = models.DateTimeField()
    state = fields.json_object()

    class Meta:
        db_table = "heartbeats"
        constraints = [models.UniqueConstraint(fields=["kind", "instance"], name="heartbeat_once_per_process")]

    def __str__(self) -> str:
        return f"{self.kind} {self.instance}"
