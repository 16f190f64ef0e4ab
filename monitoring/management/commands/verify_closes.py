"""`manage.py verify_closes`: candles, ledger and screening against the exchange; exit code 1 when a close is unaccounted for."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from monitoring import clock, intervals, verification
from monitoring.feed.contract import FeedError
from monitoring.feed.rest import RestClient
from monitoring.verification import Findings

GRACE = timedelta(seconds=60)  # closes younger than this may still be on their way
SHOWN = 5


class Command(BaseCommand):
    help = "Compare candles, ledger and screening with the exchange's own candles."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--hours", type=float, default=24, help="How far back from now (app time).")
        parser.add_argument("--market", default=settings.MARKET)
        parser.add_argument("--symbols", nargs="*", help="Only these; else everything that somebody was owed.")

    def handle(self, *args: Any, **options: Any) -> None:
        now = clock.now() - GRACE
        since = now - timedelta(hours=options["hours"])
        client, market = RestClient(market=options["market"]), options["market"]
        unaccounted = 0
        for symbol, interval in verification.watched(market=market, start=clock.to_ms(since), end=clock.to_ms(now)):
            if options["symbols"] and symbol not in options["symbols"]:
                continue
            start = intervals.open_time_at(at_ms=clock.to_ms(since), interval=interval)
            end = intervals.newest_closed(at_ms=clock.to_ms(now), interval=interval)
            try:
                candles = [c for page in client.candles(symbol=symbol, interval=interval, start=start, end=end) for c in page]
            except FeedError as error:
                raise CommandError(f"{symbol} {interval}: the exchange could not be asked: {error}") from error
            found = verification.verify(market=market, symbol=symbol, interval=interval, start=start, end=end, at_exchange=candles)
            unaccounted += found.unaccounted
            self._print(found)
        self.stdout.write(f"{unaccounted} closes unaccounted for")
        if unaccounted:
            sys.exit(1)

    def _print(self, found: Findings) -> None:
        outcomes = ", ".join(f"{count} {status}{f': {reason}' if reason else ''}" for status, reason, count in found.outcomes)
        self.stdout.write(f"{found.symbol} {found.interval}: {found.at_exchange} at the exchange; {outcomes or 'no workflow was owed any'}")
        for what, items in (
            ("MISSING candles", found.missing_candles),
            ("MISSING in the ledger", [f"{at} of {key}" for at, key in found.missing_runs]),
            ("MISSING screenings", [f"{at} of {name}" for at, name in found.missing_screenings]),
            ("other prices at the exchange", found.different_candles),
            ("unknown to the exchange", found.unknown_to_exchange),
            ("absent at the exchange, not declared", found.undeclared_absent),
        ):
            if items:
                more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
                self.stdout.write(f"  {what}: {', '.join(str(item) for item in items[:SHOWN])}{more}")
