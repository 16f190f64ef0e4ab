"""
The listener: follows what schedules and traders need, and turns closed frames into candles, ledger rows and jobs.

Run as many as you like side by side: whoever commits a close first wins, the other finds the row there.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import psycopg
from django.db import DatabaseError, close_old_connections, connection

from config.broker import connection_parameters
from monitoring import clock, closes, events, heartbeats, indicators, instruments, sweeps, watchlist
from monitoring.candles import CandleKey
from monitoring.events import NewEvent
from monitoring.feed.contract import FeedError, NotSupported
from monitoring.feed.rest import RestClient
from monitoring.following import Stream
from monitoring.market_follower import MarketFollower, Ready, Silence
from monitoring.notifications import notify
from monitoring.watchlist import Shard

logger = logging.getLogger(__name__)
SKEW_S, SKEW_TOLD_EVERY_S = 1.0, 3600.0
LOOK_EVERY_S = 0.5
WATCHLIST_EVERY_S = 5.0
SWEEP_EVERY_S = 3.0
BEAT_EVERY_S = 2.0
INSTRUMENTS_EVERY_S, INSTRUMENTS_RETRY_S = 3600.0, 1.0
GATHER_S = 0.01  # closes of the same second go into one transaction

# The newest recorded candle of each stream, and how much of its window is there or declared absent.
KNOWN = """
SELECT s.symbol, s.interval, n.newest,
       (SELECT count(*) FROM candles c WHERE c.market = %(market)s AND c.symbol = s.symbol AND c.interval = s.interval
           AND c.open_time > n.newest - %(window)s * interval_ms(s.interval))
     + (SELECT count(*) FROM absent_candles a WHERE a.market = %(market)s AND a.symbol = s.symbol AND a.interval = s.interval
           AND a.open_time BETWEEN n.newest - %(window)s * interval_ms(s.interval) + 1 AND n.newest)
  FROM unnest(%(symbol)s::text[], %(interval)s::text[]) AS s(symbol, interval)
 CROSS JOIN LATERAL (SELECT max(open_time) AS newest FROM candles c
                      WHERE c.market = %(market)s AND c.symbol = s.symbol AND c.interval = s.interval) n
