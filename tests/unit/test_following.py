"""Closes into order, and gaps into fetches."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from monitoring.following import Following, Gap
from tests.support.factories import candle

LENGTH = 300_000
STREAM = ("BTCUSDT", "5m")
FIRST = 1_000 * LENGTH


def following(known: int | None = FIRST) -> Following:
    book = Following()
    book.want({STREAM: 0}, known={STREAM: known})
    return book


class TestFollowing:
    def test_the_next_close_goes_on_at_once(self) -> None:
        book = following()
        assert [c.open_time for c in book.arrived(candle(open_time=FIRST + LENGTH))] == [FIRST + LENGTH]

    def test_a_close_behind_a_gap_waits_for_it(self) -> None:
        book = following()
        assert book.arrived(candle(open_time=FIRST + 3 * LENGTH)) == []
        gap = Gap(STREAM, FIRST + LENGTH, FIRST + 3 * LENGTH)
        assert book.gaps(now_ms=FIRST + 3 * LENGTH, grace_ms=0) == [gap]
        assert book.gaps(now_ms=FIRST + 3 * LENGTH, grace_ms=0) == [], "one fetch at a time"
        done = book.filled(gap, [candle(open_time=FIRST + LENGTH), candle(open_time=FIRST + 2 * LENGTH)])
        assert [c.open_time for c in done.fetched] == [FIRST + LENGTH, FIRST + 2 * LENGTH]
        assert [c.open_time for c in done.held] == [FIRST + 3 * LENGTH]
        assert done.absent == []

    def test_a_close_that_is_overdue_is_a_gap(self) -> None:
        book = following()
        closed = FIRST + 2 * LENGTH
        assert book.gaps(now_ms=closed + 900, grace_ms=1000) == []
        assert book.gaps(now_ms=closed + 1000, grace_ms=1000) == [Gap(STREAM, FIRST + LENGTH, FIRST + LENGTH)]

    def test_what_an_answer_leaves_out_before_its_newest_candle_is_absent(self) -> None:
        book = following()
        book.arrived(candle(open_time=FIRST + 3 * LENGTH))
        [gap] = book.gaps(now_ms=FIRST + 3 * LENGTH, grace_ms=0)
        done = book.filled(gap, [candle(open_time=FIRST + LENGTH), candle(open_time=FIRST + 3 * LENGTH)])
        assert done.absent == [FIRST + 2 * LENGTH]
        assert [c.open_time for c in done.held] == [FIRST + 3 * LENGTH]

    def test_an_answer_that_lags_behind_the_stream_makes_nothing_absent(self) -> None:
        book = following()
        book.arrived(candle(open_time=FIRST + 3 * LENGTH))
        [gap] = book.gaps(now_ms=FIRST + 3 * LENGTH, grace_ms=0)
        done = book.filled(gap, [candle(open_time=FIRST + LENGTH)])
        assert ([c.open_time for c in done.fetched], done.held, done.absent) == ([FIRST + LENGTH], [], [])
        [gap] = book.gaps(now_ms=FIRST + 3 * LENGTH, grace_ms=0)
        done = book.filled(gap, [candle(open_time=FIRST + n * LENGTH) for n in (2, 3)])
        assert [c.open_time for c in (*done.fetched, *done.held)] == [FIRST + 2 * LENGTH, FIRST + 3 * LENGTH]

    def test_an_empty_answer_invents_nothing(self) -> None:
        book = following()
        [gap] = book.gaps(now_ms=FIRST + 2 * LENGTH, grace_ms=0)
        done = book.filled(gap, [])
        assert (done.fetched, done.held, done.absent) == ([], [], [])
        assert book.gaps(now_ms=FIRST + 2 * LENGTH, grace_ms=0) == [gap]

    def test_fruitless_fetches_wait_longer_each_time_and_are_named(self) -> None:
        book, asked = following(), []
        for now in range(FIRST + 2 * LENGTH, FIRST + 3 * LENGTH, 100):
            for gap in book.gaps(now_ms=now, grace_ms=1000):
                asked.append(now)
                book.failed(gap)
        waits = [later - earlier for earlier, later in itertools.pairwise(asked)]
        assert waits[:5] == [1000, 2000, 4000, 8000, 16000]
        assert max(waits) == 64000
        assert book.troubled() == [STREAM]
        book.arrived(candle(open_time=FIRST + LENGTH))
        assert book.gaps(now_ms=FIRST + 2 * LENGTH, grace_ms=1000) == [], "the stream itself goes on"

    def test_a_fetch_that_was_not_begun_costs_the_stream_nothing(self) -> None:
        book, now = following(), FIRST + 2 * LENGTH
        for _ in range(5):
            [gap] = book.gaps(now_ms=now, grace_ms=0)
            book.not_asked(gap)
        assert book.troubled() == []

    def test_what_is_owed_is_fetched_before_the_history_of_new_streams(self) -> None:
        book = Following()
        new, known = [(f"N{n}", "5m") for n in range(5)], [(f"O{n}", "5m") for n in range(3)]
        book.want(dict.fromkeys([*new, *known], 0), known=dict.fromkeys(known, FIRST))
        first = book.gaps(now_ms=FIRST + 2 * LENGTH, grace_ms=0, most=4)
        assert sorted(gap.stream for gap in first[:3]) == known
        assert first[3].stream in new
        assert len(book.gaps(now_ms=FIRST + 2 * LENGTH, grace_ms=0, most=99)) == 4

    def test_a_new_stream_fetches_its_window_and_what_is_owed(self) -> None:
        book = following(known=None)
        [gap] = book.gaps(now_ms=FIRST, grace_ms=0)
        assert gap.start == 0, "owed since the beginning"
        assert gap.end == FIRST - LENGTH

    @given(st.permutations(range(1, 9)), st.sets(st.integers(1, 9), max_size=4))
    def test_any_order_of_arrival_records_each_close_once_and_in_order(self, order: list[int], lost: set[int]) -> None:
        book, recorded = following(), []
        for number in order:
            if number not in lost:
                recorded += book.arrived(candle(open_time=FIRST + number * LENGTH))
        while gaps := book.gaps(now_ms=FIRST + 9 * LENGTH, grace_ms=0):
            for gap in gaps:
                done = book.filled(gap, [candle(open_time=at) for at in range(gap.start, gap.end + 1, LENGTH)])
                recorded += sorted([*done.fetched, *done.held], key=lambda c: c.open_time)
        assert [c.open_time for c in recorded] == sorted({c.open_time for c in recorded})
        assert len(recorded) == 8
