"""
Candle intervals as milliseconds. Pure.

A candle is named by its open time in milliseconds since the Unix epoch, UTC. It covers [open, open + length)
and is closed from open + length on.
"""

from __future__ import annotations

MINUTE_MS = 60_000
LENGTH_MS = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": 60 * MINUTE_MS,
    "2h": 120 * MINUTE_MS,
    "4h": 240 * MINUTE_MS,
    "6h": 360 * MINUTE_MS,
    "8h": 480 * MINUTE_MS,
    "12h": 720 * MINUTE_MS,
    "1d": 1440 * MINUTE_MS,
}
CHOICES = [(interval, interval) for interval in LENGTH_MS]


class UnknownInterval(ValueError):
    """An interval that the desk does not follow; calendar months and weeks are not of fixed alignment."""


def length_ms(interval: str) -> int:
    """
    Length of one candle in milliseconds.

    :raises UnknownInterval: if it is none of LENGTH_MS
    """
    try:
        return LENGTH_MS[interval]
    except KeyError as error:
        raise UnknownInterval(f"interval was {interval!r}, allowed are {', '.join(LENGTH_MS)}") from error


def open_time_at(*, at_ms: int, interval: str) -> int:
    """Open time of the candle that is forming at `at_ms`."""
    return at_ms - at_ms % length_ms(interval)


def close_time(*, open_time: int, interval: str) -> int:
    """The first millisecond at which the candle is closed."""
    return open_time + length_ms(interval)


def newest_closed(*, at_ms: int, interval: str) -> int:
    """Open time of the newest candle that is closed at `at_ms`."""
    return open_time_at(at_ms=at_ms, interval=interval) - length_ms(interval)
