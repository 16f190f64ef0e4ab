"""Where orders go, and within which limits a trader may send them."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q, Value

from monitoring import fields, intervals
from monitoring.models import Trader
from monitoring.models.market import MARKETS

# The markets that can be traded at each exchange; paper takes any.
TRADED = {"binance": ("binance", "binance_futures"), "bybit": ("bybit",), "okx": ("okx",)}


class ExchangeAccount(models.Model):
    """A paper account, or an account at an exchange. Rates are fractions of the notional; 0.001 is 0.1 %."""

    class Kind(models.TextChoices):
        PAPER = "paper"
        BINANCE = "binance"
        BYBIT = "bybit"
        OKX = "okx"

    id = fields.uuid_key()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="exchange_accounts")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.PAPER, db_default=Kind.PAPER)
    market = models.CharField(max_length=32, choices=MARKETS, default="binance", db_default="binance")
    credentials = models.BinaryField(null=True, blank=True, editable=False)  # encrypted
    api_key_hint = models.CharField(max_length=16, blank=True, default="", db_default="", editable=False)
    is_live = models.BooleanField("armed", default=False, db_default=False, editable=False)  # a person has allowed it to add exposure
    armed_at = models.DateTimeField(null=True, blank=True, editable=False)
    armed_by = models.CharField(max_length=150, blank=True, default="", db_default="", editable=False)
    notional_cap = fields.NumericField(null=True, blank=True, editable=False)  # quote, of everything the account holds
    reconcile_asked_at = models.DateTimeField(null=True, blank=True, editable=False)  # of a job that may still wait
    reconciled_at = models.DateTimeField(null=True, blank=True, editable=False)
    reconcile_problem = fields.text()
    leverage = fields.NumericField(default=1, db_default=1)
    margin_mode = models.CharField(
        max_length=16, default="isolated", db_default="isolated", choices=[("isolated", "isolated"), ("cross", "cross")]
    )
    position_mode = models.CharField(max_length=16, default="one_way", db_default="one_way", choices=[("one_way", "one way")])
    maker_fee_rate = fields.NumericField(default="0.001", db_default=Value("0.001", fields.NumericField()))
    taker_fee_rate = fields.NumericField(default="0.001", db_default=Value("0.001", fields.NumericField()))
    slippage_rate = fields.NumericField(default="0.0005", db_default=Value("0.0005", fields.NumericField()))
    created_at = fields.created_at()

    class Meta:
        db_table = "exchange_accounts"
        permissions = [("arm_exchangeaccount", "Can give an account its API key, arm and disarm it")]
        constraints = [
            models.UniqueConstraint(fields=["user", "name"], name="account_name_once_per_user"),
            models.CheckConstraint(condition=Q(leverage__gte=1, leverage__lte=125), name="account_leverage_in_bounds"),
            models.CheckConstraint(
                condition=Q(maker_fee_rate__gte=0, taker_fee_rate__gte=0, slippage_rate__gte=0, slippage_rate__lt=1),
                name="account_rates_in_bounds",
            ),
            models.CheckConstraint(condition=~Q(kind="paper", is_live=True), name="account_paper_is_never_live"),
            models.CheckConstraint(
                condition=Q(is_live=False) | Q(notional_cap__gt=0, armed_at__isnull=False, credentials__isnull=False),
                name="account_armed_with_a_cap",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.kind})"

    def clean(self) -> None:
        """
        :raises ValidationError: if orders can't be sent to this market of this exchange
        """
        if self.needs_arming and self.market not in TRADED[self.kind]:
            raise ValidationError({"market": f"At {self.kind} this version trades {' and '.join(TRADED[self.kind])}."})

    @property
    def needs_arming(self) -> bool:
        """Whether a person has to allow it before it adds exposure: everything but paper."""
        return self.kind != self.Kind.PAPER

    @property
    def is_simulated(self) -> bool:
        """Whether its exchange's address is that of a simulated one."""
        return self.kind in settings.SIMULATED_TRADING

    @property
    def has_passphrase(self) -> bool:
        """Whether its API keys have a passphrase."""
        return self.kind == self.Kind.OKX

    @property
    def is_spot(self) -> bool:
        """Whether assets are owned outright: no leverage, no short."""
        return self.market in ("binance", "bybit_spot", "polymarket")


def default_levels() -> list[int]:
    """Partial take-profit levels in percent of the initial size."""
    return [25, 50, 75]


class TradingProfile(models.Model):
    """One trader's account and limits. Percentages are percent; notional and losses are in quote."""

    id = fields.uuid_key()
    trader = models.OneToOneField(Trader, on_delete=models.PROTECT, related_name="profile")
    account = models.ForeignKey(ExchangeAccount, on_delete=models.PROTECT, related_name="profiles")
    risk_per_trade_pct = fields.NumericField(default=1, db_default=1)
    max_position_notional = fields.NumericField(default=10_000, db_default=10_000)
    max_open_positions = models.PositiveIntegerField(default=5, db_default=5)
    max_loss_per_position = fields.NumericField(
        null=True, blank=True, help_text="In quote, after fees; the position is closed at the close that passes it."
    )
    max_consecutive_losses = models.PositiveIntegerField(default=5, db_default=5, help_text="Then the trader is paused; 0: never.")
    min_risk_reward = fields.NumericField(default="1.5", db_default=Value("1.5", fields.NumericField()))
    use_trailing_stop = models.BooleanField(default=False, db_default=False)
    trailing_stop_distance = fields.NumericField(default=2, db_default=2, help_text="Percent of the best price.")
    partial_take_profit_levels = models.JSONField(
        default=default_levels,
        blank=True,
        db_default=Value([25, 50, 75], models.JSONField()),
        help_text="Of n levels the i-th fires i/(n+1) of the way to the target and takes that percent of the initial size; [] for none.",
    )
    may_widen_stop = models.BooleanField(
        default=False, db_default=False, help_text="Whether a stop may move away from the market; else it only moves to reduce risk."
    )
    management_interval = models.CharField(
        max_length=8, choices=intervals.CHOICES, blank=True, default="", db_default="", help_text="Empty: the trader's own interval."
    )

    class Meta:
        db_table = "trading_profiles"
        constraints = [
            models.CheckConstraint(condition=Q(risk_per_trade_pct__gt=0, risk_per_trade_pct__lte=100), name="profile_risk_is_percent"),
            models.CheckConstraint(condition=Q(max_position_notional__gt=0, min_risk_reward__gte=0), name="profile_limits_positive"),
            models.CheckConstraint(
                condition=Q(trailing_stop_distance__gt=0, trailing_stop_distance__lt=100), name="profile_trailing_is_percent"
            ),
        ]

    def __str__(self) -> str:
        return f"profile of {self.trader_id}"

    def clean(self) -> None:
        """
        :raises ValidationError: if the levels are not rising percentages of at most 100, or the markets differ
        """
        levels = self.partial_take_profit_levels
        if not isinstance(levels, list) or not all(isinstance(level, int) and 0 < level <= 100 for level in levels):
            raise ValidationError({"partial_take_profit_levels": "A list of whole percentages from 1 to 100 is needed."})
        if self.account.market != self.trader.market:
            raise ValidationError({"account": f"The account trades {self.account.market}, the trader {self.trader.market}."})
