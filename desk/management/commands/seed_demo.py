"""`manage.py seed_demo`: an operator, a paper account and a handful of traders, once."""

from __future__ import annotations

import secrets
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction

from desk import demo
from monitoring import clock
from monitoring.audit import Actor
from monitoring.models import Trader, User
from positions import arming
from positions.credentials import Keys
from positions.models import ExchangeAccount, PaperBalance, TradingProfile
from positions.simulator.access import secret_of


class Command(BaseCommand):
    help = "Make the operator's login, and the demo's traders on a paper account, if there are none yet."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--without-market", action="store_true", help="Traders on 5-minute candles of a real market instead of the demo's."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            operator = self._operator()
            if not Trader.objects.exists():
                self._traders(operator, interval="5m" if options["without_market"] else "")

    def _operator(self) -> User:
        found = User.objects.filter(is_superuser=True).order_by("date_joined").first()
        if found:
            return found
        password = secrets.token_urlsafe(12)
        operator = User.objects.create_superuser("operator", password=password)
        self.stdout.write(
            f"\n  login:    operator\n  password: {password}\n  (shown this once; `manage.py changepassword operator` sets another)\n"
        )
        return operator

    def _exchange_accounts(self, operator: User) -> None:
        """Two at the simulated exchange, not armed: to try what an account needs before it trades."""
        for name, market in (("Simulated spot", "binance"), ("Simulated futures", "binance_futures")):
            account = ExchangeAccount.objects.create(user=operator, name=name, kind=ExchangeAccount.Kind.BINANCE, market=market, leverage=1)
            actor = Actor("seed_demo", "cli")
            arming.set_keys(account, keys=Keys("demo", secret_of("demo")), actor=actor, now=clock.now())

    def _traders(self, operator: User, *, interval: str) -> None:
        account = ExchangeAccount.objects.create(
            user=operator,
            name="Paper",
            maker_fee_rate=Decimal("0.0001"),
            taker_fee_rate=Decimal("0.0002"),
            slippage_rate=Decimal("0.0001"),
        )
        PaperBalance.objects.create(account=account, asset="USDT", total=Decimal(100_000))
        if ExchangeAccount.Kind.BINANCE in settings.SIMULATED_TRADING:
            self._exchange_accounts(operator)
        for strategy in demo.STRATEGIES:
            trader = Trader(
                user=operator,
                name=strategy.name,
                strategy=strategy.text,
                market="binance",
                symbols=list(strategy.symbols),
                interval=interval or strategy.interval,
                conditions=list(strategy.conditions),
                invalidation_conditions=list(strategy.invalidation),
                stop_atr_multiple=Decimal(strategy.stop_atr),
                target_r=Decimal(strategy.target_r),
                max_reanalyses=strategy.max_reanalyses,
                max_monitoring_duration=timedelta(hours=6),
                min_confidence_to_enter=Decimal("0.6"),
                is_test=True,
            )
            trader.full_clean(exclude=["user"])
            trader.save()
            TradingProfile.objects.create(
                trader=trader,
                account=account,
                risk_per_trade_pct=Decimal("0.25"),
                max_position_notional=Decimal(12_000),
                max_open_positions=4,
                max_consecutive_losses=20,  # random prices lose often; a demo that has paused itself shows nothing
                min_risk_reward=Decimal("1.2"),
            )
