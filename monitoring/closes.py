"""
Closed candles into the database: the candle, the ledger rows it owes and the jobs, in one transaction (P2, P3).

Whoever commits a candle first wins; another listener, a replay or a backfill finds the row there and owes nothing.
Everything is set-based: the number of statements does not grow with the number of workflows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction

from monitoring import events, jobs
from monitoring.candles import CandleKey
from monitoring.events import NewEvent
from monitoring.feed import registry
from monitoring.feed.contract import ClosedCandle
from monitoring.models import Candle

CLOSES_PER_JOB = 100

INSERT_CANDLES = """
INSERT INTO candles (market, symbol, interval, open_time, open, high, low, close, volume, quote_volume, trades, source, gap, received_at)
SELECT c.*, %s::timestamptz
  FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[],
              %s::numeric[], %s::numeric[], %s::bigint[], %s::text[], %s::text[]) AS c
ON CONFLICT (market, symbol, interval, open_time) DO NOTHING
RETURNING market, symbol, interval, open_time
"""

# The exchange sent other numbers for a candle that we have: what was decided on stays, and somebody is told.
REVISED = """
SELECT c.symbol, c.interval, c.open_time, c.close, n.close
  FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[], %s::numeric[])
       AS n(market, symbol, interval, open_time, open, high, low, close, volume)
  JOIN candles c ON c.market = n.market AND c.symbol = n.symbol AND c.interval = n.interval AND c.open_time = n.open_time
 WHERE (c.open, c.high, c.low, c.close, c.volume) IS DISTINCT FROM (n.open, n.high, n.low, n.close, n.volume)
"""

FRESH = """fresh AS (
    SELECT * FROM unnest(%(market)s::text[], %(symbol)s::text[], %(interval)s::text[], %(open_time)s::bigint[])
           AS f(market, symbol, interval, open_time)
)"""

# Of the candles a schedule is owed only the newest is judged; older ones, filled in after an outage, are accounted for.
# A candle before `last_candle_time` came out of order: it is superseded as well. A workflow that stopped after the
# close, and before the close got here, was still owed it.
OWE_RUNS = f"""
WITH {FRESH},
owing AS (
    SELECT s.id, s.last_candle_time, s.started_at, f.*, '' AS over
      FROM fresh f
      JOIN workflow_schedules s ON s.is_active AND s.symbol = f.symbol AND s.interval = f.interval AND s.market = f.market
     UNION ALL
    SELECT s.id, s.last_candle_time, s.started_at, f.*,
           CASE WHEN s.stop_reason IN ('operator', 'error_limit_exceeded') THEN 'disabled' ELSE 'ended' END
      FROM fresh f
      JOIN workflow_schedules s ON NOT s.is_active AND s.symbol = f.symbol AND s.interval = f.interval AND s.market = f.market
       AND s.stopped_at > to_timestamp((f.open_time + interval_ms(f.interval)) / 1000.0)
),
owed AS (
    SELECT id, market, symbol, interval, open_time,
           CASE WHEN over <> '' THEN over
                WHEN open_time <= coalesce(last_candle_time, -1)
                  OR EXISTS (SELECT 1 FROM candles c WHERE c.market = owing.market AND c.symbol = owing.symbol
                                AND c.interval = owing.interval AND c.open_time > owing.open_time) THEN %(stale_reason)s
                ELSE '' END AS reason
      FROM owing
     WHERE open_time + interval_ms(interval) > to_ms(started_at)
)
INSERT INTO workflow_runs (schedule_id, candle_time, status, reason, gap, finished_at, created_at)
SELECT o.id, o.open_time, CASE WHEN reason = '' THEN 'due' ELSE 'skipped' END, reason,
       coalesce((SELECT c.gap FROM candles c WHERE c.market = o.market AND c.symbol = o.symbol
                    AND c.interval = o.interval AND c.open_time = o.open_time), ''),
       CASE WHEN reason <> '' THEN %(now)s::timestamptz END, %(now)s
  FROM owed o ORDER BY o.id, o.open_time
ON CONFLICT (schedule_id, candle_time) DO NOTHING
"""

SUPERSEDE_RUNS = f"""
WITH {FRESH}
UPDATE workflow_runs r SET status = 'skipped', reason = 'superseded', finished_at = %(now)s
  FROM workflow_schedules s JOIN fresh f ON s.symbol = f.symbol AND s.interval = f.interval AND s.market = f.market
 WHERE r.schedule_id = s.id AND r.status = 'due' AND r.candle_time < f.open_time
