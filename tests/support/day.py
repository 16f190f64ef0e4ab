"""A simulated day: the demo's strategies on seeded prices, with the real engine, in one process and without waiting."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from desk import demo
from monitoring import closes, intake, intervals, sweeps
from monitoring.feed.contract import ClosedCandle
from monitoring.intake import NewSignal
from monitoring.models import MonitoringDecision, SignalAnalysis, Trader
from positions.models import ExchangeAccount, Fill, Position, PositionManagementDecision, TradingProfile
from tests.support import queue
from tests.support.clocks import START_MS, SteppingClock
from tests.support.factories import make_account, make_instruments, make_trader, make_user, simulated

INTERVAL = "5m"
LENGTH = intervals.length_ms(INTERVAL)
LATENCY_MS = 400
HAND_RAISED_EVERY = 24


@dataclass
class SimulatedDay:
    """All demo traders on one interval; `run` closes candle after candle."""

    clock: SteppingClock
    seed: int
    candles: int = 288
    _market: dict[str, list[ClosedCandle]] = field(default_factory=dict)

    def run(self) -> None:
        self._prepare()
        for number in range(self.candles):
            opened = START_MS + number * LENGTH
            self.clock.to(opened + LENGTH + LATENCY_MS)
            arrived = [history[300 + number] for history in self._market.values()]
            closes.record(streamed=arrived, now=self.clock.now)
            if number % HAND_RAISED_EVERY == 0:
                self._raise_by_hand(number)
            queue.run_all()
            sweeps.run(now=self.clock.now)
            queue.run_all()

    def leaves(self) -> Counter[str]:
        """How often each leaf of both trees was reached."""
        reached: Counter[str] = Counter()
        reached.update(f"initial:{row}" for row in SignalAnalysis.objects.filter(kind="initial").values_list("decision", flat=True))
        reached.update(f"monitoring:{row}" for row in MonitoringDecision.objects.values_list("decision", flat=True))
        for action, reasoning in PositionManagementDecision.objects.values_list("action", "reasoning"):
            why = ":target" if action == "close" and reasoning.startswith("The target") else ":invalid" if action == "close" else ""
            reached[f"management:{action}{why}"] += 1
        return reached

    def story(self) -> Iterator[tuple[object, ...]]:
        """Everything that was decided and traded, in order and without random keys."""
        yield from SignalAnalysis.objects.order_by("created_at", "signal__symbol", "trader__name", "kind", "candle_time").values_list(
            "created_at", "signal__symbol", "trader__name", "kind", "decision", "confidence", "reasoning"
        )
        yield from Fill.objects.order_by("at", "order__position__symbol", "order__leg", "price").values_list(
            "at", "order__position__symbol", "order__leg", "price", "quantity", "fee"
        )
        yield from Position.objects.order_by("created_at", "symbol").values_list("symbol", "realized_pnl", "fees", "close_reason")

    def account(self) -> ExchangeAccount:
        return ExchangeAccount.objects.get()

    def _raise_by_hand(self, number: int) -> None:
        """Signals from outside, whose moment may already have passed."""
        for trader in Trader.objects.order_by("name"):
            symbol = trader.symbols[number // HAND_RAISED_EVERY % len(trader.symbols)]
            intake.record(NewSignal(trader=trader, symbol=symbol, source="webhook", external_id=f"hand-{number}"), now=self.clock.now)

    def _prepare(self) -> None:
        make_instruments()
        user = make_user()
        account = make_account(user, taker_fee_rate=Decimal("0.0002"), maker_fee_rate=Decimal("0.0001"), slippage_rate=Decimal("0.0001"))
        symbols: set[str] = set()
        for strategy in demo.STRATEGIES:
            trader: Trader = make_trader(
                user=user,
                id=uuid.uuid5(uuid.NAMESPACE_OID, strategy.name),
                name=strategy.name,
                symbols=list(strategy.symbols),
                interval=INTERVAL,
                conditions=list(strategy.conditions),
                invalidation_conditions=list(strategy.invalidation),
                stop_atr_multiple=Decimal(strategy.stop_atr),
                target_r=Decimal(strategy.target_r),
                max_reanalyses=strategy.max_reanalyses,
                min_confidence_to_enter=Decimal("0.6"),
                screened_since=self.clock.now,
                created_at=self.clock.now,
            )
            TradingProfile.objects.create(
                trader=trader,
                account=account,
                risk_per_trade_pct=Decimal("0.25"),
                max_position_notional=12_000,
                min_risk_reward="1.2",
                # The day shows the analyst's trees; the mechanical rules have tests of their own.
                partial_take_profit_levels=[],
                max_consecutive_losses=0,
            )
            symbols |= set(strategy.symbols)
        first = START_MS - 300 * LENGTH
        self._market = {
            s: simulated(seed=self.seed, symbol=s, interval=INTERVAL, start=first, count=300 + self.candles) for s in sorted(symbols)
        }
        closes.record(fetched=[c for history in self._market.values() for c in history[:300]], now=self.clock.now)
        queue.run_all()
