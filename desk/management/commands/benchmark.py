"""`manage.py benchmark closes`: measured ratios, always beside something else in the same run."""

from __future__ import annotations

import platform
from typing import Any
from urllib.parse import quote

import psutil
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from desk.benchmarks import closes

DATABASE = "benchmark_app"


class Command(BaseCommand):
    help = "Measure, on a database of its own that is dropped afterwards."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["closes"])
        parser.add_argument("--workflows", type=int, nargs="+", default=[100, 1000])
        parser.add_argument("--latency", type=float, default=0.25, help="Seconds until the stub model answers.")
        parser.add_argument("--workers", type=int, default=4)

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.DATABASE_URL:
            raise CommandError("the benchmark runs on the embedded server; unset DATABASE_URL")
        connection.settings_dict["TEST"]["NAME"] = DATABASE
        connection.creation.create_test_db(verbosity=0, autoclobber=True)
        try:
            self._closes(options)
        finally:
            connection.creation.destroy_test_db("app", verbosity=0)

    def _closes(self, options: dict[str, Any]) -> None:
        url = f"postgresql://app@/{DATABASE}?host={quote(str(settings.DATABASES['default']['HOST']), safe='')}"
        memory = psutil.virtual_memory().total / 2**30
        self.stdout.write(
            f"{platform.machine()}, {psutil.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()};"
            f" {options['workers']} workers, model latency {options['latency']} s, warm runs"
        )
        self.stdout.write("| workflows | analyst | way | record to last decision, s | workers' CPU, s | PostgreSQL CPU, s | times ours |")
        self.stdout.write("|---|---|---|---|---|---|---|")
        ours = 0.0
        for t in closes.run(counts=options["workflows"], latency_s=options["latency"], workers=options["workers"], database_url=url):
            ours = t.wall_s if t.way == "ours" else ours
            figures = f"{t.wall_s:.2f} | {t.workers_cpu_s:.2f} | {t.postgres_cpu_s:.2f} | {t.wall_s / ours:.1f}"
            self.stdout.write(f"| {t.workflows} | {t.analyst} | {t.way} | {figures} |")
            self.stdout.flush()