"""

OWE_SCREENINGS = f"""
WITH {FRESH},
owed AS (
    SELECT t.id, f.*, EXISTS (SELECT 1 FROM candles c WHERE c.market = f.market AND c.symbol = f.symbol
                                AND c.interval = f.interval AND c.open_time > f.open_time) AS stale
      FROM fresh f
      JOIN traders t ON t.state = 'running' AND t.market = f.market AND t.interval = f.interval AND f.symbol = ANY(t.symbols)
     WHERE f.open_time + interval_ms(f.interval) > to_ms(t.screened_since) AND jsonb_array_length(t.conditions) > 0
)
INSERT INTO screenings (trader_id, market, symbol, interval, candle_time, status, reason, created_at)
SELECT id, market, symbol, interval, open_time, CASE WHEN stale THEN 'skipped' ELSE 'due' END,
       CASE WHEN stale THEN %(stale_reason)s ELSE '' END, %(now)s
  FROM owed ORDER BY id, symbol, open_time
ON CONFLICT (trader_id, symbol, interval, candle_time) DO NOTHING
"""

NEWEST_ONLY = f"""
WITH {FRESH}
SELECT f.* FROM fresh f
 WHERE NOT EXISTS (SELECT 1 FROM candles c WHERE c.market = f.market AND c.symbol = f.symbol
                      AND c.interval = f.interval AND c.open_time > f.open_time)
"""

INSERT_ABSENT = """
INSERT INTO absent_candles (market, symbol, interval, open_time, noted_at)
SELECT a.*, %(now)s FROM unnest(%(market)s::text[], %(symbol)s::text[], %(interval)s::text[], %(open_time)s::bigint[]) AS a
ON CONFLICT DO NOTHING
"""

# Candles that were committed while a schedule was being made see neither each other: this finds what slipped between.
# Per schedule, two short ranges of two keys: a set difference, since the planner may not turn it into a join of both
# whole tables, whatever it believes of their sizes.
UNACCOUNTED = """
SELECT DISTINCT s.market, s.symbol, s.interval, missed.open_time
  FROM workflow_schedules s
 CROSS JOIN LATERAL (SELECT greatest(s.last_candle_time, to_ms(s.started_at) - interval_ms(s.interval)) AS open_time OFFSET 0) settled
 CROSS JOIN LATERAL (
        SELECT c.open_time FROM candles c
         WHERE c.market = s.market AND c.symbol = s.symbol AND c.interval = s.interval AND c.open_time > settled.open_time
        EXCEPT
        SELECT r.candle_time FROM workflow_runs r WHERE r.schedule_id = s.id AND r.candle_time > settled.open_time
       ) missed
 WHERE s.is_active
"""

# Work whose job is gone: due for longer than a job waits, or claimed by a worker that died.
# The open rows are few and found first, by their own index.
STRANDED = """
WITH stranded AS MATERIALIZED (
    SELECT schedule_id, candle_time FROM workflow_runs
     WHERE status IN ('due', 'claimed')
       AND ((status = 'due' AND created_at < %(before)s) OR (status = 'claimed' AND lease_until < now()))
)
SELECT s.market, s.symbol, s.interval, stranded.candle_time
  FROM stranded JOIN workflow_schedules s ON s.id = stranded.schedule_id
 UNION
SELECT DISTINCT market, symbol, interval, candle_time FROM screenings WHERE status = 'due' AND created_at < %(before)s
"""


def record(
    *,
    streamed: Sequence[ClosedCandle] = (),
    fetched: Sequence[ClosedCandle] = (),
    reasons: Mapping[CandleKey, str] | None = None,
    now: datetime,
    announce: bool = True,
) -> list[CandleKey]:
    """
    Store closed candles that arrived together and return those that were new; `reasons` says why some had to be fetched.

    1. Insert the candles, in a fixed order so that two listeners wait for each other instead of deadlocking.
    2. Insert a ledger row for every active schedule and a screening row for every running trader they concern.
    3. Enqueue the jobs for those that are their symbol's newest; what fills resting orders reads the older ones too.
       Without `announce` that is left to the caller.
    """
    with transaction.atomic():
        fresh = _insert(streamed, fetched, reasons or {}, now=now)
        if fresh:
            _owe(fresh, now=now, stale_reason="superseded")
            if announce:
                enqueue(_newest_only(fresh))
    return fresh


def record_absent(keys: Sequence[CandleKey], *, now: datetime) -> None:
    """Declare candles that the exchange itself lacks; who was owed them gets *skipped: absent*."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(INSERT_ABSENT, {**_columns(keys), "now": now})
        _owe(keys, now=now, stale_reason="absent", supersede=False)


