"""
Carries out the mechanical rules at every close of a position's management interval, before the analyst is asked.

A rule's order is known by its rule (and, for a trailing stop, its candle), so that a close that is handled twice finds
it in the journal. What protects goes on while trading is halted; taking profits does not. A stop whose size is not that
of the position, since a worker died in between, is made to fit first.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.db.models import Q

from monitoring import controls, events
from monitoring.controls import HALTED
from monitoring.handlers import Close
from monitoring.models import Candle
from positions import orders, protection, rules, trading
from positions.leases import Busy
from positions.models import Order, Position, TradingProfile
from positions.orders import Cause
from positions.rules import Exit, Held, Rules, TakeOff, Trail
from positions.telling import about

logger = logging.getLogger(__name__)
REDUCING = (Order.Leg.REDUCE, Order.Leg.CLOSE)


def on_close(close: Close, now: datetime) -> None:
    """Apply the rules of every open position that is managed on this interval."""
    own_interval = Q(trader__profile__management_interval="", trader__interval=close.interval)
    managed = Position.objects.filter(
        own_interval | Q(trader__profile__management_interval=close.interval),
        status=Position.Status.OPEN,
        market=close.market,
        symbol__in=close.symbols,
        contracts__gt=0,
    ).select_related("trader__profile", "account", "signal")
    found = list(managed.order_by("created_at", "symbol"))
    if not found:
        return
    halts = controls.open_halts()
    candles = Candle.objects.filter(market=close.market, interval=close.interval, open_time=close.open_time, symbol__in=close.symbols)
    prices = dict(candles.values_list("symbol", "close"))
    fired, stopped = _fired(found), _stopped(found)
    for position in found:
        halt = controls.strictest(halts, controls.scopes(trader_id=position.trader_id, symbol=position.symbol))
        try:
            if stopped[position.id] != position.contracts:
                cause = Cause(Order.Cause.RULE, f"resize-{close.open_time}")
                logger.warning(
                    "%s: its stop is for %s; resized: %s",
                    position,
                    stopped[position.id],
                    trading.keep_safe(position, cause=cause, now=now),
                )
            is_halted = bool(halt and halt.state == HALTED)
            _apply(position, prices[position.symbol], close, fired=fired[position.id], is_halted=is_halted, now=now)
        except (OperationalError, InterfaceError):
            raise  # the database is away: the whole job comes back
        except Busy as error:
            logger.info("rules of %s wait for the next close: %s", position, error)
        except Exception:  # one position's trouble must not keep the others from theirs (P8)
            logger.exception("the rules of position %s could not be applied; the next close tries again", position.id)


def rules_of(profile: TradingProfile) -> Rules:
    """A trader's rules."""
    trailing = profile.trailing_stop_distance if profile.use_trailing_stop else None
    return Rules(trailing, [Decimal(level) for level in profile.partial_take_profit_levels or ()], profile.max_loss_per_position)


def _apply(position: Position, price: Decimal, close: Close, *, fired: set[int], is_halted: bool, now: datetime) -> None:
    limits = rules_of(position.trader.profile)
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
        target_rests=orders.features(position.account).exits_share,
    )
    for action in rules.due(held, rules=limits, close=price, fired=fired):
        if is_halted and isinstance(action, TakeOff):
            continue
        outcome = _carry_out(position, action, close, now)
        data = {"symbol": position.symbol, "rule": action.name, "outcome": outcome, "price": f"{price.normalize():f}"}
        level = events.INFO if outcome == trading.APPLIED else events.WARNING
        text = f"{position.symbol}: rule {action.name} at {price.normalize():f}: {outcome}"
        events.record(about(position, "rule_applied", text, data, level=level), now=now)
        position.refresh_from_db()
        if position.status != Position.Status.OPEN:
            return


def _carry_out(position: Position, action: rules.Action, close: Close, now: datetime) -> str:
    match action:
        case Exit():
            return trading.close(position, cause=Cause(Order.Cause.RULE, action.name), reason=action.name.replace("-", " "), now=now)
        case TakeOff(fraction=fraction):
            return trading.reduce(position, fraction=fraction, cause=Cause(Order.Cause.RULE, action.name), now=now)
        case Trail(stop=stop):
            return trading.adjust_stop(position, price=stop, cause=Cause(Order.Cause.RULE, f"trail-{close.open_time}"), now=now)


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
