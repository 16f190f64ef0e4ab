"""How a resting paper order meets a candle, and at what price orders fill. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from .contract import BUY, LIMIT, STOP_MARKET


@dataclass(frozen=True)
class Bar:
    """A closed candle: open time and close time in ms, prices in quote."""

    open_time: int
    close_time: int
    open: Decimal
    high: Decimal
    low: Decimal


def slipped(price: Decimal, *, side: str, slippage_rate: Decimal, tick: Decimal) -> Decimal:
    """A price moved against us by the slippage and rounded against us to a tick; never below one tick."""
    worse = price * (1 + slippage_rate) if side == BUY else price * (1 - slippage_rate)
    rounding = ROUND_CEILING if side == BUY else ROUND_FLOOR
    return max(tick, (worse / tick).to_integral_value(rounding=rounding) * tick)


def resting_fill(
    *, type: str, side: str, price: Decimal | None, trigger_price: Decimal | None, bar: Bar, slippage_rate: Decimal, tick: Decimal
) -> Decimal | None:
    """
    The price at which a resting order fills within a candle, or None.

    A stop fires at its trigger, or at the open when the candle began beyond it, and then slips. A limit fills at its
    own price and never better: a candle does not say how it was reached.
    """
    if type == STOP_MARKET:
        assert trigger_price is not None
        touched = bar.high >= trigger_price if side == BUY else bar.low <= trigger_price
        if not touched:
            return None
        start = max(bar.open, trigger_price) if side == BUY else min(bar.open, trigger_price)
        return slipped(start, side=side, slippage_rate=slippage_rate, tick=tick)
    if type == LIMIT:
        assert price is not None
        touched = bar.low <= price if side == BUY else bar.high >= price
        return price if touched else None
    return None


def would_trigger_at_once(*, side: str, trigger_price: Decimal, last_price: Decimal) -> bool:
    """Whether a stop lies on the wrong side of the market."""
    return last_price >= trigger_price if side == BUY else last_price <= trigger_price
