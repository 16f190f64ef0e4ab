"""What has to be watched: symbols of running traders, active schedules, and whatever higher floors register."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Shard:
    """The part `index` of `count` (from 1 on) of all streams; the same on every host."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """:raises ValueError: if it is not like 1/4"""
        index, _, count = text.partition("/")
        if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
            raise ValueError(f"a shard is written like 1/4, was {text!r}")
        return cls(int(index), int(count))

    def has(self, market: str, stream: Stream) -> bool:
        """Whether a stream belongs to it."""
        return zlib.crc32(":".join((market, *stream)).encode()) % self.count == self.index - 1


ALL = Shard()
_sources: list[Callable[[], Mapping[tuple[str, str, str], int]]] = []


def register(source: Callable[[], Mapping[tuple[str, str, str], int]]) -> None:
    """Have `source()` name further (market, symbol, interval) to watch, each with the moment (ms) it is owed from."""
    if source not in _sources:
        _sources.append(source)


def wanted(*, shard: Shard = ALL) -> dict[str, dict[Stream, int]]:
    """By market: each stream of a shard with the moment in ms from which its closes are owed to somebody."""
    with connection.cursor() as cursor:
        cursor.execute(WANTED)
        found = {(market, symbol, interval): since for market, symbol, interval, since in cursor.fetchall()}
    for source in _sources:
        for key, since in source().items():
            found[key] = min(since, found.get(key, since))
    by_market: dict[str, dict[Stream, int]] = {}
    for (market, symbol, interval), since in found.items():
        if shard.has(market, (symbol, interval)):
            by_market.setdefault(market, {})[symbol, interval] = since
    return by_market
