"""
What can be done with a position: open, add, reduce, move stop or target, close.

Every action takes the position for itself by a lease, can be taken up again where it died, and ends in an outcome:
applied, or denied with the reason. None of them runs inside a transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from monitoring import candles, events, schedules, signal_life
from monitoring.analyst.contract import ENTERS, TradePlan
from monitoring.events import NewEvent
from monitoring.models import Instrument, Signal, SignalAnalysis, WorkflowSchedule
from monitoring.models.schedules import WorkflowType
from monitoring.notifications import notify
from monitoring.signal_life import Move
from positions import orders, protection, risk
from positions.exchange.contract import MARKET
from positions.models import ExchangeAccount, Order, Position, TradingProfile
from positions.orders import Cause, Intent
from positions.risk import Account, Denied, Filters, Holding, Limits

logger = logging.getLogger(__name__)
Leg, Status = Order.Leg, Position.Status
LEASE_S = 30  # real time; an action takes a few calls to a venue
APPLIED = "applied"

TAKE = """
UPDATE positions SET lease_until = now() + make_interval(secs => %s)
 WHERE id = %s AND status <> 'closed' AND (lease_until IS NULL OR lease_until < now()) RETURNING id
"""


class Busy(Exception):
    """Another action is at work on the position; the job comes back."""


def open_position(*, analysis_id: UUID, now: datetime) -> Position | Denied | None:
    """
    Open the position that an entering answer asked for. None when there is nothing left to do.

    1. Ask the risk gate; a denial returns the signal to monitoring with the reason.
    2. Commit the position as *opening*; one that is not closed per account, market and symbol.
    3. Send the entry. When it fills, place the stop, then the target.
    4. Mark it open, start its management and tell.

    :raises Busy: if another worker is at it
    """
    analysis = SignalAnalysis.objects.select_related("signal__trader__user").get(id=analysis_id)
    signal = analysis.signal
    assert signal is not None
    assert analysis.decision in ENTERS
    position = Position.objects.filter(signal=signal).select_related("account", "trader").first()
    if position is None:
        if signal.status != Signal.Status.READY:
            return None
        started = _begin(analysis, signal, now=now)
        if isinstance(started, Denied):
            return _deny_entry(signal, started, now=now)
        position = started
    elif position.status != Status.OPENING:
        return None
    else:
        _take(position)
    cause = Cause(Order.Cause.DECISION, str(analysis.id), analysis.id)
    return _enter(position, signal, cause, now=now)


def adjust_stop(position: Position, *, price: Decimal, cause: Cause, now: datetime) -> str:
    """Move the stop; only to reduce the risk."""

    def act(held: Holding) -> str | Denied:
        allowed = risk.check_stop(price, held=held, filters=_filters(position))
        if isinstance(allowed, Denied):
            return allowed
        placed = protection.set_stop(position, price=allowed, cause=cause, now=now)
        return APPLIED if placed else Denied("not_placed", f"no stop could be placed at {allowed}; the former one rests on")

    return _act(position, "adjust_sl", act, now=now)


def adjust_target(position: Position, *, price: Decimal, cause: Cause, now: datetime) -> str:
    """Move the target."""

    def act(held: Holding) -> str | Denied:
        allowed = risk.check_target(price, held=held, filters=_filters(position))
        if isinstance(allowed, Denied):
            return allowed
        placed = protection.set_target(position, price=allowed, cause=cause)
        return APPLIED if placed else Denied("not_placed", f"no target could be placed at {allowed}")

    return _act(position, "adjust_tp", act, now=now)


def reduce(position: Position, *, fraction: Decimal, cause: Cause, now: datetime) -> str:
    """Take off a fraction of the size that is held now, and resize stop and target."""

    def act(held: Holding) -> str | Denied:
        allowed = risk.check_reduce(fraction, held=held, filters=_filters(position))
        if isinstance(allowed, Denied):
            return allowed
        if allowed == held.quantity:
            return _exit(position, cause, reason="reduced to nothing", now=now)
        intent = Intent(position, Leg.REDUCE, orders.exit_side(position), MARKET, allowed, cause)
        return _after_size_change(position, orders.place(intent), cause, now=now)

    return _act(position, "reduce", act, now=now)


def add(position: Position, *, quantity: Decimal, cause: Cause, now: datetime) -> str:
    """Add to the position within the risk per trade, and resize stop and target."""

    def act(held: Holding) -> str | Denied:
        profile = position.trader.profile
        account = _account_state(position.account)
        allowed = risk.check_add(quantity, held=held, limits=_limits(profile), account=account, filters=_filters(position))
        if isinstance(allowed, Denied):
            return allowed
        intent = Intent(position, Leg.ADD, orders.entry_side(position), MARKET, allowed, cause)
        return _after_size_change(position, orders.place(intent), cause, now=now)

    return _act(position, "add", act, now=now)


def close(position: Position, *, cause: Cause, reason: str, now: datetime) -> str:
    """Close all of it at market, then take its resting orders away."""
    return _act(position, "close", lambda _: _exit(position, cause, reason=reason, now=now), now=now)


def settle(position: Position, *, reason: str, now: datetime) -> bool:
    """
    After fills arrived: if the position is flat, take its other orders away and end it; else keep its stop sized.

    Returns whether it is closed now.
    """
    position.refresh_from_db()
    if position.status == Status.CLOSED:
        return True
    if position.status == Status.OPENING or position.contracts:
        return False
    protection.cancel_all(position)
    with transaction.atomic():
        locked = Position.objects.select_for_update(no_key=True, of=("self",)).select_related("signal", "trader").get(id=position.id)
        if locked.status == Status.CLOSED:
            return True
        locked.status, locked.closed_at, locked.close_reason = Status.CLOSED, now, reason[:64]
        locked.unrealized_pnl, locked.lease_until = Decimal(0), None
        locked.max_pnl = max(locked.max_pnl, locked.realized_pnl - locked.fees)
        locked.save(update_fields=["status", "closed_at", "close_reason", "unrealized_pnl", "max_pnl", "lease_until"])
        schedules.stop(
            workflow_type=WorkflowType.POSITION_MANAGEMENT,
            entity_id=locked.id,
            reason=WorkflowSchedule.StopReason.POSITION_CLOSED,
            now=now,
        )
        if locked.signal and locked.signal.status == Signal.Status.IN_POSITION:
            signal_life.move([Move(locked.signal, Signal.Status.CLOSED, reason)], now=now)
        _tell_closed(locked, reason, now)
    position.refresh_from_db()
    return True


def entering_analysis(signal: Signal) -> SignalAnalysis | None:
    """The newest answer that asked to enter on a signal."""
    return signal.analyses.filter(decision__in=ENTERS).order_by("-created_at").first()


def _begin(analysis: SignalAnalysis, signal: Signal, *, now: datetime) -> Position | Denied:
    trader = signal.trader
    profile = TradingProfile.objects.select_related("account").filter(trader=trader).first()
    if profile is None:
        return Denied("no_profile", f"trader {trader.name} has no trading profile")
    last = candles.last_price(market=trader.market, symbol=signal.symbol)
    filters = _filters_of(trader.market, signal.symbol)
    if last is None or filters is None:
        return Denied("no_price", f"no candle or no filters of {signal.symbol} are known")
    plan = TradePlan.from_json(analysis.answer["tradePlan"])
    wish = risk.Entry(
        sign=1 if signal.side == "long" else -1,
        entry=plan.entry,
        stop=plan.stop_loss,
        target=plan.take_profit,
        market_price=last.price,
        size_cap=plan.position_size,
    )
    allowed = risk.check_entry(wish, limits=_limits(profile), account=_account_state(profile.account, trader_id=trader.id), filters=filters)
    if isinstance(allowed, Denied):
        return allowed
    try:
        with transaction.atomic():
            position = Position.objects.create(
                account=profile.account,
                trader=trader,
                signal=signal,
                market=trader.market,
                symbol=signal.symbol,
                side=signal.side,
                stop_loss=allowed.stop,
                initial_stop_loss=allowed.stop,
                take_profit=allowed.target,
                initial_contracts=0,
                created_at=now,
            )
            _take(position)
            # What was approved is kept as the intent itself, so that a job that runs again sends the same.
            _remember_size(position, allowed.quantity)
    except IntegrityError as error:
        if "position_one_open_per_symbol" not in str(error):
            raise
        return Denied("symbol_taken", f"another position on {signal.symbol} is open in {profile.account.name}")
    return position


def _remember_size(position: Position, quantity: Decimal) -> None:
    Position.objects.filter(id=position.id).update(planned_contracts=quantity)
    position.planned_contracts = quantity


def _enter(position: Position, signal: Signal, cause: Cause, *, now: datetime) -> Position | Denied | None:
    intent = Intent(position, Leg.ENTRY, orders.entry_side(position), MARKET, position.planned_contracts, cause)
    entry = orders.place(intent)
    if isinstance(entry, Denied):
        return _abandon_entry(position, signal, entry, now=now)
    position.refresh_from_db()
    if entry.status in (Order.Status.REJECTED, Order.Status.CANCELED) and not position.contracts:
        return _abandon_entry(position, signal, Denied("entry_rejected", entry.error), now=now)
    if not entry.filled:
        raise Busy(f"entry {entry.client_order_id} is {entry.status}")  # unclear: the sweep comes back and asks
    if not position.contracts:  # this job died before, and the stop has filled meanwhile
        _mark_open(position, signal, now=now)
        settle(position, reason="stop", now=now)
        return position
    assert position.stop_loss is not None
    assert position.take_profit is not None
    protected = protection.set_stop(position, price=position.stop_loss, cause=cause, now=now)
    if protected:
        protection.set_target(position, price=position.take_profit, cause=cause)
    _mark_open(position, signal, now=now)
    if not protected:
        protection.tell_unprotected(position, reason="the stop was refused; the position is closed at market", now=now)
        _exit(position, Cause(Order.Cause.RULE, f"{cause.key}:unprotected"), reason="stop could not be placed", now=now)
    _release(position)
    return position


def _mark_open(position: Position, signal: Signal, *, now: datetime) -> None:
    trader = position.trader
    interval = trader.profile.management_interval or trader.interval
    with transaction.atomic():
        Position.objects.filter(id=position.id, status=Status.OPENING).update(status=Status.OPEN, opened_at=now)
        position.refresh_from_db()
        signal_life.move([Move(signal, Signal.Status.IN_POSITION, "position opened")], now=now)
        schedules.start(
            workflow_type=WorkflowType.POSITION_MANAGEMENT,
            entity_id=position.id,
            trader=trader,
            symbol=position.symbol,
            interval=interval,
            now=now,
        )
        assert position.entry_price is not None
        prices = [f"{price.normalize():f}" for price in (position.contracts, position.stop_loss, position.take_profit) if price]
        text = f"{position.side} {prices[0]} at {position.entry_price:.7g}, stop {prices[1]}, target {prices[2]}"
        data = {
            "symbol": position.symbol,
            "side": position.side,
            "quantity": str(position.contracts),
            "entry_price": str(position.entry_price),
            "stop_loss": str(position.stop_loss),
            "take_profit": str(position.take_profit),
        }
        notify([events.record(_event("position_opened", text, data, position), now=now)])


def _abandon_entry(position: Position, signal: Signal, denied: Denied, *, now: datetime) -> Denied:
    with transaction.atomic():
        # Nothing was ever held: the row makes room for the signal's next try.
        Position.objects.filter(id=position.id, contracts=0).update(
            status=Status.CLOSED, closed_at=now, close_reason=denied.code, signal=None, lease_until=None
        )
        return _deny_entry(signal, denied, now=now)


def _deny_entry(signal: Signal, denied: Denied, *, now: datetime) -> Denied:
    """The signal waits on, with the reason; its schedule is taken up again."""
    with transaction.atomic():
        moved = signal_life.move([Move(signal, Signal.Status.MONITORING, str(denied))], now=now)
        if moved:
            schedules.start(
                workflow_type=WorkflowType.SIGNAL_MONITORING,
                entity_id=signal.id,
                trader=signal.trader,
                symbol=signal.symbol,
                interval=signal.interval,
                now=now,
            )
            event = NewEvent(
                "entry_denied",
                f"entry {denied}",
                {"symbol": signal.symbol, "code": denied.code, "reason": denied.reason},
                level=events.WARNING,
                user_id=signal.user_id,
                trader_id=signal.trader_id,
                signal_id=signal.id,
            )
            events.record(event, now=now)
    return denied


def _act(position: Position, action: str, act: Callable[[Holding], str | Denied], *, now: datetime) -> str:
    """Take the position, do it, give it back; a denial becomes an event and the outcome's text."""
    _take(position)
    try:
        position.refresh_from_db()
        if position.status != Status.OPEN or not position.contracts:
            return str(Denied("not_open", f"the position is {position.status}"))
        last = candles.last_price(market=position.market, symbol=position.symbol)
        assert last is not None
        assert position.stop_loss is not None
        assert position.take_profit is not None
        held = Holding(position.sign, position.contracts, position.stop_loss, position.take_profit, last.price)
        outcome = act(held)
    finally:
        _release(position)
    if isinstance(outcome, Denied):
        data = {"symbol": position.symbol, "action": action, "code": outcome.code, "reason": outcome.reason}
        events.record(_event("action_denied", f"{action} {outcome}", data, position, level=events.WARNING), now=now)
    return str(outcome)


