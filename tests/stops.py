"""
Stops that fail: `python -m tests.stops --runs 1000`.

Every run opens a position at a simulated exchange that then fails in one or several ways, one after the other, for the
stop's request and for what is asked about it. Once it answers again the position has to be protected or flat within the
retry budget. Besides, without faults: how long a position stands from its entry's fill until its stop is confirmed.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from tests.crashes import MARKET
from tests.support.database import empty_database


@dataclass
class Result:
    """What was found. `naked` are runs that ended with something held and no stop for all of it."""

    runs: int = 0
    protected: int = 0
    flat: int = 0
    naked: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    unfailing_ms: list[float] = field(default_factory=list)

    def p(self, share: float) -> float:
        """A percentile of the time from fill to stop, in ms."""
        return sorted(self.unfailing_ms)[min(len(self.unfailing_ms) - 1, int(len(self.unfailing_ms) * share))]

    def __str__(self) -> str:
        kinds = ", ".join(f"{name} {count}" for name, count in self.faults.most_common())
        return (
            f"{self.runs:,} stops that failed ({kinds}): {self.protected:,} ended protected, {self.flat:,} flat, {len(self.naked)} naked;"
            f" the longest took {self.longest_s:.1f} s\n"
            f"{len(self.unfailing_ms):,} entries without faults: from fill to confirmed stop p50 {self.p(0.5):.0f} ms,"
            f" p99 {self.p(0.99):.0f} ms, longest {max(self.unfailing_ms):.0f} ms"
        )


def run(*, runs: int, seed: int, entries: int, market: str = MARKET) -> Result:
    """Needs Django set up on a test database."""
    from django.conf import settings

    from tests.crashes import Desk, hurry
    from tests.support.venue_server import venue_server

    hurry()
    result = Result()
    with venue_server() as server:
        settings.TRADING_URLS = dict.fromkeys(settings.TRADING_URLS, server.url)
        desk = Desk(server, 0, market)
        for number in range(entries):
            result.unfailing_ms.append(_unfailing(desk, number))
        for number in range(runs):
            _failing(desk, random.Random(f"{seed} {number}"), number, result)
    return result


def _unfailing(desk: Any, number: int) -> float:
    from positions.models import Order, Position

    position = _open(desk, number)
    assert isinstance(position, Position)
    entry, stop = (Order.objects.get(position=position, leg=leg) for leg in ("entry", "stop"))
    assert entry.acknowledged_at is not None
    assert stop.acknowledged_at is not None
    assert desk._leave_flat() is False
    return (stop.acknowledged_at - entry.acknowledged_at).total_seconds() * 1000


def _failing(desk: Any, chance: random.Random, number: int, result: Result) -> None:
    from positions.models import Position
    from positions.simulator.faults import Trouble
    from tests.support.venues import ORDERS, STOPS

    names = [chance.choice(list(Trouble)).value for _ in range(chance.choice((1, 1, 1, 2, 3, 5, 8)))]
    first = [None] if STOPS[desk.market] == ORDERS[desk.market] else []  # the entry
    desk.server.faults(*first, *names, path=STOPS[desk.market])
    began = time.monotonic()
    _open(desk, number)
    result.longest_s = max(result.longest_s, time.monotonic() - began)
    result.runs += 1
    result.faults.update(names)
    book = desk.book()
    held, stopped = Decimal(book["amount"]), sum(Decimal(left) for _, kind, left in book["open"] if kind == "stop")
    position = Position.objects.exclude(status="closed").filter(account=desk.account).first()
    if held != stopped or held != (position.contracts if position else 0):
        result.naked.append(f"run {number} ({', '.join(names)}): {held} held, a stop for {stopped}, {position} here")
    result.protected, result.flat = result.protected + bool(held), result.flat + (not held)
    desk.server.faults()
    if desk._leave_flat():
        result.naked.append(f"run {number} ({', '.join(names)}): could not be left flat")


def _open(desk: Any, number: int) -> Any:
    from monitoring import clock
    from positions import opening

    return opening.open_position(analysis_id=desk._prepare(number), now=clock.now())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--market", default=MARKET, choices=[MARKET, "bybit", "okx"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--entries", type=int, default=500, help="Without faults, to measure.")
    options = parser.parse_args()
    with empty_database():
        import logging

        logging.disable(logging.CRITICAL)
        result = run(runs=options.runs, seed=options.seed, entries=options.entries, market=options.market)
    print(result)
    print("\n".join(result.naked[:20]))
    sys.exit(bool(result.naked) or result.p(0.99) >= 1000)


if __name__ == "__main__":
    main()
