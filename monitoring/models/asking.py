"""What questions to models may take: slots, places in the minute, and money; and what is known of the endpoints."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from monitoring import fields

from .traders import Trader


class BudgetReservation(models.Model):
    """
    The permission for one attempt: a slot until it is finished, a place in its minute, and money of its day.

    `cost_usd` replaces what was reserved once it is known; until then, and if it never is, the reservation counts.
    Times are real time, the day is the desk's.
    """

    id = fields.uuid_key()
    endpoint = models.CharField(max_length=300)
    model = models.CharField(max_length=120)
    trader = models.ForeignKey(Trader, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    day = models.DateField()
    reserved_usd = fields.NumericField()
    cost_usd = fields.NumericField(null=True, blank=True)
    granted_at = models.DateTimeField()
    lease_until = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "budget_reservations"
        indexes = [
            models.Index(fields=["endpoint"], condition=Q(finished_at__isnull=True), name="reservation_open"),
            models.Index(fields=["endpoint", "sent_at"], name="reservation_sent"),
            models.Index(fields=["day"], name="reservation_by_day"),
            models.Index(fields=["-granted_at"], name="reservation_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.model}: {self.reserved_usd} USD reserved"


class DailySpend(models.Model):
    """What a day has cost, reservations included: of everybody (`all`) and of each trader, by its key."""

    pk = models.CompositePrimaryKey("day", "scope")
    day = models.DateField()
    scope = models.CharField(max_length=40)
    amount_usd = fields.NumericField(default=0, db_default=0)
    told_at = models.DateTimeField(null=True, blank=True)  # that the budget is used up

    class Meta:
        db_table = "daily_spend"

    def __str__(self) -> str:
        return f"{self.day} {self.scope}: {self.amount_usd} USD"


class AnalystEndpoint(models.Model):
    """What all processes know of an endpoint: whether it answers, and until when it wants to be left alone."""

    base_url = models.CharField(max_length=300, primary_key=True)
    failures = models.PositiveIntegerField(default=0, db_default=0)
    opened = models.PositiveIntegerField(default=0, db_default=0)
    open_until = models.DateTimeField(null=True, blank=True)
    probe_until = models.DateTimeField(null=True, blank=True)
    quiet_until = models.DateTimeField(null=True, blank=True)
    last_error = fields.text()
    changed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "analyst_endpoints"

    def __str__(self) -> str:
        return self.base_url


class WaitingAsker(models.Model):
    """A process that waits with questions about open positions; others leave it the next slots."""

    holder = models.UUIDField(primary_key=True)
    endpoint = models.CharField(max_length=300)
    urgent = models.PositiveIntegerField()
    until = models.DateTimeField()

    class Meta:
        db_table = "waiting_askers"

    def __str__(self) -> str:
        return f"{self.urgent} urgent questions"