def _after_size_change(position: Position, order: Order | Denied, cause: Cause, *, now: datetime) -> str | Denied:
    if isinstance(order, Denied):
        return order
    position.refresh_from_db()
    if order.status != Order.Status.FILLED:
        return Denied("not_filled", f"the order is {order.status}: {order.error}")
    if not protection.resize(position, cause=cause, now=now):
        protection.tell_unprotected(position, reason="the stop could not be resized", now=now)
    return APPLIED


def _exit(position: Position, cause: Cause, *, reason: str, now: datetime) -> str | Denied:
    intent = Intent(position, Leg.CLOSE, orders.exit_side(position), MARKET, position.contracts, cause)
    order = orders.place(intent)
    assert not isinstance(order, Denied), "what reduces exposure is never denied by a switch"
    settle(position, reason=reason, now=now)
    return APPLIED if position.status == Status.CLOSED else Denied("not_filled", f"the order is {order.status}: {order.error}")


def _take(position: Position) -> None:
    with connection.cursor() as cursor:
        cursor.execute(TAKE, [LEASE_S, position.id])
        if cursor.fetchone() is None:
            raise Busy(f"position {position.id} is closed, or another action is at work on it")


def _release(position: Position) -> None:
    Position.objects.filter(id=position.id).update(lease_until=None)


