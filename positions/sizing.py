"""Quantities and prices that an exchange accepts. Pure."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal


def floor_to(value: Decimal, *, step: Decimal) -> Decimal:
    """The largest multiple of `step` that is not above `value`."""
    return (value / step).to_integral_value(rounding=ROUND_FLOOR) * step


def ceil_to(value: Decimal, *, step: Decimal) -> Decimal:
    """The smallest multiple of `step` that is not below `value`."""
    return (value / step).to_integral_value(rounding=ROUND_CEILING) * step


def stop_price(value: Decimal, *, sign: int, tick: Decimal) -> Decimal:
    """A stop rounded away from the market: down for long (+1), up for short (-1)."""
    return floor_to(value, step=tick) if sign > 0 else ceil_to(value, step=tick)


def target_price(value: Decimal, *, sign: int, tick: Decimal) -> Decimal:
    """A target rounded towards the market, where it is reached for certain."""
    return floor_to(value, step=tick) if sign > 0 else ceil_to(value, step=tick)


def quantity_for_risk(*, equity: Decimal, risk_pct: Decimal, entry: Decimal, stop: Decimal) -> Decimal:
    """Base quantity whose loss between entry and stop is `risk_pct` percent of the equity in quote."""
    return equity * risk_pct / 100 / abs(entry - stop)
