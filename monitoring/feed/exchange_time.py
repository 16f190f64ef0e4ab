"""
The exchange's clock against ours, and how much of its request weight is used: what all clients of one market share.

Which candle is closed is the exchange's to say. Its time is asked for now and then, so that a machine whose clock is
wrong judges the same candles, and says that it is wrong.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 30.0


@dataclass(frozen=True)
class Offset:
    """Exchange time less ours in ms; the truth lies within `error_ms` of it. `at` is real, from `time.monotonic`."""

    ms: int
    error_ms: int
    at: float


class ExchangeTime:
    """One market's offset, as last measured."""

    def __init__(self) -> None:
        self._offset: Offset | None = None

    @property
    def offset(self) -> Offset | None:
        """The last measurement; None before the first."""
        return self._offset

    def is_older_than(self, seconds: float) -> bool:
        """Whether it has to be measured again."""
        return self._offset is None or time.monotonic() - self._offset.at > seconds

    def measured(self, *, exchange_ms: int, asked_ms: int, answered_ms: int, resolution_ms: int = 1) -> None:
        """Take in the exchange's time, which comes in steps of a resolution, and our own before the question and after the answer."""
        half = (answered_ms - asked_ms) // 2
        self._offset = Offset(exchange_ms - asked_ms - half, half + resolution_ms, time.monotonic())

    def at(self, our_ms: int) -> int:
        """The exchange's time at a moment of ours; ours while it is unknown."""
        return our_ms + (self._offset.ms if self._offset else 0)

    def surely_past(self, our_ms: int) -> int:
        """A moment that the exchange's clock has surely reached at a moment of ours."""
        return self.at(our_ms) - (self._offset.error_ms if self._offset else 0)


class Quiet:
    """How long one market's REST API has to be left alone. Thread-safe."""

    def __init__(self) -> None:
        self._until, self._failures = 0.0, 0
        self._lock = threading.Lock()

    def keep(self, seconds: float) -> None:
        """Leave it alone for so long, or longer if that was asked before."""
        with self._lock:
            self._until = max(self._until, time.monotonic() + seconds)

    def failed(self) -> None:
        """The API did not answer: leave it alone for a moment, for longer each time in a row."""
        with self._lock:
            self._failures += 1
            self._until = max(self._until, time.monotonic() + min(LONGEST_PAUSE_S, SHORTEST_PAUSE_S * 2**self._failures))

    def succeeded(self) -> None:
        """The API answered."""
        with self._lock:
            self._failures = 0

    @property
    def left_s(self) -> float:
        """How long it still has to be left alone; zero if not."""
        return max(0.0, self._until - time.monotonic())
