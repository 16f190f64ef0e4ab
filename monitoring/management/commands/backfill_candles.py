"""`manage.py backfill_candles SYMBOL INTERVAL --from … --to …`: candles of a period by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from monitoring import clock, closes, intervals
from monitoring.feed.contract import FeedError
from monitoring.feed.rest import RestClient


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = "Fetch the candles of a period. What is there stays; who is owed one of them gets its ledger row."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("symbol")
        parser.add_argument("interval", choices=list(intervals.LENGTH_MS))
        parser.add_argument("--from", dest="since", type=_moment, required=True, help="ISO 8601; UTC unless it says otherwise.")
        parser.add_argument("--to", dest="until", type=_moment, help="Default: now.")
        parser.add_argument("--market", default=settings.MARKET)

    def handle(self, *args: Any, **options: Any) -> None:
        interval, now = options["interval"], clock.now()
        start = intervals.open_time_at(at_ms=clock.to_ms(options["since"]), interval=interval)
        until = min(options["until"] or now, now)
        end = intervals.newest_closed(at_ms=clock.to_ms(until), interval=interval)
        client, fetched, fresh = RestClient(market=options["market"]), 0, 0
        try:
            for page in client.candles(symbol=options["symbol"], interval=interval, start=start, end=end):
                fetched += len(page)
                fresh += len(closes.record(fetched=page, now=clock.now()))
        except FeedError as error:
            raise CommandError(f"after {fetched} candles: {error}") from error
        self.stdout.write(f"{fetched} candles fetched, {fresh} of them new")
