"""`manage.py run_candle_listener`: follow the markets until told to stop."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from monitoring import installation
from monitoring.listener import Listener


class Command(BaseCommand):
    help = "Follow closed candles of everything that schedules and traders need. Run two side by side if you like."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            installation.claim()
        except installation.WrongInstallation as error:
            raise CommandError(str(error)) from error
        listener = Listener()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: listener.stop())
        listener.run()
