"""Jobs that django-q runs: each translates its arguments and makes one call. `**_` lets an old worker take a newer caller's job."""

from __future__ import annotations

from typing import Any

from monitoring import clock, delivery, engine, first_analysis, rollup, screening
from monitoring.handlers import Close


def handle_closes(*, market: str, interval: str, open_time: int, symbols: list[str], **_: Any) -> None:
    """Judge what is owed these closes, then screen them."""
    close = Close(market, interval, open_time, tuple(symbols))
    engine.handle(close)
    screening.run(close, now=clock.now())


def analyze_signals(**_: Any) -> None:
    """Judge the signals that are new."""
    first_analysis.run()


def roll_up(**_: Any) -> None:
    """Sum up the days that are over."""
    rollup.run(now=clock.now())


def deliver_notifications(**_: Any) -> None:
    """Send the notifications that are due."""
    delivery.deliver()
