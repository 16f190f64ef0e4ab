"""
The risk gate: every intent passes here, and an analyst can't change it. Pure.

A refusal is data: a code, a sentence with the numbers, and nothing raised.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from positions import sizing

FARTHEST_ENTRY = Decimal("0.01")  # fraction of the market price that a planned entry may lie away from it
COST_RESERVE = Decimal("0.01")  # fraction kept for fees and slippage when a quantity is cut to the balance


@dataclass(frozen=True)
class Filters:
    """What the exchange accepts of a symbol."""

    tick: Decimal
    step: Decimal
    min_quantity: Decimal
    min_notional: Decimal


@dataclass(frozen=True)
class Limits:
    """What a trader may do. Percentages are percent, money is quote."""

    risk_per_trade_pct: Decimal
    max_position_notional: Decimal
    max_open_positions: int
    min_risk_reward: Decimal
    leverage: Decimal
    is_spot: bool
    may_widen_stop: bool = False
    oldest_price_s: float = 3600.0


@dataclass(frozen=True)
class Account:
    """What a trader has at the moment of the intent; `room` is what an armed account may still take on, in quote."""

    equity: Decimal
    available: Decimal
    open_positions: int
    room: Decimal | None = None


@dataclass(frozen=True)
class Entry:
    """A wish to open a position: +1 long, -1 short; `size_cap` in base is the analyst's own cap."""

    sign: int
    entry: Decimal
    stop: Decimal
    target: Decimal
    market_price: Decimal
    size_cap: Decimal | None = None
    price_age_s: float = 0.0


@dataclass(frozen=True)
class Denied:
    """Why not. `code` is for counting, `reason` for people."""

    code: str
    reason: str

    def __str__(self) -> str:
        return f"denied: {self.code}, {self.reason}"


@dataclass(frozen=True)
class ApprovedEntry:
    """What may be sent, rounded to what the exchange accepts."""

    quantity: Decimal
    stop: Decimal
    target: Decimal


@dataclass(frozen=True)
class Holding:
    """An open position as the gate sees it."""

    sign: int
    quantity: Decimal
    stop: Decimal
    target: Decimal
    market_price: Decimal


def check_entry(wish: Entry, *, limits: Limits, account: Account, filters: Filters) -> ApprovedEntry | Denied:
    """Whether a position may be opened, how large, and with which stop and target."""
    if denied := _wrong_prices(wish, limits):
        return denied
    if account.open_positions >= limits.max_open_positions:
        return Denied("too_many_positions", f"{account.open_positions} are open, {limits.max_open_positions} allowed")
    stop = sizing.stop_price(wish.stop, sign=wish.sign, tick=filters.tick)
    target = sizing.target_price(wish.target, sign=wish.sign, tick=filters.tick)
    price = wish.market_price
    if not wish.sign * (price - stop) > 0 or not wish.sign * (target - price) > 0 or stop <= 0:
        return Denied("stop_side", f"stop {stop} and target {target} do not lie around the market at {price}")
    risk_reward = abs(target - price) / abs(price - stop)
    if risk_reward < limits.min_risk_reward * Decimal("0.98"):  # the market moves a little between plan and order
        return Denied("risk_reward", f"reward over risk is {risk_reward:.2f}, {limits.min_risk_reward} is needed")
    quantity = _quantity(wish, stop, limits, account)
    quantity = sizing.floor_to(quantity, step=filters.step)
    if quantity < filters.min_quantity or quantity <= 0:
        return Denied("too_small", f"quantity {quantity} is under the smallest of {filters.min_quantity}")
    if quantity * price < filters.min_notional:
        return Denied("too_small", f"notional {quantity * price:.2f} is under the smallest of {filters.min_notional}")
    return ApprovedEntry(quantity, stop, target)


