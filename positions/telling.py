"""The events that concern a position."""

from __future__ import annotations

from collections.abc import Mapping

from monitoring import events
from monitoring.events import NewEvent
from positions.models import Position


def about(position: Position, kind: str, text: str, data: Mapping[str, object], *, level: str = events.INFO) -> NewEvent:
    """An event with everything that a position is known by."""
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
