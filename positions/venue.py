"""What an account's venue itself knows: read, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from monitoring import clock
from positions.exchange.contract import Balance, Features, Held, ListedTrade, Resting
from positions.exchange.factory import exchange_for
from positions.models import ExchangeAccount, Fill, Position


@dataclass(frozen=True)
class AtVenue:
    """What the venue itself knows of an account."""

    resting: tuple[Resting, ...]
    holdings: Mapping[str, Held]
    features: Features


def balance(account: ExchangeAccount) -> Balance:
    """The account's quote currency at its venue."""
    return exchange_for(account).balance()


def features(account: ExchangeAccount) -> Features:
    """How the account's venue differs from others."""
    return exchange_for(account).features


def held(position: Position) -> Decimal:
    """
    The size that the venue itself says is held for a position, positive.

    A spot wallet may hold more than the desk has bought: there it is what the position can still account for.
    """
    exchange = exchange_for(position.account)
    found = exchange.held(symbol=position.symbol).quantity
    return abs(found) if exchange.features.owns_wallet else min(found, position.contracts)


def at_venue(account: ExchangeAccount) -> AtVenue:
    """All that rests and is held at the account's venue, by whoever it was sent."""
    exchange = exchange_for(account)
    return AtVenue(tuple(exchange.open_orders()), exchange.holdings(), exchange.features)


def outside_trades(position: Position, *, since: datetime) -> dict[str, list[ListedTrade]]:
    """Fills of the position's symbol that no order of ours caused, by the exchange's order ids."""
    rows = exchange_for(position.account).trades_since(symbol=position.symbol, since_ms=clock.to_ms(since))
    known = set(Fill.objects.filter(account=position.account, at__gte=since).values_list("exchange_trade_id", flat=True))
    found: dict[str, list[ListedTrade]] = {}
    for row in rows:
        if row.trade.trade_id not in known:
            found.setdefault(row.exchange_order_id, []).append(row)
    return found
