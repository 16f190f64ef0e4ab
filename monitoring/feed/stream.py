"""
A connection to a market's stream, kept up for as long as it is wanted.

A thread holds one link at a time, hands on closed candles, and changes subscriptions on the living link within the
exchange's limits. Marks in the bytes tell closing frames from forming ones, which are never parsed.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import websocket

from monitoring import clock

from . import registry
from .contract import BadFrame, ClosedCandle, Stream, Tick
from .frames import BINARY, TEXT
from .link import Link, LinkLost, Patience

logger = logging.getLogger(__name__)
READ_TIMEOUT_S = 0.5  # how late a change of subscriptions or the order to stop is noticed on a silent link
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
STEADY_AFTER_S = 30.0  # a link that held so long makes the next pause short again
LOG_EVERY_S = 60.0


class Attempts:
    """Connections begun to one market by this process, so that its limit holds whatever fails."""

    def __init__(self, *, most: int, within_s: float) -> None:
        self._within_s = within_s
        self._begun: deque[float] = deque(maxlen=max(1, most // 2))  # other processes of the same host need some as well
        self._lock = threading.Lock()

    def wait_s(self) -> float:
        """Zero if one may begin now, which then counts; else how long to wait."""
        with self._lock:
            now = time.monotonic()
            if len(self._begun) == self._begun.maxlen and now - self._begun[0] < self._within_s:
                return self._within_s - (now - self._begun[0])
            self._begun.append(now)
            return 0.0


@dataclass
class StreamState:
    """
    What a connection says of itself. Times are real, from `time.monotonic`, save those in ms, which are the app clock's.

    `live_since`: everything wanted is subscribed to since then; None while it is not. `is_leaving`: the exchange said
    that it is about to cut it.
    """

    connected: bool = False
    connected_at: float | None = None
    live_since: float | None = None
    live_since_ms: int | None = None
    last_data_ms: int | None = None
    is_leaving: bool = False
    connects: int = 0
    frames: int = 0
    closes: int = 0
    last_frame_at: float | None = None
    last_loss: str = ""
    bad_frames: Counter[str] = field(default_factory=Counter)


class StreamConnection(threading.Thread):
    """
    Follows closes of the wanted streams until stopped.

    `on_close` receives each closed candle, and of a venue that sends none `on_tick` what they are built from, on this
    thread, so they must only hand over.
    """

    def __init__(
        self,
        *,
        market: str,
        on_close: Callable[[ClosedCandle], None],
        on_tick: Callable[[Tick], None] | None = None,
        attempts: Attempts | None = None,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(name=f"stream-{market}", daemon=True)
        self.state = StreamState()
        self._adapter = registry.adapter(market)
        self._url = self._adapter.stream_url(registry.stream_address(market))
        limits = self._adapter.limits
        self._attempts = attempts or Attempts(most=limits.connects, within_s=limits.connects_within_s)
        self._patience = patience or Patience()
        self._on_close, self._on_tick = on_close, on_tick
        self._wanted: frozenset[Stream] = frozenset()
        self._stopping = threading.Event()
        self._link: Link | None = None
        self._logged: dict[str, float] = {}
        self._request_id = 0

    def want(self, streams: Iterable[Stream]) -> None:
        """Set what to follow from now on."""
        self._wanted = frozenset(streams)

    @property
    def wanted(self) -> frozenset[Stream]:
        """What it is to follow."""
        return self._wanted

    def renew(self) -> None:
        """Give up the link and connect again."""
        if link := self._link:
            link.cut()

    def stop(self) -> None:
        """End the thread; what was handed over stays handed over."""
        self._stopping.set()
        self.renew()

    def run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            if (wait := self._attempts.wait_s()) > 0:
                self._stopping.wait(wait)
                continue
            began = time.monotonic()
            try:
                self._link = Link(url=self._url, marks=self._adapter.marks, patience=self._patience)
                self._follow(self._link)
            except (OSError, websocket.WebSocketException) as error:  # LinkLost and all that can go wrong in connecting
                self._lost(error)
            finally:
                self.state.connected, self.state.live_since, self.state.live_since_ms = False, None, None
                if self._link is not None:
                    self._link.close()
                self._link = None
            failures = 0 if time.monotonic() - began > STEADY_AFTER_S else failures + 1
            pause = min(LONGEST_PAUSE_S, SHORTEST_PAUSE_S * 2**failures)
            self._stopping.wait(pause * random.uniform(0.5, 1.0))

    def _follow(self, link: Link) -> None:
        state, now = self.state, time.monotonic()
        state.connected, state.is_leaving, state.connected_at, state.last_frame_at = True, False, now, now
        state.last_data_ms = None
        self._request_id = 0
        state.connects += 1
        subscribed: frozenset[Stream] = frozenset()
        to_send: deque[str] = deque()
        may_send_at = kept_alive_at = now
        frames_before, seen = state.frames, 0
        while not self._stopping.is_set():
            wanted, now = self._adapter.channels(self._wanted), time.monotonic()
            if subscribed != wanted:
                to_send.extend(self._changes(subscribed, wanted))
                subscribed = wanted
            if to_send and now >= may_send_at:
                link.send(to_send.popleft())
                # One message a second is left for pongs, which the exchange counts as well.
                may_send_at = now + 1 / max(1, self._adapter.limits.messages_per_second - 1)
            if not to_send and state.live_since is None:
                state.live_since, state.live_since_ms = now, clock.now_ms()
            if self._adapter.keepalive and now - kept_alive_at >= self._adapter.keepalive_s:
                link.send(self._adapter.keepalive)
                kept_alive_at = now
            messages = link.read(timeout_s=max(0.0, may_send_at - now) if to_send else READ_TIMEOUT_S)
            if link.messages != seen:
                seen = link.messages
                state.frames, state.last_frame_at, state.last_data_ms = frames_before + seen, time.monotonic(), clock.now_ms()
            for message in messages:
                if message.opcode in (TEXT, BINARY):
                    self._hand_over(message.payload)

    def _hand_over(self, frame: bytes) -> None:
        if self._on_tick is not None:
            try:
                for tick in self._adapter.ticks(frame):
                    self._on_tick(tick)
            except BadFrame as error:
                self._count_bad(str(error))
            return
        try:
            candles = self._adapter.closed_candles(frame)
            notice = None if candles else self._adapter.notice(frame)
        except BadFrame as error:
            self._count_bad(str(error))
            return
        if notice is not None and notice.leaving:
            logger.info("%s: %s", self._adapter.market, notice.text)
            self.state.is_leaving = True
        elif notice is not None:
            self._count_bad(f"refused: {notice.text}")
        for candle in candles:
            if (candle.symbol, candle.interval) not in self._wanted:
                self._count_bad("a candle that was not asked for")
                continue
            self.state.closes += 1
            self._on_close(candle)

    def _lost(self, error: Exception) -> None:
        if not self._stopping.is_set():
            self.state.last_loss = f"{error}" if isinstance(error, LinkLost) else f"{type(error).__name__}: {error}"
            logger.warning("%s: connection lost: %s", self._adapter.market, self.state.last_loss)

    def _count_bad(self, why: str) -> None:
        kind = why.split(":", maxsplit=1)[0]
        self.state.bad_frames[kind] += 1
        if time.monotonic() - self._logged.get(kind, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged[kind] = time.monotonic()
            logger.warning("%s: frame left out: %s (%d so far)", self._adapter.market, why, self.state.bad_frames[kind])

    def _changes(self, subscribed: frozenset[Stream], wanted: frozenset[Stream]) -> list[str]:
        size = self._adapter.limits.streams_per_message
        messages = []
        for make, streams in ((self._adapter.unsubscribe, subscribed - wanted), (self._adapter.subscribe, wanted - subscribed)):
            ordered = sorted(streams)
            for at in range(0, len(ordered), size):
                self._request_id += 1
                messages.append(make(ordered[at : at + size], request_id=self._request_id))
        return messages
