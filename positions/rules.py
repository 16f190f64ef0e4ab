"""
The mechanical rules of a position, looked at on every close before the analyst is asked, and without one. Pure.

They need no judgement, so they go on while an analyst is away: a loss that is too large ends the position, levels on
the way to the target take part of it off, and a trailing stop follows the close.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Rules:
    """
    `trailing_pct` is the distance of the stop from the best close in percent of it, None without a trailing stop.
    Level i of n fires i/(n+1) of the way to the target and takes that percent of the initial size. `max_loss` is in quote.
    """

    trailing_pct: Decimal | None
    levels: Sequence[Decimal]
    max_loss: Decimal | None


@dataclass(frozen=True)
class Held:
    """
    An open position; `net_pnl` is in quote, after fees and with what is not realized yet.

    `target_rests` tells whether the venue holds the target; where it can't, it is watched here.
    """

    sign: int
    entry: Decimal
    stop: Decimal
    target: Decimal
    contracts: Decimal
    initial_contracts: Decimal
    net_pnl: Decimal
    target_rests: bool = True


@dataclass(frozen=True)
class Exit:
    """The whole position has to go."""

    name: str = "max-loss"


@dataclass(frozen=True)
class TakeOff:
    """A level was reached: take off this fraction of what is held."""

    level: int
    fraction: Decimal

    @property
    def name(self) -> str:
        """Each level fires once in the life of a position."""
        return f"level-{self.level}"


@dataclass(frozen=True)
class Trail:
    """The stop follows to this price."""

    stop: Decimal
    name = "trail"


Action = Exit | TakeOff | Trail


def due(held: Held, *, rules: Rules, close: Decimal, fired: Collection[int]) -> list[Action]:
    """What has to be done at this close; `fired` are the levels that were taken before."""
    if rules.max_loss is not None and held.net_pnl <= -rules.max_loss:
        return [Exit()]
    if not held.target_rests and held.sign * (close - held.target) >= 0:
        return [Exit("target")]
    actions: list[Action] = [*_levels(held, rules, close, fired)]
    if rules.trailing_pct is not None:
        stop = close * (1 - held.sign * rules.trailing_pct / 100)
        if held.sign * (stop - held.stop) > 0:
            actions.append(Trail(stop))
    return actions


def _levels(held: Held, rules: Rules, close: Decimal, fired: Collection[int]) -> list[TakeOff]:
    way = held.sign * (held.target - held.entry)
    if way <= 0:
        return []  # the target was moved behind the entry: there is no way to go part of
    progress, left = held.sign * (close - held.entry) / way, held.contracts
    reached = []
    for level, percent in enumerate(rules.levels, start=1):
        if level in fired or progress < Decimal(level) / (len(rules.levels) + 1) or left <= 0:
            continue
        quantity = min(left, held.initial_contracts * percent / 100)
        reached.append(TakeOff(level, quantity / left))
        left -= quantity
    return reached