def _limits(profile: TradingProfile) -> Limits:
    return Limits(
        risk_per_trade_pct=profile.risk_per_trade_pct,
        max_position_notional=profile.max_position_notional,
        max_open_positions=profile.max_open_positions,
        min_risk_reward=profile.min_risk_reward,
        leverage=profile.account.leverage if not profile.account.is_spot else Decimal(1),
        is_spot=profile.account.is_spot,
    )


def _account_state(account: ExchangeAccount, *, trader_id: UUID | None = None) -> Account:
    balance = orders.balance(account)
    open_positions = Position.objects.filter(account=account, trader_id=trader_id).exclude(status=Status.CLOSED).count() if trader_id else 0
    return Account(equity=balance.total, available=balance.available, open_positions=open_positions)


def _filters(position: Position) -> Filters:
    found = _filters_of(position.market, position.symbol)
    assert found is not None, "a position was opened on a known symbol"
    return found


def _filters_of(market: str, symbol: str) -> Filters | None:
    row = Instrument.objects.filter(market=market, symbol=symbol).first()
    return Filters(row.tick_size, row.step_size, row.min_quantity, row.min_notional) if row else None


def _tell_closed(position: Position, reason: str, now: datetime) -> None:
    net = position.realized_pnl - position.fees
    data = {
        "symbol": position.symbol,
        "side": position.side,
        "realized_pnl": str(position.realized_pnl),
        "fees": str(position.fees),
        "reason": reason,
    }
    text = f"{position.symbol} is flat, {net:+.2f} after fees: {reason}"
    notify([events.record(_event("position_closed", text, data, position), now=now)])


def _event(kind: str, text: str, data: Mapping[str, object], position: Position, level: str = events.INFO) -> NewEvent:
    return NewEvent(
        kind,
        text,
        data,
        level=level,
        user_id=position.trader.user_id,
        trader_id=position.trader_id,
        signal_id=position.signal_id,
        position_id=position.id,
    )
