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
        for what, days in DEFAULT_DAYS.items():
            parser.add_argument(f"--{what.replace(' ', '-')}-days", type=int, default=days, help=f"default {days}")

    def handle(self, *args: Any, **options: Any) -> None:
        now = clock.now()
        for what in DEFAULT_DAYS:
            days = options[f"{what.replace(' ', '_')}_days"]
            removed = retention.prune(what, before=now - timedelta(days=days), now=now)
            self.stdout.write(f"{what}: {removed} older than {days} days removed")
        heartbeats.forget_the_dead()
