"""A clock for tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime

from monitoring import clock

START_MS = 1_790_000_100_000 - 1_790_000_100_000 % 300_000  # begins a 5-minute candle


class SteppingClock:
    """App time that moves only when told to."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    @classmethod
    @contextlib.contextmanager
    def installed(cls, ms: int = START_MS) -> Iterator[SteppingClock]:
        stepping = cls(ms)
        with clock.override(lambda: stepping.ms):
            yield stepping

    @property
    def now(self) -> datetime:
        return clock.at(self.ms)

    def to(self, ms: int) -> datetime:
        self.ms = ms
        return self.now

    def at_hours_ago(self, hours: float) -> datetime:
        return clock.at(self.ms - int(hours * 3_600_000))

    def forward(self, *, seconds: float) -> datetime:
        return self.to(self.ms + int(seconds * 1000))
