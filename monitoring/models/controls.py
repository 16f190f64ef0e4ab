"""Kill switches and the record of who moved what."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from monitoring import fields


class Halt(models.Model):
    """A switch that somebody threw. Open until it is resumed; one open row per scope."""

    class State(models.TextChoices):
        REDUCING = "reducing"
        HALTED = "halted"

    class Source(models.TextChoices):
        WEB = "web"
        CLI = "cli"
        RULE = "rule"

    id = fields.uuid_key()
    scope = models.CharField(max_length=200, help_text="all, trader:KEY, symbol:NAME or workflow:KEY")
    state = models.CharField(max_length=16, choices=State)
    reason = models.TextField()
    halted_by = models.CharField(max_length=150)
    halted_at = models.DateTimeField(db_default=fields.AppNow())
    resumed_by = models.CharField(max_length=150, blank=True, default="", db_default="")
    resumed_at = models.DateTimeField(null=True, blank=True)
    resume_reason = fields.text()
    source = models.CharField(max_length=8, choices=Source, default=Source.WEB, db_default=Source.WEB)

    class Meta:
        db_table = "halts"
        permissions = [("move_switch", "Can move the kill switches")]
        constraints = [
            models.UniqueConstraint(fields=["scope"], condition=Q(resumed_at__isnull=True), name="halt_one_open_per_scope"),
            models.CheckConstraint(
                condition=Q(scope="all") | Q(scope__regex=r"^(trader|symbol|workflow|account):.+$"), name="halt_scope_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.scope}: {self.state}"


class AuditLog(models.Model):
    """Every change that a person made: who, when, from where, before, after and why. Append-only."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=fields.AppNow())
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.DO_NOTHING, db_constraint=False, null=True, blank=True, related_name="+"
    )
    actor = models.CharField(max_length=150)
    source = models.CharField(max_length=16)
    address = models.GenericIPAddressField(null=True, blank=True)
    action = models.CharField(max_length=80)
    subject_type = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=64)
    before = fields.json_object()
    after = fields.json_object()
    reason = fields.text()

    class Meta:
        db_table = "audit_log"
        verbose_name_plural = "audit log"
        indexes = [
            models.Index(fields=["-at"], name="audit_newest"),
            models.Index(fields=["subject_type", "subject_id", "-at"], name="audit_by_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.actor}: {self.action} {self.subject_type} {self.subject_id}"
