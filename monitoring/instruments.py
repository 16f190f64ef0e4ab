"""The symbols of a market and their filters, as the exchange lists them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from monitoring.feed.contract import InstrumentInfo
from monitoring.models import Instrument


def store(listed: Sequence[InstrumentInfo], *, market: str, now: datetime) -> int:
    """Bring the table up to date with what the exchange lists; a symbol that is gone stays, as not trading."""
    rows = [
        Instrument(
            market=market,
            symbol=info.symbol,
            base=info.base,
            quote=info.quote,
            tick_size=info.tick_size,
            step_size=info.step_size,
            min_quantity=info.min_quantity,
            min_notional=info.min_notional,
            is_trading=info.is_trading,
            updated_at=now,
        )
        for info in listed
        if info.tick_size > 0 and info.step_size > 0
    ]
    names = ["base", "quote", "tick_size", "step_size", "min_quantity", "min_notional", "is_trading", "updated_at"]
    Instrument.objects.bulk_create(rows, update_conflicts=True, unique_fields=["market", "symbol"], update_fields=names)
    if rows:
        Instrument.objects.filter(market=market).exclude(symbol__in=[row.symbol for row in rows]).update(is_trading=False)
    return len(rows)
