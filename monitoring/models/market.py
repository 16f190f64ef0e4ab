"""What the exchanges told us: instruments and closed candles."""

from __future__ import annotations

from django.db import models

from monitoring import fields, intervals
from monitoring.feed import contract

MARKETS = [(name, name.replace("_", " ")) for name in contract.MARKETS]


class Instrument(models.Model):
    """One tradable symbol with the filters that its orders must pass; refreshed from the exchange's own list."""

    id = models.BigAutoField(primary_key=True)
    market = models.CharField(max_length=32, choices=MARKETS)
    symbol = models.CharField(max_length=128)
    base = models.CharField(max_length=32)
    quote = models.CharField(max_length=32)
    tick_size = fields.NumericField()
    step_size = fields.NumericField()
    min_quantity = fields.NumericField(default=0, db_default=0)
    min_notional = fields.NumericField(default=0, db_default=0)
    is_trading = models.BooleanField(default=True, db_default=True)
    updated_at = models.DateTimeField(db_default=fields.AppNow())

    class Meta:
        db_table = "instruments"
        constraints = [
            models.UniqueConstraint(fields=["market", "symbol"], name="instrument_once"),
            models.CheckConstraint(condition=models.Q(tick_size__gt=0, step_size__gt=0), name="instrument_steps_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} ({self.market})"


class Candle(models.Model):
    """A candle that the exchange has closed. `open_time` is in milliseconds; volume in base, quote volume in quote."""

    class Source(models.TextChoices):
        STREAM = "stream"
        BACKFILL = "backfill"

    id = models.BigAutoField(primary_key=True)
    market = models.CharField(max_length=32, choices=MARKETS)
    symbol = models.CharField(max_length=128)
    interval = models.CharField(max_length=8, choices=intervals.CHOICES)
    open_time = models.BigIntegerField()
    open = fields.NumericField()
    high = fields.NumericField()
    low = fields.NumericField()
    close = fields.NumericField()
    volume = fields.NumericField()
    quote_volume = fields.NumericField(default=0, db_default=0)
    trades = models.BigIntegerField(default=0, db_default=0)
    source = models.CharField(max_length=16, choices=Source, default=Source.STREAM, db_default=Source.STREAM)
    gap = fields.text()  # why it had to be fetched; empty when it came by the stream
    received_at = models.DateTimeField(db_default=fields.AppNow())

    class Meta:
        db_table = "candles"
        constraints = [
            # Also the index that windows are read by, newest first.
            models.UniqueConstraint(fields=["market", "symbol", "interval", "open_time"], name="candle_once"),
            models.CheckConstraint(
                condition=models.Q(low__gt=0, low__lte=models.F("open"), high__gte=models.F("open"))
                & models.Q(low__lte=models.F("close"), high__gte=models.F("close"), volume__gte=0),
                name="candle_is_sane",
            ),
        ]
        indexes = [models.Index(fields=["-received_at"], name="candle_newest")]

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval} {self.open_time}"


class AbsentCandle(models.Model):
    """A candle that the exchange itself does not have: declared, never invented."""

    id = models.BigAutoField(primary_key=True)
    market = models.CharField(max_length=32, choices=MARKETS)
    symbol = models.CharField(max_length=128)
    interval = models.CharField(max_length=8, choices=intervals.CHOICES)
    open_time = models.BigIntegerField()
    noted_at = models.DateTimeField(db_default=fields.AppNow())

    class Meta:
        db_table = "absent_candles"
        constraints = [models.UniqueConstraint(fields=["market", "symbol", "interval", "open_time"], name="absent_candle_once")]

    def __str__(self) -> str:
        return f"{self.symbol} {self.interval} {self.open_time} (absent)"
