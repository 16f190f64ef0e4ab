"""
Signals into the desk: recorded once, with the event and the job of the first analysis, in one transaction.

IntakeError
  NotOfTrader     a symbol that the trader does not trade, or a side the market does not have
  TraderPaused    the trader takes no signals now
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction

from monitoring import events, jobs
from monitoring.events import NewEvent
from monitoring.models import Signal, Trader
from monitoring.models.traders import Side

INSERT = """
INSERT INTO signals (id, trader_id, user_id, symbol, interval, side, initial_price,
                     matched_conditions, metadata, source, external_id, created_at)
SELECT n.id, n.trader_id, n.user_id, n.symbol, n.interval, n.side, n.price,
       n.matched::jsonb, n.metadata::jsonb, n.source, n.external_id, %(now)s
  FROM unnest(%(id)s::uuid[], %(trader_id)s::uuid[], %(user_id)s::uuid[], %(symbol)s::text[], %(interval)s::text[], %(side)s::text[],
              %(price)s::numeric[], %(matched)s::text[], %(metadata)s::text[], %(source)s::text[], %(external_id)s::text[])
       AS n(id, trader_id, user_id, symbol, interval, side, price, matched, metadata, source, external_id)
ON CONFLICT (trader_id, external_id) DO NOTHING
RETURNING id
"""


class IntakeError(Exception):
    """A signal that can't be taken."""


class NotOfTrader(IntakeError):
    """A symbol that the trader does not trade, or a side the market does not have."""


class TraderPaused(IntakeError):
    """The trader takes no signals now."""


@dataclass(frozen=True)
class NewSignal:
    """A signal as it arrives. `external_id` makes it once per trader; without one every arrival is a new signal."""

    trader: Trader
    symbol: str
    source: str
    side: str = ""
    external_id: str | None = None
    price: Decimal | None = None
    matched_conditions: Sequence[Any] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)


def record(new: NewSignal, *, now: datetime) -> tuple[Signal, bool]:
    """
    Take one signal; returns it and whether it is new. A replay returns the first one.

    :raises TraderPaused: if the trader is not running
    :raises NotOfTrader: if the trader does not trade the symbol, or the market has no such side
    """
    trader = new.trader
    if trader.state != Trader.State.RUNNING:
        raise TraderPaused(f"trader {trader.name} is {trader.state}")
    if new.symbol not in trader.symbols:
        raise NotOfTrader(f"symbol: {new.symbol!r} is not traded by {trader.name}")
    if (new.side or trader.side) == Side.SHORT and trader.market == "binance":
        raise NotOfTrader("side: a spot market can't be sold short")
    created = record_many([new], now=now)
    if created:
        return created[0], True
    return Signal.objects.get(trader=trader, external_id=new.external_id), False


def record_many(new: Sequence[NewSignal], *, now: datetime) -> list[Signal]:
    """Take signals that were checked before; returns those that are new."""
    if not new:
        return []
    ids = [uuid4() for _ in new]
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(INSERT, {"now": now, **_columns(ids, new)})
            fresh = {row[0] for row in cursor.fetchall()}
        created = list(Signal.objects.select_related("trader").filter(id__in=fresh).order_by("created_at", "symbol", "trader_id"))
        events.record_many((_event(signal) for signal in created), now=now)
        if any(signal.trader.auto_analyze_signals for signal in created):
            jobs.enqueue(jobs.Job.ANALYZE_SIGNALS)
    return created


def new_webhook_token() -> tuple[str, str]:
    """A fresh webhook token and the hash to store; the token itself is shown once and kept nowhere."""
    token = secrets.token_urlsafe(32)
    return token, token_hash(token)


def token_hash(token: str) -> str:
    """SHA-256 of a webhook token, as stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def trader_of_token(token: str) -> Trader | None:
    """The trader whose webhook token this is."""
    return Trader.objects.exclude(state=Trader.State.ARCHIVED).filter(webhook_token_hash=token_hash(token)).first()


def _columns(ids: Sequence[UUID], new: Sequence[NewSignal]) -> dict[str, list[Any]]:
    return {
        "id": list(ids),
        "trader_id": [n.trader.id for n in new],
        "user_id": [n.trader.user_id for n in new],
        "symbol": [n.symbol for n in new],
        "interval": [n.trader.interval for n in new],
        "side": [n.side or n.trader.side for n in new],
        "price": [n.price for n in new],
        "matched": [_json(list(n.matched_conditions)) for n in new],
        "metadata": [_json(dict(n.metadata)) for n in new],
        "source": [n.source for n in new],
        "external_id": [n.external_id for n in new],
    }


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _event(signal: Signal) -> NewEvent:
    data = {
        "symbol": signal.symbol,
        "interval": signal.interval,
        "side": signal.side,
        "source": signal.source,
        "price": str(signal.initial_price) if signal.initial_price is not None else None,
        "matched_conditions": signal.matched_conditions,
    }
    reasons = "; ".join(str(entry.get("text", "")) for entry in signal.matched_conditions if isinstance(entry, dict))
    text = f"new {signal.side} signal ({signal.source}){f': {reasons}' if reasons else ''}"
    return NewEvent("signal_created", text, data, user_id=signal.user_id, trader_id=signal.trader_id, signal_id=signal.id)
