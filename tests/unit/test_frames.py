"""WebSocket frames out of bytes, against frames that websocket-client writes."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websocket import ABNF

from monitoring.feed.frames import BINARY, CLOSE, PING, PONG, SHORTEST_DATA, TEXT, FrameReader, Message, ProtocolError

MARKS = (b'"x":true', b"serverShutdown")


def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """As a server sends it: not masked."""
    return ABNF(int(final), 0, 0, 0, opcode, 0, payload).format()


MARKED = st.binary(max_size=200).map(lambda raw: raw + b'{"x":true}')
PLAIN = st.one_of(st.binary(max_size=300), st.integers(120, 70_000).map(lambda size: b"f" * size))
MESSAGES = st.lists(
    st.tuples(st.just(TEXT), MARKED | PLAIN)
    | st.tuples(st.just(BINARY), MARKED)
    | st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125)),
    max_size=12,
)


def expected(messages: list[tuple[int, bytes]]) -> list[Message]:
    return [
        Message(opcode, raw)
        for opcode, raw in messages
        if opcode in (PING, PONG) or len(raw) < SHORTEST_DATA or any(mark in raw for mark in MARKS)
    ]


class TestFrames:
    @given(MESSAGES, st.data())
    def test_whatever_way_the_bytes_are_cut_every_marked_message_comes_once(self, messages, data: st.DataObject) -> None:
        raw = b"".join(frame(opcode, payload) for opcode, payload in messages)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=8)))
        reader, found = FrameReader(marks=MARKS), []
        for start, stop in itertools.pairwise([0, *cuts, len(raw)]):
            found += reader.feed(raw[start:stop])
        assert found == expected(messages)
        assert reader.messages == sum(len(payload) >= SHORTEST_DATA for opcode, payload in messages if opcode in (TEXT, BINARY))
        assert reader.is_between_messages

    @given(MARKED, st.integers(1, 5))
    def test_a_message_in_parts_is_put_together_around_control_frames(self, payload: bytes, parts: int) -> None:
        size = max(1, len(payload) // parts)
        pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
        raw = b""
        for number, piece in enumerate(pieces):
            raw += frame(TEXT if number == 0 else 0, piece, final=number == len(pieces) - 1) + frame(PING, b"?")
        reader = FrameReader(marks=MARKS)
        found = reader.feed(raw)
        assert [message for message in found if message.opcode == TEXT] == [Message(TEXT, payload)]
        assert sum(message.opcode == PING for message in found) == len(pieces)

    def test_without_marks_everything_is_given(self) -> None:
        assert FrameReader(marks=()).feed(frame(TEXT, b"a") + frame(TEXT, b"")) == [Message(TEXT, b"a"), Message(TEXT, b"")]

    def test_a_close_comes_with_its_code(self) -> None:
        assert FrameReader(marks=MARKS).feed(frame(CLOSE, b"\x03\xe9going away")) == [Message(CLOSE, b"\x03\xe9going away")]

    def test_a_message_that_has_begun_is_known(self) -> None:
        reader = FrameReader(marks=MARKS)
        reader.feed(frame(TEXT, b"half")[:4])
        assert not reader.is_between_messages

    @given(st.lists(st.binary(max_size=60), max_size=6))
    def test_any_bytes_are_frames_or_refused(self, chunks: list[bytes]) -> None:
        reader = FrameReader(marks=MARKS)
        try:
            for chunk in chunks:
                for message in reader.feed(chunk):
                    assert message.opcode in (TEXT, BINARY, CLOSE, PING, PONG)
        except ProtocolError as error:
            assert str(error)

    @pytest.mark.parametrize(
        "raw",
        [
            b"\x81\x85aaaaaaaaa",  # masked
            b"\xc1\x01a",  # of an extension
            b"\x83\x01a",  # an opcode that is not defined
            b"\x80\x01a",  # goes on with nothing
            b"\x01\x01a\x81\x01b",  # begins another before the first has ended
            b"\x09\x01a",  # a ping in parts
            b"\x89\x7e\x00\x80" + b"a" * 128,  # a ping that is too long
            b"\x81\x7f\x00\x00\x00\x01\x00\x00\x00\x00",  # four gigabytes
        ],
    )
    def test_what_no_server_may_send_is_refused(self, raw: bytes) -> None:
        with pytest.raises(ProtocolError):
            FrameReader(marks=MARKS).feed(raw)