def settle(*, now: datetime, stranded_before: datetime) -> int:
    """
    Account for closes that slipped between, and enqueue again what no job is left for. Returns how many closes.

    Safe to run at any time and by anybody.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(UNACCOUNTED)
            missed = [CandleKey(*row) for row in cursor.fetchall()]
            if missed:
                _owe(missed, now=now, stale_reason="superseded")
            cursor.execute(STRANDED, {"before": stranded_before})
            stranded = [CandleKey(*row) for row in cursor.fetchall()]
        again = sorted({*missed, *stranded})
        enqueue(again)
    return len(again)


def enqueue(keys: Sequence[CandleKey]) -> None:
    """Have workers handle these closes: a job per market, interval and close, in parts of many symbols."""
    groups: dict[tuple[str, str, int], list[str]] = defaultdict(list)
    for key in keys:
        groups[key.market, key.interval, key.open_time].append(key.symbol)
    for (market, interval, open_time), symbols in sorted(groups.items()):
        for at in range(0, len(symbols), CLOSES_PER_JOB):
            part = symbols[at : at + CLOSES_PER_JOB]
            jobs.enqueue(jobs.Job.HANDLE_CLOSES, market=market, interval=interval, open_time=open_time, symbols=part)


def _newest_only(keys: Sequence[CandleKey]) -> list[CandleKey]:
    with connection.cursor() as cursor:
        cursor.execute(NEWEST_ONLY, _columns(keys))
        return [CandleKey(*row) for row in cursor.fetchall()]


def _insert(
    streamed: Sequence[ClosedCandle], fetched: Sequence[ClosedCandle], reasons: Mapping[CandleKey, str], *, now: datetime
) -> list[CandleKey]:
    both = [(candle, Candle.Source.STREAM) for candle in streamed] + [(candle, Candle.Source.BACKFILL) for candle in fetched]
    both.sort(key=lambda pair: (pair[0].market, pair[0].symbol, pair[0].interval, pair[0].open_time))
    if not both:
        return []
    names = ("market", "symbol", "interval", "open_time", "open", "high", "low", "close", "volume", "quote_volume", "trades")
    columns = [[getattr(candle, name) for candle, _ in both] for name in names]
    with connection.cursor() as cursor:
        why = [reasons.get(CandleKey(c.market, c.symbol, c.interval, c.open_time), "") for c, _ in both]
        cursor.execute(INSERT_CANDLES, [now, *columns, [source.value for _, source in both], why])
        fresh = [CandleKey(*row) for row in cursor.fetchall()]
        revised = []
        # Candles that we build ourselves differ a little between two listeners; that is no revision.
        sent = [candle for candle, _ in both if registry.adapter(candle.market).sends_candles]
        if len(fresh) < len(both) and sent:
            cursor.execute(REVISED, [[getattr(candle, name) for candle in sent] for name in names[:9]])
            revised = cursor.fetchall()
    events.record_many((_revision(*row) for row in revised), now=now)
    return fresh


def _revision(symbol: str, interval: str, open_time: int, close: Decimal, revised: Decimal) -> NewEvent:
    data = {"symbol": symbol, "interval": interval, "open_time": open_time, "close": str(close), "revised_close": str(revised)}
    text = f"the exchange revised a closed candle: close {close.normalize():f} → {revised.normalize():f}; what was decided on it stays"
    return NewEvent("candle_revised", text, data, level=events.WARNING)


def _owe(keys: Sequence[CandleKey], *, now: datetime, stale_reason: str, supersede: bool = True) -> None:
    arguments = {**_columns(keys), "now": now, "stale_reason": stale_reason}
    with connection.cursor() as cursor:
        cursor.execute(OWE_RUNS, arguments)
        if supersede:
            cursor.execute(SUPERSEDE_RUNS, arguments)
        cursor.execute(OWE_SCREENINGS, arguments)


def _columns(keys: Sequence[CandleKey]) -> dict[str, list[str] | list[int]]:
    return {name: [getattr(key, name) for key in keys] for name in ("market", "symbol", "interval", "open_time")}
