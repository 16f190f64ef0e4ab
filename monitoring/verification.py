"""
Are all closes of a period accounted for? Our candles, ledger and screening against the exchange's own candles (P2).

Owed are: to every workflow the closes between its start and its stop; to every running trader the closes since it has
been screened on this symbol. A close may have been skipped, failed or late; it must not be missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from monitoring import intervals
from monitoring.feed.contract import ClosedCandle

# A workflow that was disabled and enabled again has its rows for the time between; one that is off is owed nothing after its stop.
MISSING_RUNS = """
SELECT t.open_time, s.id::text
  FROM workflow_schedules s
  JOIN unnest(%(open_time)s::bigint[]) AS t(open_time)
    ON t.open_time + %(length)s > to_ms(s.started_at) AND (s.is_active OR t.open_time + %(length)s < to_ms(s.stopped_at))
 WHERE s.market = %(market)s AND s.symbol = %(symbol)s AND s.interval = %(interval)s
   AND NOT EXISTS (SELECT 1 FROM workflow_runs r WHERE r.schedule_id = s.id AND r.candle_time = t.open_time)
 ORDER BY 1, 2
"""
MISSING_SCREENINGS = """
SELECT t.open_time, tr.name
  FROM traders tr JOIN unnest(%(open_time)s::bigint[]) AS t(open_time) ON t.open_time + %(length)s > to_ms(tr.screened_since)
 WHERE tr.state = 'running' AND tr.market = %(market)s AND tr.interval = %(interval)s AND %(symbol)s = ANY(tr.symbols)
   AND jsonb_array_length(tr.conditions) > 0
   AND NOT EXISTS (SELECT 1 FROM screenings c WHERE c.trader_id = tr.id AND c.symbol = %(symbol)s AND c.interval = %(interval)s
                      AND c.candle_time = t.open_time)
 ORDER BY 1, 2
"""
OUTCOMES = """
SELECT r.status, r.reason, count(*) FROM workflow_runs r JOIN workflow_schedules s ON s.id = r.schedule_id
 WHERE s.market = %(market)s AND s.symbol = %(symbol)s AND s.interval = %(interval)s AND r.candle_time BETWEEN %(start)s AND %(end)s
 GROUP BY 1, 2 ORDER BY 1, 2
"""
OURS = """
SELECT open_time, open, high, low, close, volume FROM candles
 WHERE market = %(market)s AND symbol = %(symbol)s AND interval = %(interval)s AND open_time BETWEEN %(start)s AND %(end)s
"""
OWED_SINCE = """
SELECT min(since) FROM (
    SELECT to_ms(started_at) AS since FROM workflow_schedules
     WHERE market = %(market)s AND symbol = %(symbol)s AND interval = %(interval)s AND (is_active OR to_ms(stopped_at) >= %(start)s)
     UNION ALL
    SELECT to_ms(screened_since) FROM traders
     WHERE market = %(market)s AND interval = %(interval)s AND %(symbol)s = ANY(symbols) AND state = 'running'
) s
"""
DECLARED_ABSENT = """
SELECT open_time FROM absent_candles
 WHERE market = %(market)s AND symbol = %(symbol)s AND interval = %(interval)s AND open_time BETWEEN %(start)s AND %(end)s
"""
WATCHED = """
SELECT DISTINCT symbol, interval FROM workflow_schedules
 WHERE market = %(market)s AND to_ms(started_at) <= %(end)s AND (is_active OR to_ms(stopped_at) >= %(start)s)
 UNION
SELECT unnest(symbols), interval FROM traders WHERE market = %(market)s AND state = 'running'
 ORDER BY 1, 2
"""


@dataclass
class Findings:
    """What was found of one stream; open times in ms. `unaccounted` is what must be empty."""

    symbol: str
    interval: str
    at_exchange: int = 0
    missing_candles: list[int] = field(default_factory=list)
    different_candles: list[int] = field(default_factory=list)
    unknown_to_exchange: list[int] = field(default_factory=list)
    undeclared_absent: list[int] = field(default_factory=list)
    missing_runs: list[tuple[int, str]] = field(default_factory=list)
    missing_screenings: list[tuple[int, str]] = field(default_factory=list)
    outcomes: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def unaccounted(self) -> int:
        """Closes that happened at the exchange and that somebody here was owed, without a trace."""
        return len(self.missing_candles) + len(self.missing_runs) + len(self.missing_screenings)


def watched(*, market: str, start: int, end: int) -> list[tuple[str, str]]:
    """(symbol, interval) of everything that somebody was owed in a period of open times in ms."""
    with connection.cursor() as cursor:
        cursor.execute(WATCHED, {"market": market, "start": start, "end": end})
        return [(symbol, interval) for symbol, interval in cursor.fetchall()]


def verify(*, market: str, symbol: str, interval: str, start: int, end: int, at_exchange: Iterable[ClosedCandle]) -> Findings:
    """Compare one stream between two open times (ms, both included) with what the exchange has."""
    theirs = {candle.open_time: candle for candle in at_exchange}
    length = intervals.length_ms(interval)
    stream: dict[str, Any] = {"market": market, "symbol": symbol, "interval": interval, "start": start, "end": end, "length": length}
    found = Findings(symbol, interval, at_exchange=len(theirs))
    with connection.cursor() as cursor:
        cursor.execute(OURS, stream)
        ours = {row[0]: row[1:] for row in cursor.fetchall()}
        cursor.execute(OWED_SINCE, stream)
        owed_since = cursor.fetchone()[0]
        cursor.execute(DECLARED_ABSENT, stream)
        declared = {row[0] for row in cursor.fetchall()}
        owed = {**stream, "open_time": sorted(theirs)}
        cursor.execute(MISSING_RUNS, owed)
        found.missing_runs = cursor.fetchall()
        cursor.execute(MISSING_SCREENINGS, owed)
        found.missing_screenings = cursor.fetchall()
        cursor.execute(OUTCOMES, stream)
        found.outcomes = cursor.fetchall()
    # Candles from before anybody watched are history that an indicator's window may or may not have needed.
    watched_since = end if owed_since is None else owed_since - length
    found.missing_candles = sorted(at for at in set(theirs) - set(ours) if at > watched_since)
    found.unknown_to_exchange = sorted(set(ours) - set(theirs))
    found.different_candles = sorted(at for at in set(ours) & set(theirs) if ours[at] != _values(theirs[at]))
    if theirs:  # before its first candle a symbol may not have been listed
        found.undeclared_absent = sorted(set(range(min(theirs), end + 1, length)) - set(theirs) - declared)
    return found


def _values(candle: ClosedCandle) -> tuple[object, ...]:
    return candle.open, candle.high, candle.low, candle.close, candle.volume
