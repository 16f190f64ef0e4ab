"""
One WebSocket connection to a market, kept up for as long as it is wanted.

A thread reads frames and hands on closed candles; forming frames are told apart by one look for a byte
pattern and never parsed. Subscriptions are changed on the living connection, within the exchange's limits.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import websocket

from . import registry
from .contract import BadFrame, ClosedCandle

logger = logging.getLogger(__name__)
Stream = tuple[str, str]  # symbol, interval

CONNECT_TIMEOUT_S = 10.0
READ_TIMEOUT_S = 1.0  # how late a change of subscriptions or the order to stop is noticed on a silent link
SILENCE_LIMIT_S = 60.0  # exchanges ping at least every 20 s (spot) or send frames; longer silence is a dead link
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
LOG_EVERY_S = 60.0
KEEPALIVE_S = 18.0  # Bybit asks for one in 20 s, OKX for one in 30


@dataclass
class StreamState:
    """What a connection says of itself. Times are real, from `time.monotonic`."""

    connected: bool = False
    connects: int = 0
    frames: int = 0
    closes: int = 0
    last_frame_at: float | None = None
    bad_frames: Counter[str] = field(default_factory=Counter)


class StreamConnection(threading.Thread):
    """
    Follows closes of the wanted streams until stopped.

    `on_close` receives each closed candle, `on_connect` is called after every (re)connection, when closes may
    have been missed; both on this thread, so they must only hand over.
    """

    def __init__(self, *, market: str, on_close: Callable[[ClosedCandle], None], on_connect: Callable[[], None]) -> None:
        super().__init__(name=f"stream-{market}", daemon=True)
        self.state = StreamState()
        self._adapter = registry.adapter(market)
        self._url = self._adapter.stream_url(registry.stream_address(market))
        self._on_close, self._on_connect = on_close, on_connect
        self._wanted: frozenset[Stream] = frozenset()
        self._stopping = threading.Event()
        self._socket: websocket.WebSocket | None = None
        self._logged: dict[str, float] = {}
        self._request_id = 0
        self._kept_alive_at = 0.0

    def want(self, streams: Iterable[Stream]) -> None:
        """Set what to follow from now on."""
        self._wanted = frozenset(streams)

    def stop(self) -> None:
        """End the thread; what was handed over stays handed over."""
        self._stopping.set()
        if self._socket is not None:
            with contextlib.suppress(OSError, websocket.WebSocketException):
                self._socket.shutdown()

    def run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._follow()
            except (OSError, websocket.WebSocketException) as error:
                if not self._stopping.is_set():
                    logger.warning("%s: connection lost: %s: %s", self._adapter.market, type(error).__name__, error)
            finally:
                self.state.connected = False
                if self._socket is not None:
                    with contextlib.suppress(OSError, websocket.WebSocketException):
                        self._socket.shutdown()
            failures = 0 if time.monotonic() - began > LONGEST_PAUSE_S else failures + 1
            pause = min(LONGEST_PAUSE_S, SHORTEST_PAUSE_S * 2**failures)
            self._stopping.wait(pause * random.uniform(0.5, 1.0))

    def _follow(self) -> None:
        self._socket = websocket.create_connection(self._url, timeout=CONNECT_TIMEOUT_S, skip_utf8_validation=True)
        self._socket.settimeout(READ_TIMEOUT_S)
        self.state.connected, self.state.last_frame_at = True, time.monotonic()
        self.state.connects += 1
        subscribed: set[Stream] = set()
        subscribed = self._resubscribe(subscribed)
        self._on_connect()
        while not self._stopping.is_set():
            if subscribed != self._wanted:
                subscribed = self._resubscribe(subscribed)
            self._keep_alive()
            try:
                opcode, frame = self._socket.recv_data(control_frame=True)
            except websocket.WebSocketTimeoutException:
                if time.monotonic() - (self.state.last_frame_at or 0) > SILENCE_LIMIT_S and subscribed:
                    raise ConnectionError(f"no frame for {SILENCE_LIMIT_S:.0f} s") from None
                continue
            self.state.last_frame_at = time.monotonic()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                raise ConnectionError("closed by the exchange")
            if opcode in (websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY):
                self.state.frames += 1
                if self._adapter.may_close(frame):
                    self._hand_over(frame)

    def _hand_over(self, frame: bytes) -> None:
        try:
            candles = self._adapter.closed_candles(frame)
        except BadFrame as error:
            self._count_bad(str(error))
            return
        for candle in candles:
            if (candle.symbol, candle.interval) not in self._wanted:
                self._count_bad("a candle that was not asked for")
                continue
            self.state.closes += 1
            self._on_close(candle)

    def _keep_alive(self) -> None:
        if self._adapter.keepalive and time.monotonic() - self._kept_alive_at >= KEEPALIVE_S:
            assert self._socket is not None
            self._kept_alive_at = time.monotonic()
            self._socket.send(self._adapter.keepalive)

    def _count_bad(self, why: str) -> None:
        kind = why.split(":", maxsplit=1)[0]
        self.state.bad_frames[kind] += 1
        if time.monotonic() - self._logged.get(kind, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged[kind] = time.monotonic()
            logger.warning("%s: frame left out: %s (%d so far)", self._adapter.market, why, self.state.bad_frames[kind])

    def _resubscribe(self, subscribed: set[Stream]) -> set[Stream]:
        wanted = set(self._wanted)
        limits = self._adapter.limits
        messages = [
            self._adapter.unsubscribe(part, request_id=self._next_id()) for part in _parts(subscribed - wanted, limits.streams_per_message)
        ]
        messages += [
            self._adapter.subscribe(part, request_id=self._next_id()) for part in _parts(wanted - subscribed, limits.streams_per_message)
        ]
        assert self._socket is not None
        for message in messages:
            self._socket.send(message)
            # One message a second is left for pongs, which the exchange counts as well.
            self._stopping.wait(1 / (limits.messages_per_second - 1))
        return wanted

    def _next_id(self) -> int:
        self._request_id += 1
        return self._request_id


def _parts(streams: set[Stream], size: int) -> list[list[Stream]]:
    ordered = sorted(streams)
    return [ordered[at : at + size] for at in range(0, len(ordered), size)]
