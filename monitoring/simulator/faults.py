"""
What goes wrong at the simulated exchange, by a seed. Pure.

What happens to a closing frame depends only on the seed, the stream and the candle, so that a run that fails can be
repeated. Connections and REST answers are numbered in the order in which they come.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum


class Variant(StrEnum):
    """What a closing frame looks like when it is delivered."""

    TRUE = "true"
    REVISED = "revised"  # other prices for a candle that was closed before
    TRUNCATED = "truncated"
    GARBAGE = "garbage"


@dataclass(frozen=True)
class Delivery:
    """A frame sent `delay_ms` of app time after the close."""

    delay_ms: int
    variant: Variant = Variant.TRUE


class Trouble(StrEnum):
    """How a connection fails."""

    CUT = "cut"
    SHUTDOWN = "shutdown"  # announced by serverShutdown, then cut
    SILENT = "silent"  # still open, answers pings, sends no more data
    HALF_OPEN = "half_open"  # nothing goes either way any more, and nobody is told


@dataclass(frozen=True)
class ConnectionFault:
    """What happens to a connection, and after how long (s of app time)."""

    trouble: Trouble
    after_s: float


@dataclass(frozen=True)
class RestFault:
    """What happens to an answer: another status, a part of the body, a delay in s of real time, or rows that lag."""

    status: int = 0
    retry_after_s: int = 0
    is_cut: bool = False
    delay_s: float = 0.0
    lag_ms: int = 0


AS_IT_SHOULD = (Delivery(0),)
LONGEST_DELAY_MS = 30_000
LONGEST_LAG_MS = 50_000
MUCH_LATER_MS = 65_000  # after the next minute's close: out of order


class FaultPlan:
    """Shares are of all closing frames, connections and REST answers."""

    FRAMES = (
        ("dropped", 0.02),
        ("duplicated", 0.02),
        ("delayed", 0.02),
        ("reordered", 0.005),
        ("revised", 0.01),
        ("cut", 0.01),
        ("noisy", 0.01),
    )
    CONNECTIONS = ((Trouble.CUT, 0.3), (Trouble.SHUTDOWN, 0.1), (Trouble.SILENT, 0.25), (Trouble.HALF_OPEN, 0.15))
    REST = (("error", 0.03), ("limited", 0.002), ("cut", 0.02), ("slow", 0.02), ("lag", 0.05))

    def __init__(self, *, seed: int) -> None:
        self.seed = seed

    def deliveries(self, *, symbol: str, interval: str, open_time: int) -> tuple[Delivery, ...]:
        """What is sent of a close, and when."""
        chance = self._chance("frame", symbol, interval, open_time)
        later = chance.randrange(200, LONGEST_DELAY_MS)
        match self._pick(chance, self.FRAMES):
            case "dropped":
                return ()
            case "duplicated":
                return Delivery(0), Delivery(later)
            case "delayed":
                return (Delivery(later),)
            case "reordered":
                return (Delivery(MUCH_LATER_MS),)
            case "revised":
                return Delivery(0), Delivery(later, Variant.REVISED)
            case "cut":
                return (Delivery(0, Variant.TRUNCATED),)
            case "noisy":
                return Delivery(0, Variant.GARBAGE), Delivery(0)
        return AS_IT_SHOULD

    def connection(self, number: int) -> ConnectionFault | None:
        """What happens to the connection of this number."""
        chance = self._chance("connection", number)
        trouble = self._pick(chance, self.CONNECTIONS)
        return ConnectionFault(Trouble(trouble), chance.uniform(60, 1800)) if trouble else None

    def rest(self, number: int) -> RestFault | None:
        """What happens to the REST answer of this number."""
        chance = self._chance("rest", number)
        match self._pick(chance, self.REST):
            case "error":
                return RestFault(status=chance.choice((500, 502, 503, 403)))
            case "limited":
                return RestFault(status=chance.choice((429, 418)), retry_after_s=1)
            case "cut":
                return RestFault(is_cut=True)
            case "slow":
                return RestFault(delay_s=chance.uniform(0.2, 2))
            case "lag":
                return RestFault(lag_ms=chance.randrange(1_000, LONGEST_LAG_MS))
        return None

    def _chance(self, *key: object) -> random.Random:
        return random.Random(":".join(map(str, (self.seed, *key))))

    @staticmethod
    def _pick(chance: random.Random, shares: tuple[tuple[str, float], ...]) -> str:
        at = chance.random()
        for name, share in shares:
            if at < share:
                return name
            at -= share
        return ""
