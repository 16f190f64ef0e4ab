"""What the risk gate is told: a trader's limits, the account as its venue sees it, and a symbol's filters."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from django.db.models import QuerySet

from monitoring import candles, intervals
from monitoring.models import Instrument
from positions import venue
from positions.exchange import accounting
from positions.models import ExchangeAccount, Position, TradingProfile
from positions.risk import Account, Filters, Limits

LATE_CLOSE_S = 120.0  # how long after its close a price is still one to trade on


def limits_of(profile: TradingProfile) -> Limits:
    """A trader's own limits."""
    return Limits(
        risk_per_trade_pct=profile.risk_per_trade_pct,
        max_position_notional=profile.max_position_notional,
        max_open_positions=profile.max_open_positions,
        min_risk_reward=profile.min_risk_reward,
        leverage=profile.account.leverage if not profile.account.is_spot else Decimal(1),
        is_spot=profile.account.is_spot,
        may_widen_stop=profile.may_widen_stop,
        oldest_price_s=intervals.length_ms(profile.trader.interval) / 1000 + LATE_CLOSE_S,
    )


def account_of(account: ExchangeAccount, *, trader_id: UUID) -> Account:
    """What the account has now, and how many positions the trader has that are not closed."""
    balance = venue.balance(account)
    not_closed = Position.objects.filter(account=account).exclude(status=Position.Status.CLOSED)
    open_positions = not_closed.filter(trader_id=trader_id).count()
    return Account(balance.total, balance.available, open_positions, room=_room(account, not_closed))


def _room(account: ExchangeAccount, not_closed: QuerySet[Position]) -> Decimal | None:
    """What an armed account may still take on; a position that is opening counts with what was approved for it."""
    if account.notional_cap is None:
        return None
    taken = Decimal(0)
    for position in not_closed:
        last = candles.last_price(market=position.market, symbol=position.symbol)
        size = max(position.contracts, position.planned_contracts if position.status == Position.Status.OPENING else Decimal(0))
        taken += accounting.product(last.price, size) if last else position.cost
    return max(Decimal(0), account.notional_cap - taken)


def filters_of(*, market: str, symbol: str) -> Filters | None:
    """What the exchange accepts of a symbol; None when it is not known."""
    row = Instrument.objects.filter(market=market, symbol=symbol).first()
    return Filters(row.tick_size, row.step_size, row.min_quantity, row.min_notional) if row else None