"""


class Listener:
    """The loop over a shard of all streams. `run` returns when `stop` was called, with everything that had arrived recorded."""

    def __init__(self, *, shard: Shard = watchlist.ALL) -> None:
        self._shard = shard
        self._followers: dict[str, MarketFollower] = {}
        self._unsupported: set[str] = set()
        self._wake = threading.Event()
        self._watchlist_changed = threading.Event()
        self._stopping = threading.Event()
        self._instance = heartbeats.instance_name()
        self._instruments_due: dict[str, float] = {}
        self._skew_told: dict[str, float] = {}
        self._recorded = 0
        self._last_close: dict[str, object] = {}

    def stop(self) -> None:
        """End the loop; safe to call from a signal handler."""
        self._stopping.set()
        self._wake.set()

    def run(self) -> None:
        notices = threading.Thread(target=self._listen_for_changes, name="watchlist", daemon=True)
        notices.start()
        every = {
            self._follow_watchlist: WATCHLIST_EVERY_S,
            self._refresh_instruments: INSTRUMENTS_RETRY_S,
            self._sweep: SWEEP_EVERY_S,
            self._beat: BEAT_EVERY_S,
        }
        due = dict.fromkeys(every, 0.0)
        while not self._stopping.is_set():
            try:
                if self._watchlist_changed.is_set():
                    self._watchlist_changed.clear()
                    due[self._follow_watchlist] = 0.0
                for chore, at in due.items():
                    if time.monotonic() >= at:
                        chore()
                        due[chore] = time.monotonic() + every[chore]
                self._record()
            except DatabaseError:
                logger.exception("the database did not answer; what arrived waits and is tried again")
                close_old_connections()
                self._stopping.wait(0.5)
            self._wake.wait(LOOK_EVERY_S)
            self._wake.clear()
            self._stopping.wait(GATHER_S)
        self._shut_down()

    def _record(self) -> None:
        now = clock.now()
        for follower in self._followers.values():
            ready = follower.collect()
            if ready.absent:
                keys = [CandleKey(follower.market, symbol, interval, at) for (symbol, interval), at in ready.absent]
                closes.record_absent(keys, now=now)
            if ready.silences:
                notify(events.record_many((_silent(follower.market, silence) for silence in ready.silences), now=now))
            if ready.streamed or ready.fetched:
                self._recorded += self._record_until_done(ready)
                newest = max([*ready.streamed, *ready.fetched], key=lambda candle: candle.open_time)
                self._last_close = {
                    "symbol": newest.symbol,
                    "interval": newest.interval,
                    "open_time": newest.open_time,
                    "lag_s": round(follower.since_close_s(newest), 3),
                }
            follower.maintain()

    def _record_until_done(self, ready: Ready) -> int:
        """Candles in hand are never dropped: a database that is restarting is waited for."""
        while True:
            try:
                return len(closes.record(streamed=ready.streamed, fetched=ready.fetched, reasons=ready.reasons, now=clock.now()))
            except DatabaseError:
                logger.exception("closes could not be recorded; trying again")
                close_old_connections()
                if self._stopping.wait(0.25):
                    raise

    def _follow_watchlist(self) -> None:
        close_old_connections()
        wanted = watchlist.wanted(shard=self._shard)
        for market in set(wanted) - set(self._followers) - self._unsupported:
            try:
                follower = MarketFollower(market=market)
            except NotSupported as error:
                self._unsupported.add(market)
                logger.error("%s", error)
                continue
            follower.start(wake=self._wake)
            self._followers[market] = follower
        for market, follower in self._followers.items():
            streams = wanted.get(market, {})
            follower.want(streams, known=_known(market, follower.missing(streams)))

    def _refresh_instruments(self) -> None:
        """Read each market's symbols and filters, again after a while, and soon again where it failed."""
        for market in self._followers:
            if time.monotonic() < self._instruments_due.get(market, 0.0):
                continue
            try:
                listed = RestClient(market=market).instruments()
            except FeedError as error:
                logger.warning("the symbols of %s could not be read: %s", market, error)
                continue
            instruments.store(listed, market=market, now=clock.now())
            self._instruments_due[market] = time.monotonic() + INSTRUMENTS_EVERY_S

    def _sweep(self) -> None:
        sweeps.run(now=clock.now())

    def _beat(self) -> None:
        for follower in self._followers.values():
            self._check_clock(follower)
        state = {
            "shard": [self._shard.index, self._shard.count],
            "markets": {market: follower.state() for market, follower in self._followers.items()},
            "unsupported": sorted(self._unsupported),
            "recorded": self._recorded,
            "last_close": self._last_close,
        }
        heartbeats.beat(kind="listener", instance=self._instance, state=state)

    def _check_clock(self, follower: MarketFollower) -> None:
        """Say so, now and then, while this machine's clock is wrong."""
        offset_s = follower.offset_s()
        if abs(offset_s) < SKEW_S or time.monotonic() < self._skew_told.get(follower.market, 0.0):
            return
        self._skew_told[follower.market] = time.monotonic() + SKEW_TOLD_EVERY_S
        text = f"this machine's clock is {abs(offset_s):.1f} s {'behind' if offset_s > 0 else 'ahead of'} {follower.market}'s"
        data = {"market": follower.market, "offset_ms": round(offset_s * 1000)}
        notify([events.record(NewEvent("clock_skewed", text, data, level=events.WARNING), now=clock.now())])

    def _listen_for_changes(self) -> None:
        """On a thread of its own: be told at once when a schedule or a trader changes; the loop looks now and then anyway."""
        while not self._stopping.is_set():
            try:
                with psycopg.connect(**connection_parameters(), autocommit=True, application_name="listener watchlist") as notices:
                    notices.execute("LISTEN watchlist")
                    while not self._stopping.is_set():
                        for _ in notices.notifies(timeout=1.0, stop_after=1):
                            self._watchlist_changed.set()
                            self._wake.set()
            except (psycopg.Error, DatabaseError) as error:
                logger.warning("not told of changes for a moment: %s", error)
                self._stopping.wait(1.0)
            finally:
                connection.close()

    def _shut_down(self) -> None:
        for follower in self._followers.values():
            follower.close()
        try:
            self._record()
        except DatabaseError:
            logger.exception("the last closes could not be recorded; the next start fetches them again")


def _silent(market: str, silence: Silence) -> NewEvent:
    data = {"market": market, "streams": silence.streams, "example": silence.example, "seconds": round(silence.seconds, 1)}
    text = f"{market} was connected and sent nothing for {silence.seconds:.0f} s while there were trades; connecting again"
    return NewEvent("feed_silent", text, data, level=events.WARNING)


def _known(market: str, streams: set[Stream]) -> dict[Stream, int | None]:
    """The newest recorded candle of each stream; None where the window before it is not complete."""
    ordered = sorted(streams)
    if not ordered:
        return {}
    with connection.cursor() as cursor:
        arguments: dict[str, Any] = {
            "market": market,
            "window": indicators.WINDOW,
            "symbol": [symbol for symbol, _ in ordered],
            "interval": [interval for _, interval in ordered],
        }
        cursor.execute(KNOWN, arguments)
        return {(symbol, interval): newest if count >= indicators.WINDOW else None for symbol, interval, newest, count in cursor.fetchall()}
