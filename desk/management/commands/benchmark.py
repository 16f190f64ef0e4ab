"""`manage.py benchmark`: measured ratios, always beside something else in the same run."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import psutil
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from desk.benchmarks import analyst, closes, history, listener, pages, sessions
from monitoring import clock, rollup
from monitoring.models import User

DATABASE = "benchmark_app"


class Command(BaseCommand):
    help = "Measure, on a database of its own that is dropped afterwards."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["analyst", "closes", "listener", "pages", "sessions"])
        parser.add_argument("--workflows", type=int, nargs="+", default=[100, 1000])
        parser.add_argument("--latency", type=float, default=0.25, help="Seconds until the stub model answers.")
        parser.add_argument("--questions", type=int, default=1000, help="To the analyst, at once.")
        parser.add_argument("--workers", type=int, default=4)
        parser.add_argument("--users", type=int, default=1000, help="With a hundred sessions and a thousand executions each.")
        parser.add_argument("--decisions", type=int, default=1_000_000, help="In the history that pages are measured on.")
        parser.add_argument("--rounds", type=int, default=3, help="Of the listener's measurements.")
        parser.add_argument("--seconds", type=float, default=4, help="Of each of them.")
        parser.add_argument(
            "--churn", type=float, metavar="MINUTES", help="Only follow a stream that changes all the time, and watch the memory."
        )
        parser.add_argument("--peers", action="store_true", help="Install other clients under var/peers and measure them as well.")

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.DATABASE_URL:
            raise CommandError("the benchmark runs on the embedded server; unset DATABASE_URL")
        connection.settings_dict["TEST"]["NAME"] = DATABASE
        connection.creation.create_test_db(verbosity=0, autoclobber=True)
        try:
            getattr(self, f"_{options['what']}")(options)
        finally:
            connection.creation.destroy_test_db("app", verbosity=0)

    def _closes(self, options: dict[str, Any]) -> None:
        self.stdout.write(f"{_machine()}; {options['workers']} workers, model latency {options['latency']} s, warm runs")
        self.stdout.write("| workflows | analyst | way | record to last decision, s | workers' CPU, s | PostgreSQL CPU, s | times ours |")
        self.stdout.write("|---|---|---|---|---|---|---|")
        ours = 0.0
        for t in closes.run(
            counts=options["workflows"], latency_s=options["latency"], workers=options["workers"], database_url=_database_url()
        ):
            ours = t.wall_s if t.way == "ours" else ours
            figures = f"{t.wall_s:.2f} | {t.workers_cpu_s:.2f} | {t.postgres_cpu_s:.2f} | {t.wall_s / ours:.1f}"
            self.stdout.write(f"| {t.workflows} | {t.analyst} | {t.way} | {figures} |")
            self.stdout.flush()

    def _sessions(self, options: dict[str, Any]) -> None:
        for done in sessions.fill(users=options["users"], each=100, executions_each=10):
            self.stdout.write(done)
            self.stdout.flush()
        self.stdout.write(f"{_machine()}; {sessions.CALLS} calls of each kind, as the web role")
        self.stdout.write("| call | p50, ms | p95, ms | sequential scans |\n|---|---|---|---|")
        for timing in sessions.measure():
            self.stdout.write(f"| {timing.name} | {timing.p50_ms:.1f} | {timing.p95_ms:.1f} | {timing.scans} |")
            self.stdout.flush()

    def _pages(self, options: dict[str, Any]) -> None:
        for done in history.fill(decisions=options["decisions"], now=clock.now()):
            self.stdout.write(done)
            self.stdout.flush()
        logging.getLogger("django.request").setLevel(logging.CRITICAL)  # what an owner may not open is tried as well
        administrator, owner = User.objects.create_superuser("benchmark"), User.objects.get(username="owner1")
        self._table("an administrator, no day summed up", pages.unsummed(who=administrator))
        while rollup.run(now=clock.now()):
            pass
        self._table("an administrator", pages.measure(who=administrator))
        self._table("the owner of four traders", pages.measure(who=owner))

    def _table(self, who: str, timings: Iterable[pages.Timing]) -> None:
        self.stdout.write(f"\n{_machine()}; {who}")
        self.stdout.write("\n| page | p50, ms | p95, ms | slowest address and its median, ms |\n|---|---|---|---|")
        for timing in timings:
            self.stdout.write(f"| {timing.name} | {timing.p50_ms:.0f} | {timing.p95_ms:.0f} | {timing.worst} |")
            self.stdout.flush()

    def _analyst(self, options: dict[str, Any]) -> None:
        latency_s, count = options["latency"], options["questions"]
        self.stdout.write(f"{_machine()}; {count:,} questions at once, from one process, to a model that takes {latency_s} s")
        self.stdout.write(
            "| answered | wall, s | times the latency | CPU a question, ms | of it the bare HTTP client | everything around it |"
        )
        self.stdout.write("|---|---|---|---|---|---|")
        for one in analyst.run(questions=count, latency_s=latency_s, rounds=options["rounds"]):
            each = [1000 * seconds / count for seconds in (one.cpu_s, one.bare_cpu_s, one.around_s)]
            figures = " | ".join(f"{ms:.2f}" for ms in each)
            self.stdout.write(f"| {one.answered:,} | {one.wall_s:.2f} | {one.wall_s / one.latency_s:.2f} | {figures} |")
            self.stdout.flush()

    def _listener(self, options: dict[str, Any]) -> None:
        if options["churn"]:
            for minutes, memory, messages, reconnects in listener.churn(minutes=options["churn"]):
                self.stdout.write(f"{minutes:5.1f} min: {memory:.1f} MiB, {messages:,} messages, {reconnects} reconnects")
                self.stdout.flush()
            return
        peers = listener.install_peers(into=settings.DATA_DIR / "peers") if options["peers"] else None
        self.stdout.write(f"{_machine()}; {options['rounds']} rounds of {options['seconds']:.0f} s each, median (lowest to highest)")
        for rate, title in ((listener.RATE, f"{listener.RATE} messages a second"), (0, "as fast as it goes")):
            self.stdout.write(
                f"\n{title}, over TLS:\n\n| client | CPU per message, µs | share of a core at {listener.RATE} a second | times bare |"
            )
            self.stdout.write("|---|---|---|---|")
            found = listener.costs(rate=rate, rounds=options["rounds"], seconds=options["seconds"], peers=peers)
            bare = next(cost.median for cost in found if cost.client == "bare")
            for cost in found:
                spread = f"{cost.median:.2f} ({min(cost.us):.2f} to {max(cost.us):.2f})"
                self.stdout.write(f"| {cost.client} | {spread} | {cost.median * listener.RATE / 1e4:.1f} % | {cost.median / bare:.2f} |")
        late = sorted(listener.close_to_row(symbols=400, closes=6, database_url=_database_url()))
        shares = ", ".join(f"p{share} {late[int(len(late) * share / 100) - 1]:.0f} ms" for share in (50, 95, 99, 100))
        self.stdout.write(
            f"\nfrom the close to its committed row in the ledger, 400 symbols that close at once, {len(late)} rows: {shares}"
        )


def _database_url() -> str:
    return f"postgresql://app@/{DATABASE}?host={quote(str(settings.DATABASES['default']['HOST']), safe='')}"


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return f"{platform.machine()}, {psutil.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"
