"""
One market followed: its connections, its gaps, and the closes that are ready to be recorded.

Threads hand over, and the listener's loop asks: `collect` gives what to record, `maintain` keeps streams and gaps in
order. Nothing here writes to the database.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from django.conf import settings

from monitoring import clock
from monitoring.feed import registry
from monitoring.feed.contract import ClosedCandle, FeedError, RestDown, RestLimited
from monitoring.feed.rest import RestClient
from monitoring.feed.stream import StreamConnection
from monitoring.following import Following, Gap, Stream

logger = logging.getLogger(__name__)
FETCHES_AT_ONCE = 4
SHORTEST_GRACE_S, USUAL_GRACE_S = 1.0, 4.0  # real time a closing frame may take before REST is asked
RETRY_S = 2.0


@dataclass(frozen=True)
class Ready:
    """Closes to record together, by where they came from, and open times of a stream that the exchange lacks."""

    streamed: list[ClosedCandle]
    fetched: list[ClosedCandle]
    absent: list[tuple[Stream, int]]


class MarketFollower:
    """Follows one market until closed."""

    def __init__(self, *, market: str) -> None:
        self.market = market
        self.filled = 0
        self._limits = registry.adapter(market).limits
        self._following = Following()
        self._arrived: queue.SimpleQueue[ClosedCandle] = queue.SimpleQueue()
        self._fetched: queue.SimpleQueue[tuple[Gap, list[ClosedCandle] | None]] = queue.SimpleQueue()
        self._connections: list[StreamConnection] = []
        self._pool = ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix=f"rest-{market}")
        self._clients = threading.local()
        self._quiet_until = 0.0
        self._wake: threading.Event | None = None

    def start(self, *, wake: threading.Event) -> None:
        """Set `wake` whenever there is something to collect."""
        self._wake = wake

    def missing(self, wanted: Mapping[Stream, int]) -> set[Stream]:
        """Wanted streams that are new to it; the caller looks up what is recorded of them."""
        return self._following.missing(wanted)

    def want(self, wanted: Mapping[Stream, int], *, known: Mapping[Stream, int | None]) -> None:
        """Follow exactly these streams from now on, spread over as many connections as the market's limit asks for."""
        self._following.want(wanted, known=known)
        ordered, size = sorted(wanted), self._limits.streams_per_connection
        parts = [ordered[at : at + size] for at in range(0, len(ordered), size)]
        while len(self._connections) < len(parts):
            connection = StreamConnection(market=self.market, on_close=self._on_close, on_connect=self._on_connect)
            self._connections.append(connection)
        for connection in self._connections[len(parts) :]:
            connection.stop()
        del self._connections[len(parts) :]
        for connection, part in zip(self._connections, parts, strict=True):
            connection.want(part)
            if not connection.is_alive():
                connection.start()

    def collect(self) -> Ready:
        """Everything that may be recorded now."""
        streamed: list[ClosedCandle] = []
        fetched: list[ClosedCandle] = []
        absent: list[tuple[Stream, int]] = []
        while not self._fetched.empty():
            gap, candles = self._fetched.get()
            if candles is None:
                self._following.failed(gap)
                continue
            done = self._following.filled(gap, candles)
            self.filled += len(done.fetched)
            fetched += done.fetched
            streamed += done.held
            absent += [(gap.stream, open_time) for open_time in done.absent]
        while not self._arrived.empty():
            streamed += self._following.arrived(self._arrived.get())
        return Ready(streamed, fetched, absent)

    def maintain(self) -> None:
        """Have the gaps fetched that are open now."""
        if time.monotonic() < self._quiet_until:
            return
        speed = float(settings.CLOCK_SPEED)
        grace_ms = int(max(SHORTEST_GRACE_S, USUAL_GRACE_S / speed) * speed * 1000)
        for gap in self._following.gaps(now_ms=clock.now_ms(), grace_ms=grace_ms):
            self._pool.submit(self._fetch, gap).add_done_callback(_log_crash)

    def state(self) -> dict[str, object]:
        """What the heartbeat says of this market."""
        states = [connection.state for connection in self._connections]
        frames = [state.last_frame_at for state in states if state.last_frame_at]
        return {
            "connections": sum(state.connected for state in states),
            "streams": len(self._following),
            "frames": sum(state.frames for state in states),
            "closes": sum(state.closes for state in states),
            "reconnects": sum(max(0, state.connects - 1) for state in states),
            "bad_frames": sum(sum(state.bad_frames.values()) for state in states),
            "gaps_filled": self.filled,
            "troubled": [f"{symbol} {interval}" for symbol, interval in self._following.troubled()],
            "last_frame_age_s": round(time.monotonic() - max(frames), 1) if frames else None,
        }

    def close(self) -> None:
        """Stop all threads."""
        for connection in self._connections:
            connection.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for connection in self._connections:
            connection.join(timeout=3)

    def _on_close(self, candle: ClosedCandle) -> None:
        self._arrived.put(candle)
        self._rouse()

    def _on_connect(self) -> None:
        self._rouse()

    def _rouse(self) -> None:
        if self._wake:
            self._wake.set()

    def _fetch(self, gap: Gap) -> None:
        """On a thread of the pool: fetch a gap and hand it over, or hand over that it failed."""
        client: RestClient | None = getattr(self._clients, "client", None)
        if client is None:
            client = self._clients.client = RestClient(market=self.market)
        symbol, interval = gap.stream
        fetched: list[ClosedCandle] | None = None
        try:
            pages = client.candles(symbol=symbol, interval=interval, start=gap.start, end=gap.end)
            fetched = [candle for page in pages for candle in page]
        except RestLimited as error:
            self._quiet_until = time.monotonic() + error.retry_after_s
            logger.warning("%s asks for %.0f s of silence", self.market, error.retry_after_s)
        except RestDown as error:
            self._quiet_until = time.monotonic() + RETRY_S
            logger.warning("%s %s: a gap could not be fetched: %s", symbol, interval, error)
        except FeedError as error:  # this stream's own trouble, such as a symbol that the exchange does not have
            logger.warning("%s %s: a gap was refused: %s", symbol, interval, error)
        finally:
            self._fetched.put((gap, fetched))
            self._rouse()


def _log_crash(future: Future[None]) -> None:
    if not future.cancelled() and (error := future.exception()):
        logger.error("fetching a gap failed", exc_info=error)
