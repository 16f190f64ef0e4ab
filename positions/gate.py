"""What the risk gate is told: a trader's limits, the account as its venue sees it, and a symbol's filters."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from monitoring.models import Instrument
from positions import orders
from positions.models import ExchangeAccount, Position, TradingProfile
from positions.risk import Account, Filters, Limits


def limits_of(profile: TradingProfile) -> Limits:
    """A trader's own limits."""
    return Limits(
        risk_per_trade_pct=profile.risk_per_trade_pct,
        max_position_notional=profile.max_position_notional,
        max_open_positions=profile.max_open_positions,
        min_risk_reward=profile.min_risk_reward,
        leverage=profile.account.leverage if not profile.account.is_spot else Decimal(1),
        is_spot=profile.account.is_spot,
    )


def account_of(account: ExchangeAccount, *, trader_id: UUID) -> Account:
    """What the account has now, and how many positions the trader has that are not closed."""
    balance = orders.balance(account)
    open_positions = Position.objects.filter(account=account, trader_id=trader_id).exclude(status=Position.Status.CLOSED).count()
    return Account(equity=balance.total, available=balance.available, open_positions=open_positions)


def filters_of(*, market: str, symbol: str) -> Filters | None:
    """What the exchange accepts of a symbol; None when it is not known."""
    row = Instrument.objects.filter(market=market, symbol=symbol).first()
    return Filters(row.tick_size, row.step_size, row.min_quantity, row.min_notional) if row else None
