"""Windows of closed candles out of the database, complete or refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from django.db import connection

from monitoring import indicators, intervals
from monitoring.indicators import Window

# Each key's newest candles up to its close; one index range per key, whatever the number of keys.
WINDOWS = """
SELECT k.market, k.symbol, k.interval, w.times, w.opens, w.highs, w.lows, w.closes, w.volumes,
       (SELECT array_agg(a.open_time) FROM absent_candles a
         WHERE a.market = k.market AND a.symbol = k.symbol AND a.interval = k.interval
           AND a.open_time BETWEEN w.times[1] AND k.open_time)
  FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[]) AS k(market, symbol, interval, open_time)
 CROSS JOIN LATERAL (
    SELECT array_agg(c.open_time ORDER BY c.open_time) AS times,
           array_agg(c.open::float8 ORDER BY c.open_time) AS opens,
           array_agg(c.high::float8 ORDER BY c.open_time) AS highs,
           array_agg(c.low::float8 ORDER BY c.open_time) AS lows,
           array_agg(c.close::float8 ORDER BY c.open_time) AS closes,
           array_agg(c.volume::float8 ORDER BY c.open_time) AS volumes
      FROM (SELECT * FROM candles
             WHERE market = k.market AND symbol = k.symbol AND interval = k.interval AND open_time <= k.open_time
             ORDER BY open_time DESC LIMIT %s) c) w
"""


@dataclass(frozen=True, order=True)
class CandleKey:
    """A closed candle by name; `open_time` in ms."""

    market: str
    symbol: str
    interval: str
    open_time: int


@dataclass(frozen=True)
class Hole:
    """Why there is no window: candles before the close are missing, and the exchange did not say that it lacks them."""

    reason: str


def windows(keys: Iterable[CandleKey], *, size: int = indicators.WINDOW) -> Mapping[CandleKey, Window | Hole]:
    """
    For each close the window of up to `size` candles that ends with it, in one query.

    A window with a hole that is neither filled nor declared absent is a `Hole`: nothing may be decided from it.
    """
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    ends = {(key.market, key.symbol, key.interval): key for key in wanted}
    assert len(ends) == len(wanted), "one close per symbol and interval at a time"
    columns = [[getattr(key, name) for key in wanted] for name in ("market", "symbol", "interval", "open_time")]
    with connection.cursor() as cursor:
        cursor.execute(WINDOWS, [*columns, size])
        rows = cursor.fetchall()
    return {ends[row[:3]]: _window(ends[row[:3]], *row[3:]) for row in rows}


def _window(key: CandleKey, times: list[int] | None, *rest: list[float] | None) -> Window | Hole:
    *prices, absent = rest
    if not times or times[-1] != key.open_time:
        return Hole("the candle itself is missing")
    length = intervals.length_ms(key.interval)
    missing = set(range(times[0], key.open_time + length, length)) - set(times) - set(absent or ())
    if missing:
        return Hole(f"{len(missing)} candles before the close are missing, the newest opened at {max(missing)}")
    opens, highs, lows, closes, volumes = (np.array(column, dtype=np.float64) for column in prices)
    return Window(np.array(times, dtype=np.int64), opens, highs, lows, closes, volumes)


LAST_PRICE = """
SELECT c.close, c.closed
  FROM unnest(%s::text[]) AS i(name)
 CROSS JOIN LATERAL (SELECT close, open_time + interval_ms(i.name) AS closed FROM candles
                      WHERE market = %s AND symbol = %s AND interval = i.name ORDER BY open_time DESC LIMIT 1) c
 ORDER BY c.closed DESC LIMIT 1
"""


@dataclass(frozen=True)
class LastPrice:
    """The newest close of a symbol on any interval; `closed_ms` is app time."""

    price: Decimal
    closed_ms: int


def last_price(*, market: str, symbol: str) -> LastPrice | None:
    """The newest close that is known of a symbol."""
    with connection.cursor() as cursor:
        cursor.execute(LAST_PRICE, [list(intervals.LENGTH_MS), market, symbol])
        row = cursor.fetchone()
    return LastPrice(*row) if row else None


NEWEST = """
SELECT s.symbol, (SELECT max(open_time) FROM candles c WHERE c.market = %s AND c.symbol = s.symbol AND c.interval = %s)
  FROM unnest(%s::text[]) AS s(symbol)
"""


def newest(*, market: str, symbols: Sequence[str], interval: str) -> dict[str, int]:
    """Open times in ms of the newest closed candles; symbols without one are not in it."""
    with connection.cursor() as cursor:
        cursor.execute(NEWEST, [market, interval, list(symbols)])
        return {symbol: open_time for symbol, open_time in cursor.fetchall() if open_time is not None}
