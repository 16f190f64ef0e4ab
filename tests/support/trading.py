"""A trader who may open positions, with candles under control."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from monitoring import closes, engine, handlers, intervals
from monitoring.analyst.contract import TradePlan
from monitoring.models import Signal, SignalAnalysis, WorkflowSchedule
from positions import opening
from positions.intents import Cause
from positions.models import Order, Position
from tests.support.clocks import START_MS, SteppingClock
from tests.support.factories import NEVER, candle, flat_window, make_instruments, make_profile, make_signal, make_trader

LENGTH = intervals.length_ms("5m")
BY_HAND = Cause(Order.Cause.OPERATOR, "test")


class TradingDesk:
    """BTCUSDT, or what a market calls it, at 100; `close` lets a candle of any shape close, with everything that follows."""

    symbol = "BTCUSDT"

    def __init__(self, clock: SteppingClock, *, market: str = "binance", trader: dict[str, Any] | None = None, **profile: Any) -> None:
        make_instruments("BTCUSDT", "ETHUSDT", market=market)
        self.clock, self.number, self.market = clock, 0, market
        values = {"conditions": NEVER, "symbols": [self.symbol, "ETHUSDT"], "market": market}
        self.trader = make_trader(**{**values, **(trader or {})})
        self.profile = make_profile(self.trader, **profile)
        self.account = self.profile.account
        closes.record(fetched=flat_window(until=START_MS - LENGTH, market=market, symbol=self.symbol), now=clock.now)

    def entering(self, *, stop: str = "98", target: str = "104", size: str | None = None, signal: Signal | None = None) -> SignalAnalysis:
        """A signal that is ready, with the answer that asked to enter."""
        signal = signal or make_signal(self.trader, symbol=self.symbol, status=Signal.Status.READY)
        plan = TradePlan(Decimal(100), Decimal(stop), Decimal(target), Decimal(size) if size else None)
        return SignalAnalysis.objects.create(
            kind="initial",
            signal=signal,
            trader=self.trader,
            user=self.trader.user,
            decision="enter_trade",
            confidence="0.9",
            analyst="rules",
            answer={"tradePlan": plan.as_json()},
            created_at=self.clock.now,
        )

    def open(self, **plan: Any) -> Position:
        position = opening.open_position(analysis_id=self.entering(**plan).id, now=self.clock.now)
        assert isinstance(position, Position), position
        return position

    def close(self, *, low: str = "100", high: str = "100", close: str = "100", opened: str = "100") -> None:
        opened_at = START_MS + self.number * LENGTH
        self.number += 1
        self.clock.to(opened_at + LENGTH + 500)
        prices = {"open": Decimal(opened), "high": Decimal(high), "low": Decimal(low)}
        closed = candle(open_time=opened_at, close=close, market=self.market, symbol=self.symbol, **prices)
        closes.record(streamed=[closed], now=self.clock.now)
        engine.handle(handlers.Close(self.market, "5m", opened_at, (self.symbol,)))

    def resting(self, position: Position) -> dict[str, tuple[Decimal, Decimal]]:
        """Leg → (quantity, price) of the orders that rest."""
        rows = Order.objects.filter(position=position, status=Order.Status.OPEN)
        return {row.leg: (row.quantity, row.trigger_price or row.price) for row in rows}

    def schedule(self, entity: UUID) -> WorkflowSchedule:
        return WorkflowSchedule.objects.get(entity_id=entity)
