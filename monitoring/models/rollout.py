"""Who gets continuous monitoring."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q

from .traders import Trader


class MonitoringRollout(models.Model):
    """One row: for whom a *wait* starts a workflow. Everybody else gets the single first analysis."""

    class Mode(models.TextChoices):
        OFF = "off", "nobody"
        TEST = "test", "test traders only"
        CHOSEN = "chosen", "chosen users, traders and groups"
        PERCENT = "percent", "a percentage of users, and the chosen"
        ALL = "all", "everybody"

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    mode = models.CharField(max_length=8, choices=Mode, default=Mode.ALL, db_default=Mode.ALL)
    percent = models.PositiveSmallIntegerField(
        default=0, db_default=0, validators=[MaxValueValidator(100)], help_text="Of the users. Whoever is in at 10 is also in at 20."
    )
    users = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="+")
    traders = models.ManyToManyField(Trader, blank=True, related_name="+")
    groups = models.ManyToManyField("auth.Group", blank=True, related_name="+", help_text="Such as a paid tier.")

    class Meta:
        db_table = "monitoring_rollout"
        verbose_name = "continuous monitoring"
        verbose_name_plural = "continuous monitoring"
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="rollout_is_one_row"),
            models.CheckConstraint(condition=Q(percent__lte=100), name="rollout_percent"),
        ]

    def __str__(self) -> str:
        return f"{self.get_mode_display()}{f' ({self.percent} %)' if self.mode == self.Mode.PERCENT else ''}"
