"""What the desk tells people: the event log and notifications."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from monitoring import fields

from .schedules import WorkflowSchedule
from .signals import Signal
from .traders import Trader

TOLD_ONCE = ["queue_behind", "queue_caught_up", "flatten_progress"]


class Event(models.Model):
    """
    Something an operator may want to see. Append-only.

    `seq` is given at commit by a trigger, in commit order; identity order is not commit order, and a reader
    that tails by `id` loses rows. What an event concerns is a plain key without a constraint: the log outlives
    its subjects, and a position lives on a higher floor.
    """

    class Level(models.TextChoices):
        INFO = "info"
        WARNING = "warning"
        CRITICAL = "critical"

    id = models.BigAutoField(primary_key=True)
    seq = models.BigIntegerField(null=True, unique=True, editable=False)
    xid = models.BigIntegerField(null=True, editable=False)  # transaction whose rows still wait for their place
    at = models.DateTimeField(db_default=fields.AppNow())
    kind = models.CharField(max_length=40)
    level = models.CharField(max_length=16, choices=Level, default=Level.INFO, db_default=Level.INFO)
    text = fields.text()
    data = fields.json_object()
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, null=True, blank=True, related_name="+"
    )
    trader = models.ForeignKey(Trader, on_delete=models.DO_NOTHING, db_constraint=False, null=True, blank=True, related_name="+")
    signal = models.ForeignKey(Signal, on_delete=models.DO_NOTHING, db_constraint=False, null=True, blank=True, related_name="+")
    position_id = models.UUIDField(null=True, blank=True)
    schedule = models.ForeignKey(
        WorkflowSchedule, on_delete=models.DO_NOTHING, db_constraint=False, null=True, blank=True, related_name="+"
    )

    class Meta:
        db_table = "events"
        indexes = [
            models.Index(fields=["xid"], condition=Q(seq__isnull=True), name="event_waiting_for_seq"),
            models.Index(fields=["at"], name="event_by_time"),
            # What is told once: whether it was, is looked up again and again.
            models.Index(fields=["kind", "-id"], condition=Q(kind__in=TOLD_ONCE), name="event_told_once"),
            models.Index(fields=["signal", "id"], condition=Q(signal__isnull=False), name="event_by_signal"),
            models.Index(fields=["position_id", "id"], condition=Q(position_id__isnull=False), name="event_by_position"),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


class NotificationTarget(models.Model):
    """Where a person wants to be told, and about what."""

    id = fields.uuid_key()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notification_targets")
    name = models.CharField(max_length=120)
    url = models.TextField(help_text="An Apprise address with its credentials, such as tgram://token/chat, mailto://… or json://host/path.")
    kinds = fields.json_list(help_text="Event kinds; empty means all.")
    min_level = models.CharField(max_length=16, choices=Event.Level, default=Event.Level.WARNING, db_default=Event.Level.WARNING)
    quiet_from = models.TimeField(null=True, blank=True, help_text="UTC; from then on only critical ones are sent.")
    quiet_until = models.TimeField(null=True, blank=True)
    is_active = models.BooleanField(default=True, db_default=True)
    created_at = fields.created_at()

    class Meta:
        db_table = "notification_targets"

    def __str__(self) -> str:
        return self.name


class NotificationDelivery(models.Model):
    """One person to be told of one event; without a target it is shown on the desk only."""

    class Status(models.TextChoices):
        PENDING = "pending"
        SENT = "sent"
        FAILED = "failed"
        SHOWN = "shown"

    id = fields.uuid_key()
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="deliveries")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    target = models.ForeignKey(NotificationTarget, on_delete=models.SET_NULL, null=True, blank=True, related_name="deliveries")
    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING, db_default=Status.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    error = fields.text()
    created_at = fields.created_at()
    next_attempt_at = models.DateTimeField(db_default=Now())  # real time: also the lease of whoever sends it
    sent_at = models.DateTimeField(null=True, blank=True)  # real time

    class Meta:
        db_table = "notification_deliveries"
        verbose_name_plural = "notification deliveries"
        constraints = [
            models.UniqueConstraint(fields=["event", "user", "target"], nulls_distinct=False, name="delivery_once"),
        ]
        indexes = [
            models.Index(fields=["created_at"], condition=Q(status="pending"), name="delivery_pending"),
            models.Index(fields=["-created_at"], name="delivery_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} to {self.user_id}: {self.status}"
