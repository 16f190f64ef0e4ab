"""
Carries out the mechanical rules at every close of a position's management interval, before the analyst is asked.

A rule's order is known by its rule (and, for a trailing stop, its candle), so that a close that is handled twice finds
it in the journal. What protects goes on while trading is halted; taking profits does not. A stop whose size is not that
of the position, since a worker died in between, is made to fit first.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.db.models import Q, QuerySet

from monitoring import controls, events, jobs
from monitoring.controls import HALTED
from monitoring.handlers import Close
from monitoring.models import Candle, Halt
from positions import orders, protection, rules, trading, venue
from positions.intents import Cause
from positions.leases import Busy
from positions.models import Order, Position, TradingProfile
from positions.rules import Exit, Held, Rules, TakeOff, Trail
from positions.telling import about

logger = logging.getLogger(__name__)
REDUCING = (Order.Leg.REDUCE, Order.Leg.CLOSE)


def on_close(close: Close, now: datetime) -> None:
    """
    Apply the rules of every open position that is managed on this interval.

    Paper is done with here. An exchange may take its time, and others wait for their decisions: its positions get a job each.
    """
    found = list(_managed(close).order_by("created_at", "symbol"))
    if not found:
        return
    halts = controls.open_halts()
    candles = Candle.objects.filter(market=close.market, interval=close.interval, open_time=close.open_time, symbol__in=close.symbols)
    prices = dict(candles.values_list("symbol", "close"))
    fired, stopped = _fired(found), _stopped(found)
    for position in found:
        try:
            look = _look(position, prices[position.symbol], halts, fired=fired[position.id], stopped=stopped[position.id])
            if not look.has_work:
                continue
            if position.account.needs_arming:
                jobs.enqueue(jobs.Job.APPLY_RULES, position_id=str(position.id), interval=close.interval, open_time=close.open_time)
            else:
                _act(position, look, close.open_time, now=now)
        except (OperationalError, InterfaceError):
            raise  # the database is away: the whole job comes back
        except Busy as error:
            logger.info("rules of %s wait for the next close: %s", position, error)
        except Exception:  # one position's trouble must not keep the others from theirs (P8)
            logger.exception("the rules of position %s could not be applied; the next close tries again", position.id)


def apply(*, position_id: UUID, interval: str, open_time: int, now: datetime) -> None:
    """
    Apply the rules of one open position at one close; a second time finds the orders of the first in the journal.

    :raises Busy: if another action is at work on it
    """
    position = Position.objects.select_related("trader__profile", "account", "signal").get(id=position_id)
    if position.status != Position.Status.OPEN or not position.contracts:
        logger.info("%s is %s: its rules have nothing to do", position, position.status)
        return
    price = Candle.objects.values_list("close", flat=True).get(
        market=position.market, symbol=position.symbol, interval=interval, open_time=open_time
    )
    fired, stopped = _fired([position]), _stopped([position])
    look = _look(position, price, controls.open_halts(), fired=fired[position.id], stopped=stopped[position.id])
    _act(position, look, open_time, now=now)


def rules_of(profile: TradingProfile) -> Rules:
    """A trader's rules."""
    trailing = profile.trailing_stop_distance if profile.use_trailing_stop else None
    return Rules(trailing, [Decimal(level) for level in profile.partial_take_profit_levels or ()], profile.max_loss_per_position)


@dataclass(frozen=True)
class Look:
    """What has to be done with a position at a close: `stopped` is the size that its resting stops would close."""

    price: Decimal
    stopped: Decimal
    stop_fits: bool
    actions: tuple[rules.Action, ...]

    @property
    def has_work(self) -> bool:
        """Whether anything has to be done at all; mostly not."""
        return bool(self.actions) or not self.stop_fits


def _managed(close: Close) -> QuerySet[Position]:
    own_interval = Q(trader__profile__management_interval="", trader__interval=close.interval)
    return Position.objects.filter(
        own_interval | Q(trader__profile__management_interval=close.interval),
        status=Position.Status.OPEN,
        market=close.market,
        symbol__in=close.symbols,
        contracts__gt=0,
    ).select_related("trader__profile", "account", "signal")


def _look(position: Position, price: Decimal, halts: Mapping[str, Halt], *, fired: set[int], stopped: Decimal) -> Look:
    assert position.entry_price is not None
    assert position.stop_loss is not None
    assert position.take_profit is not None
    held = Held(
        position.sign,
        position.entry_price,
        position.stop_loss,
        position.take_profit,
        position.contracts,
        position.initial_contracts,
        position.realized_pnl + position.unrealized_pnl - position.fees,
        target_rests=venue.features(position.account).exits_share,
    )
    found = rules.due(held, rules=rules_of(position.trader.profile), close=price, fired=fired)
    takes_profit = any(isinstance(action, TakeOff) for action in found)
    if halts and takes_profit and (halt := controls.strictest(halts, orders.scopes_of(position))) and halt.state == HALTED:
        found = [action for action in found if not isinstance(action, TakeOff)]
    return Look(price, stopped, stopped == position.contracts, tuple(found))


def _act(position: Position, look: Look, open_time: int, *, now: datetime) -> None:
    if not look.stop_fits:
        outcome = trading.keep_safe(position, cause=Cause(Order.Cause.RULE, f"resize-{open_time}"), now=now)
        logger.warning("%s: its stop is for %s; resized: %s", position, look.stopped, outcome)
    for action in look.actions:
        outcome = _carry_out(position, action, open_time, now)
        price = f"{look.price.normalize():f}"
        data = {"symbol": position.symbol, "rule": action.name, "outcome": outcome, "price": price}
        level = events.INFO if outcome == trading.APPLIED else events.WARNING
        text = f"{position.symbol}: rule {action.name} at {price}: {outcome}"
        events.record(about(position, "rule_applied", text, data, level=level), now=now)
        position.refresh_from_db()
        if position.status != Position.Status.OPEN:
            return


def _carry_out(position: Position, action: rules.Action, open_time: int, now: datetime) -> str:
    match action:
        case Exit():
            return trading.close(position, cause=Cause(Order.Cause.RULE, action.name), reason=action.name.replace("-", " "), now=now)
        case TakeOff(fraction=fraction):
            return trading.reduce(position, fraction=fraction, cause=Cause(Order.Cause.RULE, action.name), now=now)
        case Trail(stop=stop):
            return trading.adjust_stop(position, price=stop, cause=Cause(Order.Cause.RULE, f"trail-{open_time}"), now=now)


def _fired(positions: Sequence[Position]) -> dict[UUID, set[int]]:
    """Levels of each that have an order, whatever became of it: each is tried once."""
    found: dict[UUID, set[int]] = defaultdict(set)
    taken = Order.objects.filter(position__in=positions, cause=Order.Cause.RULE, cause_id__startswith="level-", leg__in=REDUCING)
    for position_id, cause in taken.values_list("position_id", "cause_id"):
        found[position_id].add(int(cause.removeprefix("level-")))
    return found


def _stopped(positions: Sequence[Position]) -> dict[UUID, Decimal]:
    """The size that the resting stops of each would close."""
    found: dict[UUID, Decimal] = defaultdict(Decimal)
    resting = Order.objects.filter(position__in=positions, leg=Order.Leg.STOP, status__in=protection.RESTING)
    for position_id, quantity, filled in resting.values_list("position_id", "quantity", "filled"):
        found[position_id] += quantity - filled
    return found
