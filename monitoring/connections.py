"""
The connections to one market: which stream is on which, and their replacement before the exchange cuts them.

A stream stays on its connection for as long as it is wanted, so that a new symbol disturbs no other. A connection
that is to end gets a successor with the same streams first, and ends when that one is live; closes that come twice
meanwhile are found out later.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from monitoring.feed import registry
from monitoring.feed.contract import ClosedCandle, Stream, Tick
from monitoring.feed.link import Patience
from monitoring.feed.stream import Attempts, StreamConnection, StreamState

logger = logging.getLogger(__name__)
LIFETIME_SHARE = 0.9, 0.97  # of the exchange's limit, by chance, so that not all connections end at once
RENEW_EVERY_S = 5.0
OVERLAP_S = 1.0  # both listen for so long after the successor has subscribed


@dataclass
class _Place:
    """One connection's streams, the connection itself, and its successor while there are two."""

    streams: set[Stream]
    current: StreamConnection
    lifetime_share: float = field(default_factory=lambda: random.uniform(*LIFETIME_SHARE))
    successor: StreamConnection | None = None
    renewed_at: float = float("-inf")


class Connections:
    """All connections to one market. Used by one thread."""

    def __init__(
        self,
        *,
        market: str,
        on_close: Callable[[ClosedCandle], None],
        on_tick: Callable[[Tick], None] | None = None,
        patience: Patience | None = None,
        lifetime_s: float | None = None,
    ) -> None:
        """:param lifetime_s: when the exchange cuts a connection, if other than its adapter says"""
        limits = registry.adapter(market).limits
        self.replaced = 0
        self._market, self._on_close, self._on_tick, self._patience = market, on_close, on_tick, patience
        self._size = limits.streams_per_connection
        self._lifetime_s = lifetime_s or limits.lifetime_s
        self._attempts = Attempts(most=limits.connects, within_s=limits.connects_within_s)
        self._places: list[_Place] = []
        self._place_of: dict[Stream, _Place] = {}
        self._past: Counter[str] = Counter()  # what connections that are gone had counted

    def want(self, streams: Iterable[Stream]) -> None:
        """Follow exactly these streams from now on."""
        wanted = set(streams)
        for stream in set(self._place_of) - wanted:
            self._place_of.pop(stream).streams.discard(stream)
        for stream in sorted(wanted - set(self._place_of)):
            place = next((place for place in self._places if len(place.streams) < self._size), None) or self._open()
            place.streams.add(stream)
            self._place_of[stream] = place
        for place in [place for place in self._places if not place.streams]:
            self._places.remove(place)
            self._end(place.current)
            if place.successor:
                self._end(place.successor)
        self._tell()

    def state_of(self, stream: Stream) -> StreamState | None:
        """The state of the connection that a stream is on."""
        place = self._place_of.get(stream)
        return place.current.state if place else None

    def renew(self, stream: Stream) -> set[Stream]:
        """
        Connect again where this stream is, since nothing comes there.

        Returns all streams of that connection, or none if it was done a moment ago, for another of its streams.
        """
        place, now = self._place_of[stream], time.monotonic()
        if now - place.renewed_at < RENEW_EVERY_S:
            return set()
        place.renewed_at = now
        place.current.renew()
        return set(place.streams)

    def maintain(self) -> None:
        """Begin the successors that are due, and end what has been succeeded."""
        now = time.monotonic()
        for place in self._places:
            state = place.current.state
            if place.successor is None:
                old = self._lifetime_s and state.connected_at and now - state.connected_at > self._lifetime_s * place.lifetime_share
                if state.connected and (old or state.is_leaving):
                    place.successor = self._connection()
                    place.successor.want(place.streams)
                    place.successor.start()
                continue
            live_since = place.successor.state.live_since
            if live_since is not None and now - live_since >= OVERLAP_S:
                self._end(place.current)
                place.current, place.successor = place.successor, None
                self.replaced += 1
                logger.info("%s: a connection was replaced", self._market)

    def totals(self) -> dict[str, int]:
        """Connections that are up, and what all of them counted since the start."""
        states = [place.current.state for place in self._places]
        counted = sum((_counts(state) for state in states), Counter(self._past))
        names = ("frames", "closes", "reconnects", "bad_frames")
        return {"connections": sum(state.connected for state in states), **{name: counted[name] for name in names}}

    def last_frame_at(self) -> float | None:
        """When the newest frame of any connection came, in real time."""
        times = [at for place in self._places if (at := place.current.state.last_frame_at)]
        return max(times) if times else None

    def close(self) -> None:
        """End all of them."""
        everything = [c for place in self._places for c in (place.current, place.successor) if c]
        for connection in everything:
            connection.stop()
        for connection in everything:
            connection.join(timeout=3)

    def _open(self) -> _Place:
        place = _Place(set(), self._connection())
        self._places.append(place)
        return place

    def _connection(self) -> StreamConnection:
        return StreamConnection(
            market=self._market, on_close=self._on_close, on_tick=self._on_tick, attempts=self._attempts, patience=self._patience
        )

    def _end(self, connection: StreamConnection) -> None:
        connection.stop()
        self._past += _counts(connection.state)

    def _tell(self) -> None:
        for place in self._places:
            place.current.want(place.streams)
            if place.successor:
                place.successor.want(place.streams)
            if place.current.ident is None:
                place.current.start()


def _counts(state: StreamState) -> Counter[str]:
    reconnects = max(0, state.connects - 1)
    return Counter(frames=state.frames, closes=state.closes, reconnects=reconnects, bad_frames=state.bad_frames.total())
