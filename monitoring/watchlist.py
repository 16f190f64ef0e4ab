"""What has to be watched: symbols of running traders, active schedules, and whatever higher floors register."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.db import connection

Stream = tuple[str, str]  # symbol, interval

# Each stream with the earliest moment from which somebody is owed its closes, in ms.
WANTED = """
SELECT market, symbol, interval, min(since) FROM (
    SELECT market, symbol, interval, to_ms(started_at) AS since FROM workflow_schedules WHERE is_active
     UNION ALL
    SELECT market, unnest(symbols), interval, to_ms(screened_since) FROM traders WHERE state = 'running'
) w GROUP BY market, symbol, interval
"""

_sources: list[Callable[[], Mapping[tuple[str, str, str], int]]] = []


def register(source: Callable[[], Mapping[tuple[str, str, str], int]]) -> None:
    """Have `source()` name further (market, symbol, interval) to watch, each with the moment (ms) it is owed from."""
    if source not in _sources:
        _sources.append(source)


def wanted() -> dict[str, dict[Stream, int]]:
    """By market: each stream with the moment in ms from which its closes are owed to somebody."""
    with connection.cursor() as cursor:
        cursor.execute(WANTED)
        found = {(market, symbol, interval): since for market, symbol, interval, since in cursor.fetchall()}
    for source in _sources:
        for key, since in source().items():
            found[key] = min(since, found.get(key, since))
    by_market: dict[str, dict[Stream, int]] = {}
    for (market, symbol, interval), since in found.items():
        by_market.setdefault(market, {})[symbol, interval] = since
    return by_market
