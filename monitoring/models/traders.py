"""Traders: who raises signals, on what, and within which limits."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from monitoring import conditions, fields, intervals

from .market import MARKETS, Instrument


def default_market() -> str:
    """The market of a new trader, from the settings."""
    return str(settings.MARKET)


def default_analyst() -> str:
    """The analyst of a new trader, from the settings."""
    return str(settings.ANALYST)


class Side(models.TextChoices):
    """Direction of a signal or position."""

    LONG = "long"
    SHORT = "short"


class Trader(models.Model):
    """A strategy that raises signals on symbols at candle closes."""

    class State(models.TextChoices):
        RUNNING = "running"
        PAUSED = "paused"
        ARCHIVED = "archived"

    class Analyst(models.TextChoices):
        RULES = "rules"
        LLM = "llm"

    id = fields.uuid_key()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="traders")
    name = models.CharField(max_length=120)
    strategy = fields.text(help_text="What the analyst is told about how this trader trades.")
    market = models.CharField(max_length=32, choices=MARKETS, default=default_market, db_default="binance")
    symbols = ArrayField(models.CharField(max_length=128), help_text="Exchange symbols, for example BTCUSDT, ETHUSDT.")
    interval = models.CharField(max_length=8, choices=intervals.CHOICES, default="5m", db_default="5m")
    side = models.CharField(max_length=8, choices=Side, default=Side.LONG, db_default=Side.LONG)
    conditions = fields.json_list(help_text='When a signal is raised: [{"field": "rsi_14", "operator": "lt", "value": 30}]')
    invalidation_conditions = fields.json_list(help_text="When the idea is no longer valid; same form as the conditions.")
    indicators = fields.json_list(help_text='Further indicators shown to the analyst, for example ["ema_200", "macd"].')
    stop_atr_multiple = fields.NumericField(default=2, db_default=2, help_text="Distance of the stop from the entry, in ATR(14).")
    target_r = fields.NumericField(default=2, db_default=2, help_text="Distance of the target, in multiples of the stop distance.")
    analyst = models.CharField(max_length=8, choices=Analyst, default=default_analyst, db_default=Analyst.RULES)
    ai_model = models.CharField(max_length=120, blank=True, default="", db_default="")
    fallbacks = fields.json_list(
        help_text='Asked in turn when a model gives no decision: names of models, or "rules" as the last: ["gpt-4o-mini", "rules"].'
    )
    auto_analyze_signals = models.BooleanField(default=True, db_default=True)
    is_test = models.BooleanField(default=False, db_default=False)
    state = models.CharField(max_length=16, choices=State, default=State.RUNNING, db_default=State.RUNNING)
    max_monitoring_duration = models.DurationField(default=timedelta(hours=24), db_default=timedelta(hours=24))
    max_reanalyses = models.PositiveIntegerField(default=5, db_default=5)
    min_confidence_to_enter = fields.NumericField(default="0.6", db_default=models.Value("0.6", fields.NumericField()))
    min_price_move_pct = fields.NumericField(
        default=0, db_default=0, help_text="Closes that moved less (percent) since the last look are skipped."
    )
    decision_deadline_pct = fields.NumericField(default=50, db_default=50, help_text="Percent of the interval; never more than 120 s.")
    daily_budget_usd = fields.NumericField(null=True, blank=True)
    webhook_token_hash = models.CharField(max_length=64, null=True, blank=True, unique=True, editable=False)
    created_at = fields.created_at()
    # Closes after this are screened; a trigger renews it when the state, market, interval, symbols or conditions change.
    screened_since = models.DateTimeField(db_default=fields.AppNow(), editable=False)

    class Meta:
        db_table = "traders"
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="trader_name_once_per_user"),
            models.CheckConstraint(condition=Q(stop_atr_multiple__gt=0, target_r__gt=0), name="trader_distances_positive"),
            models.CheckConstraint(
                condition=Q(min_confidence_to_enter__gte=0, min_confidence_to_enter__lte=1), name="trader_confidence_is_fraction"
            ),
            models.CheckConstraint(
                condition=Q(decision_deadline_pct__gt=0, decision_deadline_pct__lte=100), name="trader_deadline_is_percent"
            ),
        ]
        indexes = [models.Index(fields=["market", "interval"], condition=Q(state="running"), name="trader_running_by_interval")]

    def __str__(self) -> str:
        return self.name

    @property
    def monitoring_interval(self) -> str:
        """The interval under the name that events and the original design use."""
        return self.interval

    def fallback_chain(self) -> tuple[str, ...]:
        """
        The analysts that are asked in turn when the trader's own gives no decision.

        :raises ValueError: if it is no list of names, which SQL lets pass
        """
        if problem := _wrong_fallbacks(self.fallbacks):
            raise ValueError(f"fallbacks {self.fallbacks!r}: {problem}")
        return tuple(self.fallbacks)

    def clean(self) -> None:
        """
        Refuse symbols, indicators and conditions that could never be evaluated.

        :raises ValidationError: with one entry per wrong field
        """
        errors: dict[str, str] = {}
        for name in ("conditions", "invalidation_conditions", "indicators"):
            try:
                check = conditions.parse_fields if name == "indicators" else conditions.parse
                check(getattr(self, name))
            except conditions.ConditionError as error:
                errors[name] = str(error)
        if problem := _wrong_fallbacks(self.fallbacks):
            errors["fallbacks"] = problem
        self.symbols = [symbol.strip().upper() if self.market != "polymarket" else symbol.strip() for symbol in self.symbols or []]
        known = set(Instrument.objects.filter(market=self.market, symbol__in=self.symbols).values_list("symbol", flat=True))
        unknown = [symbol for symbol in self.symbols if symbol not in known]
        if not self.symbols:
            errors["symbols"] = "At least one symbol is needed."
        elif unknown and Instrument.objects.filter(market=self.market).exists():
            errors["symbols"] = f"Unknown on {self.market}: {', '.join(unknown)}."
        if self.side == Side.SHORT and self.market == "binance":
            errors["side"] = "A spot market can't be sold short."
        if errors:
            raise ValidationError(errors)


def _wrong_fallbacks(fallbacks: object) -> str:
    """What is wrong with a chain of analysts, or nothing."""
    if not isinstance(fallbacks, list) or not all(isinstance(name, str) and 0 < len(name.strip()) <= 120 for name in fallbacks):
        return "A list of names is needed."
    if "rules" in fallbacks[:-1]:
        return "The rules always answer: nothing after them would be asked."
    return "" if len(fallbacks) <= 3 else "At most three can be asked within one deadline."
