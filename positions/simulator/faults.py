"""What goes wrong with a signed request at the simulated exchange, by a seed or by a script. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class Trouble(StrEnum):
    """How a request fails; WIRE facts: a 5xx and -1006/-1007 leave open whether it was done."""

    LOST = "lost"  # it never arrives, the connection breaks
    ANSWER_LOST = "answer_lost"  # it is done, the connection breaks
    SERVER_ERROR = "server_error"  # 503, not done
    SERVER_ERROR_DONE = "server_error_done"  # 503, and done
    TIMEOUT = "timeout"  # -1007, not done
    TIMEOUT_DONE = "timeout_done"  # -1007, and done
    SLOW = "slow"  # done, the answer takes its time
    PARTIAL = "partial"  # a market order fills half
    REJECTED = "rejected"  # the balance does not suffice, it says
    FILTER = "filter"  # a filter failure
    CLOCK = "clock"  # -1021, not done
    TOO_MANY = "too_many"  # 429 with Retry-After, not done
    BANNED = "banned"  # 418 with Retry-After, not done
    MAINTENANCE = "maintenance"  # nothing is done for a while


ORDERS_ONLY = (Trouble.PARTIAL, Trouble.REJECTED, Trouble.FILTER)
SLOW_S, RETRY_AFTER_S, MAINTENANCE_S = 0.3, 1, 1.0


@dataclass(frozen=True)
class Fault:
    """One trouble, with what it takes."""

    trouble: Trouble
    part: Decimal = Decimal("0.5")
    delay_s: float = SLOW_S
    retry_after_s: int = RETRY_AFTER_S


class NoFaults:
    """All goes well."""

    def next(self, *, method: str, path: str) -> Fault | None:
        return None


class Script:
    """These faults, one for each request that a filter lets through; then none."""

    def __init__(self, faults: Iterable[Fault | None], *, method: str = "", path: str = "") -> None:
        self._left: Iterator[Fault | None] = iter(faults)
        self._method, self._path = method, path

    def next(self, *, method: str, path: str) -> Fault | None:
        if not (method.startswith(self._method) and path.startswith(self._path)):
            return None
        return next(self._left, None)


class Seeded:
    """A share of all signed requests; what happens to the n-th depends on the seed only."""

    def __init__(self, *, seed: int, share: float = 0.1) -> None:
        self._seed, self._share, self._count = seed, share, 0

    def next(self, *, method: str, path: str) -> Fault | None:
        self._count += 1
        chance = random.Random(f"{self._seed} trading {self._count}")
        if chance.random() >= self._share:
            return None
        is_order = method == "POST" and path.lower().endswith("order")
        return Fault(chance.choice([trouble for trouble in Trouble if is_order or trouble not in ORDERS_ONLY]))
