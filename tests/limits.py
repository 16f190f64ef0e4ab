"""
Limits that all processes share: `python -m tests.limits`.

Processes put questions to one endpoint as fast as they may, and one of them is killed with requests out. The endpoint
counts what it sees: never more open than the cap, never more within a minute than allowed, and never more spent than
the budget.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from tests.support.database import empty_database
from tests.support.processes import ROOT

PRICED = "stub-1"
TIMEOUT_S = 10  # long enough that no request is given up, even on a busy machine: the endpoint would go on with it


@dataclass
class Seen:
    """What the endpoint saw of the processes."""

    processes: int
    seconds: float
    requests: int
    most_open: int
    most_in_a_minute: int
    back_after_s: float
    spent_usd: Decimal

    def __str__(self) -> str:
        return (
            f"{self.requests:,} requests of {self.processes} processes in {self.seconds:.0f} s\n"
            f"  open at once: {self.most_open}; in any minute: {self.most_in_a_minute}\n"
            f"  slots of the killed process were back after {self.back_after_s:.1f} s\n"
            f"  spent or reserved: {self.spent_usd} USD"
        )


def ask_on(questions: int) -> None:
    """Put questions until killed; run in processes of their own."""
    import django

    django.setup()
    from django.conf import settings

    from monitoring import clock
    from monitoring.asking import ask
    from tests import hostile

    while True:
        now = clock.now()
        ask.ask_all([hostile.make_question(number, now, model=settings.LLM_MODEL) for number in range(questions)], now=now)


def run(*, processes: int, seconds: float, cap: int, per_minute: int, budget: Decimal = Decimal(0), latency_s: float = 0.5) -> Seen:
    """Needs Django set up on a database whose commits others see."""
    from django.db import connection

    from monitoring.models import DailySpend
    from tests.support.analysts import StubEndpoint, completion, verdict

    database = connection.settings_dict
    url = f"postgresql://{database['USER']}@/{database['NAME']}?host={quote(str(database['HOST']), safe='')}"
    stub = StubEndpoint(lambda _: completion(verdict("continue")), delay_s=latency_s)
    with stub.running():
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": url,
            "LLM_BASE_URL": stub.url,
            "LLM_MODEL": PRICED,
            "LLM_MODELS_FILE": str(ROOT / "tests" / "models.toml"),
            "LLM_TIMEOUT_SECONDS": str(TIMEOUT_S),
            "LLM_MAX_CONCURRENCY": str(cap),
            "LLM_REQUESTS_PER_MINUTE": str(per_minute),
            "DAILY_BUDGET_USD": str(budget),
            "LOG_LEVEL": "ERROR",
        }
        command = [sys.executable, "-m", "tests.limits", "--ask", "25"]
        asking = [subprocess.Popen(command, cwd=ROOT, env=environment) for _ in range(processes)]
        began = time.monotonic()
        try:
            _wait(lambda: len(stub.requests) > 20, seconds=60, what="requests")
            back_after_s = _kill_some(asking) if not budget else 0.0
            _wait(lambda: time.monotonic() - began > seconds, seconds=seconds + 5, what="time to pass")
            assert all(process.poll() in (None, -9) for process in asking), "a process died by itself"
        finally:
            for process in asking:
                process.kill()
                process.wait()
        spent = DailySpend.objects.filter(scope="all").values_list("amount_usd", flat=True).first() or Decimal(0)
    return Seen(processes, time.monotonic() - began, len(stub.requests), stub.most_open, stub.most_in(seconds=60), back_after_s, spent)


def _kill_some(asking: list[subprocess.Popen[bytes]]) -> float:
    """Kill one after the other until one had requests out; returns how long its slots stayed taken."""
    for process in asking[: len(asking) // 2]:
        if (back_after_s := _kill_one(process)) > 2:
            return back_after_s
    raise AssertionError("none of the killed processes had requests out")


def _kill_one(process: subprocess.Popen[bytes]) -> float:
    """How long after its end slots stayed taken that were taken then."""
    from django.db import connection

    process.kill()
    process.wait()
    began = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute("SELECT array_agg(id) FROM budget_reservations WHERE finished_at IS NULL")
        taken = cursor.fetchone()[0]
        abandoned = "SELECT count(*) FROM budget_reservations WHERE id = ANY(%s) AND finished_at IS NULL"

        def gone() -> bool:
            cursor.execute(abandoned, [taken])
            return bool(cursor.fetchone()[0] == 0)

        _wait(gone, seconds=30, what="the slots to come back")
    return time.monotonic() - began


def _wait(condition: Any, *, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--ask", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        ask_on(options.ask)
    with empty_database():
        seen = run(processes=options.processes, seconds=options.seconds, cap=20, per_minute=300)
    print(seen)
    sys.exit(seen.most_open > 20 or seen.most_in_a_minute > 300)


if __name__ == "__main__":
    main()
