"""Symbols of open positions stay watched although their workflow is off: their resting stops must still fill."""

from __future__ import annotations

from monitoring import clock
from positions.models import Position


def open_positions() -> dict[tuple[str, str, str], int]:
    """(market, symbol, interval) of every position that is not closed, with the moment (ms) since when."""
    rows = Position.objects.exclude(status=Position.Status.CLOSED).values_list(
        "market", "symbol", "trader__profile__management_interval", "trader__interval", "created_at"
    )
    return {(market, symbol, management or interval): clock.to_ms(since) for market, symbol, management, interval, since in rows}
