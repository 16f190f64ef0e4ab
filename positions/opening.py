"""
Opening a position: from an entering answer to an open position with its stop, in steps that can be taken up again.

Every step finds what the steps before it have left; none runs inside a transaction that spans a call to the venue.
"""

from __future__ import annotations

import time
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from monitoring import candles, clock, events, schedules, signal_life
from monitoring.analyst.contract import ENTERS, TradePlan
from monitoring.events import NewEvent
from monitoring.models import Signal, SignalAnalysis
from monitoring.models.schedules import WorkflowType
from monitoring.notifications import notify
from monitoring.signal_life import Move
from positions import gate, intents, leases, orders, protection, risk, trading
from positions.exchange.contract import MARKET
from positions.intents import Cause, Intent
from positions.leases import Busy
from positions.models import Order, Position, TradingProfile
from positions.risk import Denied
from positions.telling import about

Leg, Status = Order.Leg, Position.Status


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
        leases.take(position)
    cause = Cause(Order.Cause.DECISION, str(analysis.id), analysis.id)
    return _enter(position, signal, cause, now=now)


def entering_analysis(signal: Signal) -> SignalAnalysis | None:
    """The newest answer that asked to enter on a signal."""
    return signal.analyses.filter(decision__in=ENTERS).order_by("-created_at").first()


def _begin(analysis: SignalAnalysis, signal: Signal, *, now: datetime) -> Position | Denied:
    trader = signal.trader
    profile = TradingProfile.objects.select_related("account").filter(trader=trader).first()
    if profile is None:
        return Denied("no_profile", f"trader {trader.name} has no trading profile")
    last = candles.last_price(market=trader.market, symbol=signal.symbol)
    filters = gate.filters_of(market=trader.market, symbol=signal.symbol)
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
        price_age_s=(clock.to_ms(now) - last.closed_ms) / 1000,
    )
    account = gate.account_of(profile.account, trader_id=trader.id)
    allowed = risk.check_entry(wish, limits=gate.limits_of(profile), account=account, filters=filters)
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
                planned_contracts=allowed.quantity,  # kept, so that a job that runs again sends the same
                created_at=now,
            )
            leases.take(position)
    except IntegrityError as error:
        if "position_one_open_per_symbol" not in str(error):
            raise
        return Denied("symbol_taken", f"another position on {signal.symbol} is open in {profile.account.name}")
    return position


def _enter(position: Position, signal: Signal, cause: Cause, *, now: datetime) -> Position | Denied | None:
    intent = Intent(position, Leg.ENTRY, intents.entry_side(position), MARKET, position.planned_contracts, cause)
    entry = orders.place(intent)
    if isinstance(entry, Denied):
        return _abandon_entry(position, signal, entry, now=now)
    entry = orders.clear(entry, until=time.monotonic() + protection.RETRY_BUDGET_S)
    position.refresh_from_db()
    if entry.status in (Order.Status.REJECTED, Order.Status.CANCELED) and not position.contracts:
        return _abandon_entry(position, signal, Denied("entry_rejected", entry.error), now=now)
    if not entry.filled:
        raise Busy(f"entry {entry.client_order_id} is {entry.status}")  # unclear: the sweep comes back and asks
    if not position.contracts:  # this job died before, and the stop has filled meanwhile
        _mark_open(position, signal, now=now)
        trading.settle(position, reason="stop", now=now)
        return position
    assert position.stop_loss is not None
    assert position.take_profit is not None
    protected = protection.set_stop(position, price=position.stop_loss, cause=cause, now=now)
    if protected:
        protection.set_target(position, price=position.take_profit, cause=cause)
    _mark_open(position, signal, now=now)
    if not protected:
        trading.close_unprotected(position, cause, now=now)
    leases.release(position)
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
        assert position.stop_loss is not None
        assert position.take_profit is not None
        size, stop, target = (f"{n.normalize():f}" for n in (position.initial_contracts, position.stop_loss, position.take_profit))
        text = f"{position.side} {size} at {position.entry_price:.7g}, stop {stop}, target {target}"
        data = {
            "symbol": position.symbol,
            "side": position.side,
            "quantity": str(position.initial_contracts),
            "entry_price": str(position.entry_price),
            "stop_loss": str(position.stop_loss),
            "take_profit": str(position.take_profit),
        }
        notify([events.record(about(position, "position_opened", text, data), now=now)])


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
