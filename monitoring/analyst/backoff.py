"""When to try again, and when to leave an endpoint alone. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

FIRST_S, LONGEST_S = 0.5, 20.0
OPENS_AFTER = 5  # failures in a row, of all processes together
A_MOMENT_S = 0.25
OPEN_S, LONGEST_OPEN_S = 5.0, 120.0


def delay_s(attempt: int, *, asked_s: float | None, chance: random.Random) -> float:
    """
    Seconds to wait after the given failed attempt (1 is the first): exponential with full jitter.

    What the endpoint asked for (`Retry-After`) is kept to, and spread a little, so that not everybody is back at once.
    """
    ours = chance.uniform(0.5, 1.0) * min(FIRST_S * 2 ** (attempt - 1), LONGEST_S)
    return ours if asked_s is None else max(ours, asked_s * chance.uniform(1.0, 1.1))


@dataclass(frozen=True)
class Circuit:
    """
    Whether an endpoint is asked at all. Times are seconds on one clock.

    Closed, it counts failures in a row. Open, nobody asks until `open_until`; then one probe goes out, and its
    success closes the circuit, its failure opens it for twice as long. A probe that is never heard of again is
    given up at `probe_until`.
    """

    failures: int = 0
    opened: int = 0  # times in a row
    open_until: float | None = None
    probe_until: float | None = None

    def wait_s(self, *, now: float) -> float:
        """How long nobody may ask, 0 when somebody may; while a probe is out it is a moment."""
        if self.open_until is None:
            return 0.0
        is_probed = self.probe_until is not None and now < self.probe_until
        return max(self.open_until - now, A_MOMENT_S if is_probed else 0.0, 0.0)

    @property
    def is_open(self) -> bool:
        """Whether whoever is admitted is a probe."""
        return self.open_until is not None

    def probing(self, *, until: float) -> Circuit:
        """While a probe is out, everybody else waits for it."""
        return replace(self, probe_until=until)

    def succeeded(self) -> Circuit:
        """The endpoint answered."""
        return Circuit()

    def failed(self, *, now: float, was_probe: bool) -> Circuit:
        """It did not; questions that were out already when the circuit opened don't open it further."""
        failures = self.failures + 1
        if failures < OPENS_AFTER or (self.is_open and not was_probe):
            return replace(self, failures=failures)
        open_s = min(OPEN_S * 2**self.opened, LONGEST_OPEN_S)
        return Circuit(failures, self.opened + 1, now + open_s)
