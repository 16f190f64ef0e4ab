"""`manage.py run_candle_listener`: follow the markets until told to stop."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from monitoring import installation
from monitoring.listener import Listener
from monitoring.watchlist import Shard


class Command(BaseCommand):
    help = "Follow closed candles of everything that schedules and traders need. Run two side by side if you like."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--shard", default="1/1", metavar="I/N", help="Follow only part I of N of all symbols; run one for each.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            shard = Shard.parse(options["shard"])
        except ValueError as error:
            raise CommandError(str(error)) from error
        try:
            installation.claim()
        except installation.WrongInstallation as error:
            raise CommandError(str(error)) from error
        listener = Listener(shard=shard)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: listener.stop())
        listener.run()
