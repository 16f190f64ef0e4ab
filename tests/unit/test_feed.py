"""Frames and rows into candles, and closes into order."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.feed.binance import BinanceSpot
from monitoring.feed.contract import BadFrame, ClosedCandle
from monitoring.following import Following, Gap
from tests.support.factories import candle

# As documented in web-socket-streams.md, in the combined form.
KLINE = {
    "stream": "bnbbtc@kline_1m",
    "data": {
        "e": "kline",
        "E": 1672515840136,
        "s": "BNBBTC",
        "k": {
            "t": 1672515780000,
            "T": 1672515839999,
            "s": "BNBBTC",
            "i": "1m",
            "f": 100,
            "L": 200,
            "o": "0.0010",
            "c": "0.0020",
            "h": "0.0025",
            "l": "0.0009",
            "v": "1000",
            "n": 100,
            "x": True,
            "q": "1.0000",
            "V": "500",
            "Q": "0.500",
            "B": "123456",
        },
    },
}
ADAPTER = BinanceSpot()


def frame(**over: Any) -> bytes:
    data = {**KLINE["data"], "k": {**KLINE["data"]["k"], **over}}
    return json.dumps({"stream": "bnbbtc@kline_1m", "data": data}, separators=(",", ":")).encode()


class TestBinanceSpot:
    def test_a_closing_frame_is_a_candle(self) -> None:
        found = ADAPTER.closed_candle(frame())
        assert found == ClosedCandle(
            *("binance", "BNBBTC", "1m", 1672515780000),
            *(Decimal(n) for n in ("0.0010", "0.0025", "0.0009", "0.0020", "1000", "1.0000")),
            100,
        )

    def test_a_forming_frame_is_told_without_parsing(self) -> None:
        assert ADAPTER.may_close(frame())
        assert not ADAPTER.may_close(frame(x=False))
        assert ADAPTER.closed_candle(frame(x=False)) is None

    @pytest.mark.parametrize("message", ['{"result":null,"id":1}', '{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}}'])
    def test_other_messages_are_no_candle(self, message: str) -> None:
        assert ADAPTER.closed_candle(message.encode()) is None

    @pytest.mark.parametrize(
        "over",
        [
            *({"o": "NaN"}, {"o": "-1"}, {"o": "0"}, {"o": 1.5}, {"o": "1e400"}, {"o": None}, {"h": "0.0001"}, {"v": "-1"}),
            *(
                {"t": "1672515780000"},
                {"t": 1672515780001},
                {"t": True},
                {"n": "5"},
                {"n": -1},
                {"i": "7m"},
                {"i": None},
                {"s": ""},
                {"s": 5},
            ),
            *({"x": "true"}, {"o": "9" * 50}),
        ],
    )
    def test_a_wrong_frame_is_refused(self, over: dict[str, Any]) -> None:
        with pytest.raises(BadFrame):
            ADAPTER.closed_candle(frame(**over))

    @given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
    @settings(max_examples=300)
    def test_any_bytes_are_a_candle_or_refused(self, raw: bytes) -> None:
        try:
            assert ADAPTER.closed_candle(raw) is None
        except BadFrame as error:
            assert str(error)

    @given(
        st.dictionaries(
            st.sampled_from(["t", "o", "h", "l", "c", "v", "n", "q", "x", "i", "s"]),
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.lists(st.integers(), max_size=2),
        )
    )
    @settings(max_examples=400)
    def test_any_field_may_be_wrong(self, over: dict[str, Any]) -> None:
        try:
            found = ADAPTER.closed_candle(frame(**over))
        except BadFrame:
            return
        assert found is None or min(found.open, found.high, found.low, found.close) > 0

    def test_rows_leave_the_unclosed_candle_out(self) -> None:
        rows = [[60_000 * n, "1", "1", "1", "1", "1", 60_000 * n + 59_999, "1", 1, "1", "1", "0"] for n in (1, 2, 3)]
        found = ADAPTER.candles(rows, symbol="BNBBTC", interval="1m", now_ms=200_000)
        assert [c.open_time for c in found] == [60_000, 120_000]

    @pytest.mark.parametrize("body", [{}, [{}], [[1, 2]], [["x"] * 12], None])
    def test_wrong_rows_are_refused(self, body: Any) -> None:
        with pytest.raises(BadFrame):
            ADAPTER.candles(body, symbol="BNBBTC", interval="1m", now_ms=0)


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
        gap = Gap(STREAM, FIRST + LENGTH, FIRST + 2 * LENGTH)
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

    def test_what_the_exchange_lacks_is_absent_only_once_a_later_candle_exists(self) -> None:
        book = following()
        book.arrived(candle(open_time=FIRST + 3 * LENGTH))
        [gap] = book.gaps(now_ms=FIRST + 3 * LENGTH, grace_ms=0)
        assert book.filled(gap, [candle(open_time=FIRST + LENGTH)]).absent == [FIRST + 2 * LENGTH]

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
