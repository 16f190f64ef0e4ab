"""
Halts in the middle of busy traffic: `python -m tests.halts --runs 1000`.

Sender processes add to positions as fast as the paper exchange lets them. Again and again everything is halted at a
random moment, in every third run while one of the senders is frozen wherever it happens to be. After the halt has
returned no order that adds exposure may reach the exchange, save those that it named as on their way; and protection
still has to go out.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from tests.support.database import empty_database
from tests.support.processes import ROOT

SENDERS = 3
FREEZE_EVERY = 3
STEP = Decimal("0.1")  # at a price of 100 just above the smallest order


@dataclass
class Result:
    """What was found; `slipped` are orders that reached the exchange after a halt that had not named them."""

    runs: int = 0
    orders: int = 0
    named: int = 0
    frozen: int = 0
    slipped: list[str] = field(default_factory=list)
    unprotected: list[str] = field(default_factory=list)
    halt_ms: list[float] = field(default_factory=list)

    def p(self, share: float) -> float:
        """A percentile of how long a halt took, in ms."""
        return sorted(self.halt_ms)[min(len(self.halt_ms) - 1, int(len(self.halt_ms) * share))]

    def __str__(self) -> str:
        return (
            f"{self.runs} halts among {self.orders:,} orders of {SENDERS} processes, {self.frozen} of them with a frozen sender\n"
            f"  reached the exchange after the halt without having been named: {len(self.slipped)}\n"
            f"  named as on their way: {self.named}\n"
            f"  stops that could not be moved while halted: {len(self.unprotected)}\n"
            f"  until the gate was closed: p50 {self.p(0.5):.0f} ms, p99 {self.p(0.99):.0f} ms, longest {max(self.halt_ms):.0f} ms"
        )


def send(position_id: str) -> None:
    """Add to a position until killed; every order has a cause of its own."""
    import django

    django.setup()
    from positions import intents, orders
    from positions.intents import Cause, Intent
    from positions.models import Order, Position

    position = Position.objects.select_related("account", "trader", "signal").get(id=position_id)
    while True:
        cause = Cause(Order.Cause.DECISION, str(uuid.uuid4()))
        orders.place(Intent(position, Order.Leg.ADD, intents.entry_side(position), "market", STEP, cause))


def run(*, runs: int, seed: int) -> Result:
    """Needs Django set up on a database whose commits others see."""
    from django.db import connection

    from positions.models import PaperBalance, PaperOrder
    from tests.support.clocks import SteppingClock
    from tests.support.trading import TradingDesk

    database = connection.settings_dict
    url = f"postgresql://{database['USER']}@/{database['NAME']}?host={quote(str(database['HOST']), safe='')}"
    with SteppingClock.installed() as still:
        positions = [TradingDesk(still, max_position_notional=Decimal(10**9)).open() for _ in range(SENDERS)]
    PaperBalance.objects.update(total=10**9)
    chance, result = random.Random(seed), Result()
    command = [sys.executable, "-m", "tests.halts", "--send"]
    senders = [
        subprocess.Popen(
            [*command, str(position.id)],
            cwd=ROOT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": url},
            stderr=subprocess.DEVNULL,
        )
        for position in positions
    ]
    try:
        _wait_for_traffic()
        for number in range(runs):
            time.sleep(chance.uniform(0, 0.03))
            frozen = senders[number % SENDERS] if number % FREEZE_EVERY == 0 else None
            _halt_once(result, frozen, positions[number % SENDERS])
        assert all(sender.poll() is None for sender in senders), "a sender died"
    finally:
        for sender in senders:
            sender.kill()
            sender.wait()
    result.orders = PaperOrder.objects.count()
    return result


def _halt_once(result: Result, frozen: subprocess.Popen[bytes] | None, position: Any) -> None:
    from monitoring import clock, controls
    from monitoring.audit import Actor
    from positions import protection
    from positions.intents import Cause
    from positions.models import Order, PaperOrder

    actor = Actor("test", "cli")
    if frozen:
        frozen.send_signal(signal.SIGSTOP)
        result.frozen += 1
    began = time.perf_counter()
    halted = controls.halt(scope="all", state="halted", reason="in the middle of it", actor=actor, now=clock.now())
    closed_ms = clock.now_ms()
    result.halt_ms.append((time.perf_counter() - began) * 1000)
    named = {order["client_order_id"] for order in halted.in_flight}
    if frozen:
        frozen.send_signal(signal.SIGCONT)
    position.refresh_from_db()
    stop = Decimal(98) + Decimal(result.runs % 50) / 100  # back and forth, and never as far as the market
    if not protection.set_stop(position, price=stop, cause=Cause(Order.Cause.RULE, str(uuid.uuid4())), now=clock.now()):
        result.unprotected.append(str(position.id))
    time.sleep(0.02)  # whoever would slip through has the time to
    late = PaperOrder.objects.filter(created_ms__gt=closed_ms, type="market").values_list("client_order_id", flat=True)
    result.slipped += [order for order in late if order not in named]
    result.named += len(named)
    result.runs += 1
    before = PaperOrder.objects.count()
    controls.resume(scope="all", reason="and on it goes", actor=actor, now=clock.now())
    _wait_for_traffic(more_than=before)


def _wait_for_traffic(*, more_than: int = 20) -> None:
    from positions.models import PaperOrder

    deadline = time.monotonic() + 60
    while PaperOrder.objects.count() <= more_than:
        assert time.monotonic() < deadline, "the senders send nothing"
        time.sleep(0.005)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--send", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        send(options.send)
    with empty_database():
        result = run(runs=options.runs, seed=options.seed)
    print(result)
    sys.exit(bool(result.slipped or result.unprotected))


if __name__ == "__main__":
    main()
