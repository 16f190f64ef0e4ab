"""`manage.py prune_records`: old candles, ledger rows, screenings and events out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from monitoring import clock, heartbeats, retention

DEFAULT_DAYS = {"candles": 90, "events": 90, "screenings": 30, "ledger": 365, "failed jobs": 30}


class Command(BaseCommand):
    help = "Remove old rows in small batches. Decisions, analyses, orders and fills are never removed."

    def add_arguments(self, parser: CommandParser) -> None:
        for what, days in _all_days().items():
            parser.add_argument(f"--{what.replace(' ', '-')}-days", type=int, default=days, help=f"default {days}")

    def handle(self, *args: Any, **options: Any) -> None:
        now = clock.now()
        for what in _all_days():
            days = options[f"{what.replace(' ', '_')}_days"]
            before = now - timedelta(days=days)
            removed = retention.others()[what][1](before) if what in retention.others() else retention.prune(what, before=before, now=now)
            self.stdout.write(f"{what}: {removed} older than {days} days removed")
        heartbeats.forget_the_dead()


def _all_days() -> dict[str, int]:
    return DEFAULT_DAYS | {what: days for what, (days, _) in retention.others().items()}
