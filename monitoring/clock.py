"""
The desk's clock (P10). Nothing else asks for the time of day.

App time = epoch + (real time - epoch) x speed, so every process, and a simulated exchange outside, agrees on
it without talking. Leases, HTTP time-outs and back-off use real time (`time.monotonic`, PostgreSQL's `now()`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

from django.conf import settings


def now() -> datetime:
    """App time, aware, in UTC."""
    return at(now_ms())


def now_ms() -> int:
    """App time in milliseconds since the Unix epoch."""
    return _source()


def from_real(*, real_s: float) -> int:
    """App time in milliseconds at a real Unix time in seconds."""
    epoch, speed = float(settings.CLOCK_EPOCH), float(settings.CLOCK_SPEED)
    return int((epoch + (real_s - epoch) * speed) * 1000)


def real_now() -> datetime:
    """Real time, for what the outside world dates: headers, traces."""
    return datetime.fromtimestamp(time.time(), tz=UTC)


@contextlib.contextmanager
def override(source: Callable[[], int]) -> Iterator[None]:
    """Take app time from `source` (ms) for a while, in this process only: how a test walks through a day."""
    global _source
    former, _source = _source, source
    try:
        yield
    finally:
        _source = former


def real_seconds(duration: timedelta) -> float:
    """How many real seconds a span of app time lasts."""
    return duration.total_seconds() / float(settings.CLOCK_SPEED)


def at(ms: int) -> datetime:
    """Milliseconds since the Unix epoch as an aware UTC time."""
    return datetime.fromtimestamp(ms // 1000, tz=UTC) + timedelta(milliseconds=ms % 1000)


def midnight(day: date) -> datetime:
    """When a day begins, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def to_ms(moment: datetime) -> int:
    """An aware time as milliseconds since the Unix epoch."""
    return int(moment.timestamp() * 1000)


def _running() -> int:
    return from_real(real_s=time.time())


_source: Callable[[], int] = _running
