"""Plain functions that make what tests need; every value can be given."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

from monitoring import intervals
from monitoring.feed.contract import ClosedCandle
from monitoring.models import Instrument, Signal, Trader, User, WorkflowSchedule
from monitoring.simulator.market import LISTINGS, Market
from positions.models import ExchangeAccount, PaperBalance, TradingProfile

_numbers = itertools.count(1)
ALWAYS = [{"field": "close", "operator": "gt", "value": 0}]
NEVER = [{"field": "close", "operator": "lt", "value": 0}]


def make_user(**over: Any) -> User:
    return User.objects.create(**{"username": f"user{next(_numbers)}", "is_staff": True, **over})


def make_instruments(*symbols: str, market: str = "binance") -> None:
    for listing in (LISTINGS[symbol] for symbol in symbols or LISTINGS):
        Instrument.objects.get_or_create(
            market=market,
            symbol=listing.symbol,
            defaults={
                "base": listing.base,
                "quote": listing.quote,
                "tick_size": listing.tick,
                "step_size": listing.step,
                "min_quantity": listing.step,
                "min_notional": 5,
            },
        )


def make_trader(**over: Any) -> Trader:
    values: dict[str, Any] = {
        "name": f"trader {next(_numbers)}",
        "market": "binance",
        "symbols": ["BTCUSDT"],
        "interval": "5m",
        "conditions": ALWAYS,
        "invalidation_conditions": NEVER,
        "min_confidence_to_enter": Decimal("0.5"),
    }
    user = over.pop("user", None) or make_user()
    return Trader.objects.create(user=user, **{**values, **over})


def make_account(user: User, *, cash: Decimal | int = 100_000, **over: Any) -> ExchangeAccount:
    values = {"name": f"paper {next(_numbers)}", "taker_fee_rate": Decimal("0.001"), "maker_fee_rate": Decimal("0.0005")}
    account = ExchangeAccount.objects.create(user=user, **{**values, "slippage_rate": Decimal("0.0005"), **over})
    PaperBalance.objects.create(account=account, asset="USDT", total=cash)
    return account


def make_profile(trader: Trader, **over: Any) -> TradingProfile:
    account = over.pop("account", None) or make_account(trader.user)
    values: dict[str, Any] = {"risk_per_trade_pct": Decimal(1), "max_position_notional": Decimal(20_000), "min_risk_reward": Decimal(1)}
    values |= {"partial_take_profit_levels": [], "max_consecutive_losses": 0}
    return TradingProfile.objects.create(trader=trader, account=account, **{**values, **over})


def make_signal(trader: Trader, **over: Any) -> Signal:
    values = {"symbol": trader.symbols[0], "interval": trader.interval, "side": trader.side, "source": "admin"}
    return Signal.objects.create(trader=trader, user=trader.user, **{**values, **over})


def make_schedule(trader: Trader, signal: Signal | None = None, **over: Any) -> WorkflowSchedule:
    signal = signal or make_signal(trader, status=Signal.Status.MONITORING)
    values = {
        "workflow_type": "signal_monitoring",
        "entity_id": signal.id,
        "market": trader.market,
        "symbol": signal.symbol,
        "interval": signal.interval,
    }
    return WorkflowSchedule.objects.create(trader=trader, user=trader.user, **{**values, **over})


def candle(
    *, open_time: int, close: str = "100", symbol: str = "BTCUSDT", interval: str = "5m", market: str = "binance", **over: Any
) -> ClosedCandle:
    """A candle that opens where it closes, unless told otherwise."""
    price = Decimal(close)
    values = {"open": price, "high": price, "low": price, "close": price, "volume": Decimal(1), "quote_volume": price, "trades": 1}
    return ClosedCandle(market, symbol, interval, open_time, **{**values, **over})


def flat_window(
    *, until: int, count: int = 300, symbol: str = "BTCUSDT", interval: str = "5m", close: str = "100", market: str = "binance"
) -> list[ClosedCandle]:
    """`count` equal candles, the newest opening at `until`."""
    length = intervals.length_ms(interval)
    opened = (until - back * length for back in reversed(range(count)))
    return [candle(open_time=at, close=close, symbol=symbol, interval=interval, market=market) for at in opened]


def simulated(*, seed: int, symbol: str, interval: str, start: int, count: int) -> list[ClosedCandle]:
    """Candles of the simulated market, without going over a wire."""
    rows = Market(seed=seed).candles(symbol=symbol, start=start, length_ms=intervals.length_ms(interval), count=count)
    tick, step = rows.listing.tick, rows.listing.step
    return [
        ClosedCandle(
            "binance",
            symbol,
            interval,
            int(rows.open_time[i]),
            *(int(column[i]) * tick for column in (rows.open, rows.high, rows.low, rows.close)),
            int(rows.volume[i]) * step,
            rows.quote[i] * tick * step,
            int(rows.trades[i]),
        )
        for i in range(count)
    ]
