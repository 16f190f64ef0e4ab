"""
Read-only models of the effectiveness views.

The per-trader views sum up a view of one row per signal or position, which serves time ranges, models and
prompt versions.
"""

from __future__ import annotations

from django.db import models

from monitoring import fields
from monitoring.models import Trader


class MonitoringSignal(models.Model):
    """One monitored signal and how it ended."""

    signal_id = models.UUIDField(primary_key=True)
    trader_id = models.UUIDField()
    symbol = models.TextField()
    interval = models.TextField()
    analyst = models.TextField()
    model = models.TextField()
    prompt_version = models.TextField()
    monitoring_started_at = models.DateTimeField()
    entered = models.BooleanField()
    abandoned = models.BooleanField()
    hours_to_entry = fields.NumericField(null=True)
    won = models.BooleanField(null=True)

    class Meta:
        managed = False
        db_table = "monitoring_effectiveness_signals"

    def __str__(self) -> str:
        return str(self.signal_id)


class MonitoringEffectiveness(models.Model):
    """Per trader: how setup monitoring turned out."""

    trader = models.OneToOneField(Trader, on_delete=models.DO_NOTHING, primary_key=True, db_constraint=False, related_name="+")
    total_monitored = models.IntegerField()
    entered_trades = models.IntegerField()
    abandoned_setups = models.IntegerField()
    avg_hours_to_entry = fields.NumericField(null=True)
    win_rate_after_monitoring = fields.NumericField(null=True)

    class Meta:
        managed = False
        db_table = "monitoring_effectiveness"
        verbose_name_plural = "monitoring effectiveness"

    def __str__(self) -> str:
        return str(self.trader_id)


class ManagementPosition(models.Model):
    """One closed position and how it was managed."""

    position_id = models.UUIDField(primary_key=True)
    trader_id = models.UUIDField()
    symbol = models.TextField()
    closed_at = models.DateTimeField()
    decisions = models.IntegerField()
    sl_adjustments = models.IntegerField()
    tp_adjustments = models.IntegerField()
    partial_exits = models.IntegerField()
    final_pnl = fields.NumericField()
    max_pnl = fields.NumericField()
    won = models.BooleanField()

    class Meta:
        managed = False
        db_table = "management_effectiveness_positions"

    def __str__(self) -> str:
        return str(self.position_id)


class ManagementEffectiveness(models.Model):
    """Per trader: how position management turned out."""

    trader = models.OneToOneField(Trader, on_delete=models.DO_NOTHING, primary_key=True, db_constraint=False, related_name="+")
    avg_decisions_per_trade = fields.NumericField(null=True)
    avg_sl_adjustments = fields.NumericField(null=True)
    avg_tp_adjustments = fields.NumericField(null=True)
    avg_partial_exits = fields.NumericField(null=True)
    profit_retention_ratio = fields.NumericField(null=True)
    managed_win_rate = fields.NumericField(null=True)

    class Meta:
        managed = False
        db_table = "management_effectiveness"
        verbose_name_plural = "management effectiveness"

    def __str__(self) -> str:
        return str(self.trader_id)
