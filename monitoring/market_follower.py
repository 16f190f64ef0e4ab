"""
One market followed: its connections, its gaps, and the closes that are ready to be recorded.

Threads hand over, and the listener's loop asks: `collect` gives what to record, `maintain` keeps connections and gaps
in order. Nothing here writes to the database.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from django.conf import settings

from monitoring import clock, gaps, intervals
from monitoring.candles import CandleKey
from monitoring.connections import Connections
from monitoring.feed import registry
from monitoring.feed.building import CandleBuilder
from monitoring.feed.contract import ClosedCandle, FeedError, RestLimited, RestNotAsked, Tick
from monitoring.feed.exchange_time import ExchangeTime, Quiet
from monitoring.feed.rest import TIME_IS_GOOD_FOR_S, RestClient
from monitoring.following import Filled, Following, Gap, Stream
from monitoring.gaps import FeedSeen, Reason

logger = logging.getLogger(__name__)
FETCHES_AT_ONCE = 4
SHORTEST_GRACE_S, USUAL_GRACE_S = 1.0, 4.0  # real time a closing frame may take before REST is asked
TROUBLED_SHOWN = 20


@dataclass(frozen=True)
class Silence:
    """A connection that was up and sent nothing of `streams`, for so many real seconds."""

    streams: int
    example: str
    seconds: float


@dataclass(frozen=True)
class Ready:
    """Closes to record together, by where they came from; open times that the exchange lacks; connections found silent."""

    streamed: list[ClosedCandle] = field(default_factory=list)
    fetched: list[ClosedCandle] = field(default_factory=list)
    reasons: dict[CandleKey, Reason] = field(default_factory=dict)
    absent: list[tuple[Stream, int]] = field(default_factory=list)
    silences: list[Silence] = field(default_factory=list)


class MarketFollower:
    """Follows one market until closed."""

    def __init__(self, *, market: str) -> None:
        self.market = market
        self.filled: Counter[str] = Counter()
        self._time, self._quiet = ExchangeTime(), Quiet()
        self._following = Following()
        sends_candles = registry.adapter(market).sends_candles
        self._builder = None if sends_candles else CandleBuilder(market=market)
        self._ticks: queue.SimpleQueue[Tick] = queue.SimpleQueue()
        self._connections = Connections(market=market, on_close=self._on_close, on_tick=None if sends_candles else self._ticks.put)
        self._losses = 0
        self._arrived: queue.SimpleQueue[ClosedCandle] = queue.SimpleQueue()
        self._fetched: queue.SimpleQueue[tuple[Gap, list[ClosedCandle] | FeedError]] = queue.SimpleQueue()
        self._in_flight = 0
        self._pool = ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix=f"rest-{market}")
        self._clients = threading.local()
        self._measuring: Future[None] | None = None
        self._wake: threading.Event | None = None

    def start(self, *, wake: threading.Event) -> None:
        """Set `wake` whenever there is something to collect."""
        self._wake = wake

    def missing(self, wanted: Mapping[Stream, int]) -> set[Stream]:
        """Wanted streams that are new to it; the caller looks up what is recorded of them."""
        return self._following.missing(wanted)

    def want(self, wanted: Mapping[Stream, int], *, known: Mapping[Stream, int | None]) -> None:
        """Follow exactly these streams from now on."""
        self._following.want(wanted, known=known)
        self._connections.want(wanted)
        if self._builder:
            self._builder.want(wanted)

    def collect(self) -> Ready:
        """Everything that may be recorded now."""
        ready = Ready()
        while not self._fetched.empty():
            gap, candles = self._fetched.get()
            self._in_flight -= 1
            if isinstance(candles, RestNotAsked):
                self._following.not_asked(gap)
                continue
            if isinstance(candles, FeedError):
                self._following.failed(gap)
                continue
            first = self._following.is_first(gap.stream)
            done = self._following.filled(gap, candles)
            self._explain(gap.stream, done, ready, first=first)
            ready.fetched.extend(done.fetched)
            ready.streamed.extend(done.held)
            ready.absent.extend((gap.stream, open_time) for open_time in done.absent)
        if self._builder:
            self._build(self._builder)
        while not self._arrived.empty():
            ready.streamed.extend(self._following.arrived(self._arrived.get()))
        return ready

    def _build(self, builder: CandleBuilder) -> None:
        """Candles of a venue that sends none, closed by its clock before a gap would be seen."""
        if (losses := self._connections.totals()["reconnects"]) != self._losses:
            self._losses = losses
            builder.forget()
        while not self._ticks.empty():
            builder.take(self._ticks.get())
        for candle in builder.due(now_ms=self._time.at(clock.now_ms()), grace_ms=self._grace_ms() // 2):
            self._arrived.put(candle)

    def _grace_ms(self) -> int:
        """App time that a closing frame may take before REST is asked."""
        speed = float(settings.CLOCK_SPEED)
        return int(max(SHORTEST_GRACE_S, USUAL_GRACE_S / speed) * speed * 1000)

    def maintain(self) -> None:
        """Keep the connections in order, and have the gaps fetched that are open now."""
        self._connections.maintain()
        if self._quiet.left_s:
            return
        if self._time.is_older_than(TIME_IS_GOOD_FOR_S / 2) and (self._measuring is None or self._measuring.done()):
            self._measuring = self._pool.submit(self._measure_time)
        if (room := FETCHES_AT_ONCE - self._in_flight) <= 0:
            return
        for gap in self._following.gaps(now_ms=self._time.at(clock.now_ms()), grace_ms=self._grace_ms(), most=room):
            self._in_flight += 1
            self._pool.submit(self._fetch, gap).add_done_callback(_log_crash)

    def state(self) -> dict[str, object]:
        """What the heartbeat says of this market."""
        last_frame_at, offset = self._connections.last_frame_at(), self._time.offset
        troubled = self._following.troubled()
        return {
            **self._connections.totals(),
            "streams": len(self._following),
            "replaced": self._connections.replaced,
            "gaps_filled": sum(self.filled.values()),
            "gaps": dict(self.filled),
            "troubled": [f"{symbol} {interval}" for symbol, interval in troubled[:TROUBLED_SHOWN]],
            "troubled_count": len(troubled),
            "last_frame_age_s": round(time.monotonic() - last_frame_at, 1) if last_frame_at else None,
            "offset_ms": offset.ms if offset else None,
            "offset_error_ms": offset.error_ms if offset else None,
            "quiet_s": round(self._quiet.left_s, 1),
        }

    def offset_s(self) -> float:
        """How far the exchange's clock is surely ahead of ours (behind: negative), in real seconds."""
        offset = self._time.offset
        if offset is None or abs(offset.ms) <= offset.error_ms:
            return 0.0
        return offset.ms / 1000 / float(settings.CLOCK_SPEED)

    def since_close_s(self, candle: ClosedCandle) -> float:
        """Real seconds since a candle closed, by the exchange's clock."""
        closed = intervals.close_time(open_time=candle.open_time, interval=candle.interval)
        return (self._time.at(clock.now_ms()) - closed) / 1000 / float(settings.CLOCK_SPEED)

    def close(self) -> None:
        """Stop all threads."""
        self._connections.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _explain(self, stream: Stream, done: Filled, ready: Ready, *, first: bool) -> None:
        """Say of each fetched candle why it did not come by the stream; connect again where nothing comes."""
        seen = self._seen(stream)
        newest = None
        for candle in done.fetched:
            newest = Reason.HISTORY if first else gaps.reason(candle, seen)
            ready.reasons[CandleKey(candle.market, candle.symbol, candle.interval, candle.open_time)] = newest
            self.filled[newest] += 1
        if newest is Reason.SILENT_FEED and (streams := self._connections.renew(stream)):
            now_ms = self._time.at(clock.now_ms())
            silent_since = seen.last_data_ms or seen.live_since_ms or now_ms
            silent_s = (now_ms - silent_since) / 1000 / float(settings.CLOCK_SPEED)
            ready.silences.append(Silence(len(streams), " ".join(stream), silent_s))

    def _seen(self, stream: Stream) -> FeedSeen:
        state = self._connections.state_of(stream)
        if state is None:
            return FeedSeen(None, None)
        live_since, last_data = state.live_since_ms, state.last_data_ms
        return FeedSeen(live_since and self._time.at(live_since), last_data and self._time.at(last_data))

    def _on_close(self, candle: ClosedCandle) -> None:
        self._arrived.put(candle)
        self._rouse()

    def _rouse(self) -> None:
        if self._wake:
            self._wake.set()

    def _client(self) -> RestClient:
        """This thread's own."""
        client: RestClient | None = getattr(self._clients, "client", None)
        if client is None:
            client = self._clients.client = RestClient(market=self.market, time=self._time, quiet=self._quiet)
        return client

    def _measure_time(self) -> None:
        try:
            self._client().measure_time()
        except FeedError as error:
            logger.warning("the time of %s could not be asked: %s", self.market, error)

    def _fetch(self, gap: Gap) -> None:
        """On a thread of the pool: fetch a gap and hand it over, or hand over that it failed."""
        symbol, interval = gap.stream
        fetched: list[ClosedCandle] | FeedError = FeedError("it crashed")
        try:
            pages = self._client().candles(symbol=symbol, interval=interval, start=gap.start, end=gap.end)
            fetched = [candle for page in pages for candle in page]
        except RestNotAsked as error:
            fetched = error
        except RestLimited as error:
            fetched = error
            logger.warning("%s asks for %.0f s of silence", self.market, error.retry_after_s)
        except FeedError as error:  # or this stream's own trouble, such as a symbol that the exchange does not have
            fetched = error
            logger.warning("%s %s: a gap could not be fetched: %s", symbol, interval, error)
        finally:
            self._fetched.put((gap, fetched))
            self._rouse()


def _log_crash(future: Future[None]) -> None:
    if not future.cancelled() and (error := future.exception()):
        logger.error("fetching a gap failed", exc_info=error)