def check_stop(wish: Decimal, *, held: Holding, filters: Filters, may_widen: bool = False) -> Decimal | Denied:
    """A new stop for an open position: it only moves to reduce the risk unless the profile allows it, and never across the market."""
    stop = sizing.stop_price(wish, sign=held.sign, tick=filters.tick)
    if not held.sign * (held.market_price - stop) > 0 or stop <= 0:
        return Denied("stop_side", f"stop {stop} is not on the losing side of the market at {held.market_price}")
    if stop == held.stop:
        return Denied("unchanged", f"the stop is at {stop} already")
    if not may_widen and not held.sign * (stop - held.stop) > 0:
        return Denied("stop_widens", f"stop {stop} would not reduce the risk of the stop at {held.stop}")
    return stop


def check_target(wish: Decimal, *, held: Holding, filters: Filters) -> Decimal | Denied:
    """A new target for an open position, on the winning side of the market."""
    target = sizing.target_price(wish, sign=held.sign, tick=filters.tick)
    if not held.sign * (target - held.market_price) > 0:
        return Denied("target_side", f"target {target} is not on the winning side of the market at {held.market_price}")
    if target == held.target:
        return Denied("unchanged", f"the target is {target} already")
    return target


def check_reduce(fraction: Decimal, *, held: Holding, filters: Filters) -> Decimal | Denied:
    """The quantity that a fraction of the current size comes to; all of it when the rest would be too small to sell."""
    if not 0 < fraction <= 1:
        return Denied("bad_fraction", f"fraction {fraction} is not above 0 and at most 1")
    quantity = sizing.floor_to(held.quantity * fraction, step=filters.step)
    left = held.quantity - quantity
    if quantity <= 0:
        return Denied("too_small", f"{fraction} of {held.quantity} is under one step of {filters.step}")
    if left and (left < filters.min_quantity or left * held.market_price < filters.min_notional):
        return held.quantity
    return quantity


def check_add(wish: Decimal, *, held: Holding, limits: Limits, account: Account, filters: Filters) -> Decimal | Denied:
    """How much may be added: the whole position at the present stop stays within the risk per trade and the notional."""
    price = held.market_price
    risk_each = abs(price - held.stop)
    if risk_each <= 0:
        return Denied("stop_side", f"stop {held.stop} is at the market")
    by_risk = sizing.quantity_for_risk(equity=account.equity, risk_pct=limits.risk_per_trade_pct, entry=price, stop=held.stop)
    room = min(by_risk, limits.max_position_notional / price) - held.quantity
    if account.room is not None:
        room = min(room, account.room / price)
    affordable = account.available * limits.leverage / (price * (1 + COST_RESERVE))
    quantity = sizing.floor_to(min(wish, room, affordable), step=filters.step)
    if quantity <= 0 or quantity < filters.min_quantity or quantity * price < filters.min_notional:
        return Denied("no_room", f"{held.quantity} are held and the limits leave room for {max(room, Decimal(0)):.8f} more")
    return quantity


def _wrong_prices(wish: Entry, limits: Limits) -> Denied | None:
    if wish.sign < 0 and limits.is_spot:
        return Denied("no_short", "a spot market can't be sold short")
    if min(wish.entry, wish.stop, wish.target, wish.market_price) <= 0:
        return Denied("bad_price", "a price is not positive")
    if wish.price_age_s > limits.oldest_price_s:
        return Denied("stale_price", f"the newest price is {wish.price_age_s:.0f} s old")
    away = abs(wish.entry / wish.market_price - 1)
    if away > FARTHEST_ENTRY:
        return Denied("price_moved", f"planned entry {wish.entry} is {away:.2%} away from the market at {wish.market_price}")
    return None


def _quantity(wish: Entry, stop: Decimal, limits: Limits, account: Account) -> Decimal:
    price = wish.market_price
    by_risk = sizing.quantity_for_risk(equity=account.equity, risk_pct=limits.risk_per_trade_pct, entry=price, stop=stop)
    affordable = account.available * limits.leverage / (price * (1 + COST_RESERVE))
    caps = [by_risk, limits.max_position_notional / price, affordable]
    if wish.size_cap is not None:
        caps.append(wish.size_cap)
    if account.room is not None:
        caps.append(account.room / price)
    return max(Decimal(0), min(caps))
