"""
Which closes of a stream are recorded when: in order and without holes. Pure.

A close that follows the newest recorded one goes on at once. One that leaves a gap is held until REST has filled it,
so that nobody is ever asked about a window with a hole. A close that is overdue is a gap as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from monitoring import indicators, intervals
from monitoring.feed.contract import ClosedCandle, Stream

LONGEST_WAIT = 6  # doublings of the grace between fruitless fetches
TROUBLED_AFTER = 3


@dataclass(frozen=True)
class Gap:
    """Candles to fetch: open times from `start` to `end` in ms, both included."""

    stream: Stream
    start: int
    end: int


@dataclass(frozen=True)
class Filled:
    """What a fetched gap leads to: candles to record, those that were held behind it, and what the exchange lacks."""

    fetched: list[ClosedCandle]
    held: list[ClosedCandle]
    absent: list[int]


@dataclass
class _State:
    """
    `known` is the newest recorded open time; None while the window that indicators need is not complete.

    `fruitless` counts fetches in a row that brought nothing; each one makes the next wait longer, until `not_before` (ms).
    """

    known: int | None
    owed_since: int
    held: dict[int, ClosedCandle] = field(default_factory=dict)
    fetching: bool = False
    fruitless: int = 0
    not_before: int = 0


class Following:
    """The state of all streams of one market."""

    def __init__(self) -> None:
        self._streams: dict[Stream, _State] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def missing(self, wanted: Iterable[Stream]) -> set[Stream]:
        """Streams among the wanted that are not followed yet."""
        return set(wanted) - set(self._streams)

    def want(self, wanted: Mapping[Stream, int], *, known: Mapping[Stream, int | None]) -> None:
        """Follow exactly these streams, owed from a moment in ms; `known` tells of the new ones what is recorded."""
        for stream in set(self._streams) - set(wanted):
            del self._streams[stream]
        for stream, owed_since in wanted.items():
            state = self._streams.setdefault(stream, _State(known.get(stream), owed_since))
            state.owed_since = owed_since

    def arrived(self, candle: ClosedCandle) -> list[ClosedCandle]:
        """What may be recorded now that a close arrived: nothing while a gap before it is open."""
        state = self._streams.get((candle.symbol, candle.interval))
        if state is None:
            return []
        if state.known is not None and candle.open_time <= state.known:
            return [candle]  # late or repeated: the database knows whether it is new
        state.held[candle.open_time] = candle
        return self._release(state, candle.interval) if not state.fetching else []

    def gaps(self, *, now_ms: int, grace_ms: int, most: int | None = None) -> list[Gap]:
        """
        Gaps to fetch now, at most so many; what is owed to somebody comes before the history of new streams.

        Each stream has one fetch at a time, until `filled`, `failed` or `not_asked` is called for it.
        """
        found: list[Gap] = []
        for stream, state in sorted(self._open(now_ms), key=lambda entry: entry[1].known is None):
            if most is not None and len(found) >= most:
                break
            length = intervals.length_ms(stream[1])
            end = intervals.newest_closed(at_ms=now_ms - grace_ms, interval=stream[1])
            if state.held:  # it is asked for as well: only an answer that has it can tell that one before it does not exist
                end = max(end, min(state.held))
            start = self._start(state, end, length)
            if start <= end:
                state.fetching = True
                state.not_before = now_ms + grace_ms * 2 ** min(state.fruitless, LONGEST_WAIT)
                found.append(Gap(stream, start, end))
        return found

    def filled(self, gap: Gap, candles: Iterable[ClosedCandle]) -> Filled:
        """Take in what was fetched for a gap, together with the closes that were held behind it."""
        state = self._streams.get(gap.stream)
        if state is None:
            return Filled([], [], [])
        state.fetching = False
        state.fruitless += 1
        answered = {candle.open_time: candle for candle in candles}
        if not answered:
            return Filled([], [], [])
        length = intervals.length_ms(gap.stream[1])
        done = Filled([], [], [])
        # What the answer leaves out before its newest candle the exchange lacks; what lies after that may still come.
        at, newest = min(answered) if state.known is None else state.known + length, max(answered)
        while True:
            if at in state.held:
                done.held.append(state.held.pop(at))
            elif at in answered:
                done.fetched.append(answered[at])
            elif at < newest:
                if at >= gap.start:
                    done.absent.append(at)
                at += length
                continue
            else:
                break
            state.known = at
            state.fruitless = state.not_before = 0
            at += length
        return done

    def is_first(self, stream: Stream) -> bool:
        """Whether nothing of a stream is known yet, so that what is fetched is its history."""
        state = self._streams.get(stream)
        return state is None or state.known is None

    def failed(self, gap: Gap) -> None:
        """The fetch failed; it is asked for again, later each time, so that one bad symbol costs the others nothing."""
        if state := self._streams.get(gap.stream):
            state.fetching = False
            state.fruitless += 1

    def not_asked(self, gap: Gap) -> None:
        """The fetch was not begun, since the exchange wants to be left alone; no fault of this stream."""
        if state := self._streams.get(gap.stream):
            state.fetching, state.not_before = False, 0

    def troubled(self) -> list[Stream]:
        """Streams whose gaps REST has not been able to fill several times in a row."""
        return sorted(stream for stream, state in self._streams.items() if state.fruitless >= TROUBLED_AFTER)

    def _open(self, now_ms: int) -> list[tuple[Stream, _State]]:
        return [(stream, state) for stream, state in self._streams.items() if not state.fetching and now_ms >= state.not_before]

    def _start(self, state: _State, end: int, length: int) -> int:
        window_start = end - (indicators.WINDOW - 1) * length
        if state.known is None:
            owed = state.owed_since - state.owed_since % length
            return min(window_start, owed)
        return state.known + length

    @staticmethod
    def _release(state: _State, interval: str) -> list[ClosedCandle]:
        length, released = intervals.length_ms(interval), []
        while state.known is not None and (candle := state.held.pop(state.known + length, None)):
            released.append(candle)
            state.known = candle.open_time
        return released
