"""
WebSocket frames out of a stream of bytes, many at a time (RFC 6455, section 5). Pure.

Of a thousand frames that an exchange sends ten matter, and which ones shows in their bytes. So a read is searched
once for the marks, the frames are walked by their lengths alone, and only those that bear a mark are copied out.
Messages too short to hold a candle are given as well: acknowledgements, refusals, notices.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FINAL, RESERVED, OPCODE, MASKED = 0x80, 0x70, 0x0F, 0x80
LENGTH_16 = 126  # says that 16 bits of length follow; 127 that 64 do
USUAL_HEAD = (FINAL | TEXT) << 8 | LENGTH_16  # a whole text message of 126 bytes to 64 KiB
TWO_WORDS = struct.Struct(">HH").unpack_from
LONGEST_MESSAGE = 4 * 2**20  # bytes; no candle comes near
SHORTEST_DATA = LENGTH_16  # bytes; a candle of any exchange is longer, a pong or an acknowledgement shorter


class ProtocolError(Exception):
    """Bytes that are not a server's WebSocket frames; the connection can't be used any further."""


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message. `opcode` is TEXT, BINARY, CLOSE, PING or PONG."""

    opcode: int
    payload: bytes


class FrameReader:
    """
    Fed with bytes as they come.

    `messages` counts those long enough to carry data, marked or not; acknowledgements and pongs are shorter.
    """

    def __init__(self, *, marks: Sequence[bytes]) -> None:
        """:param marks: byte patterns one of which every message of interest bears; all messages are given if there are none"""
        self.messages = 0
        self._marks = tuple(marks)
        self._rest = b""
        self._parts: list[bytes] = []
        self._parts_opcode = TEXT

    @property
    def is_between_messages(self) -> bool:
        """Whether no message has begun that is not complete."""
        return not self._rest and not self._parts

    def feed(self, data: bytes) -> list[Message]:
        """
        The marked messages and all control messages that `data` completes, in order.

        :raises ProtocolError: on anything a server may not send
        """
        buffer = self._rest + data if self._rest else data
        found: list[Message] = []
        places = self._places(buffer)
        place = next(places)
        at, end, count = 0, len(buffer), 0
        while at + 4 <= end:
            head, length = TWO_WORDS(buffer, at)
            if head == USUAL_HEAD and not self._parts:
                start, stop = at + 4, at + 4 + length
                if stop > end:
                    break
                count += 1
                if place < stop:
                    while place < start:
                        place = next(places)
                    if place < stop:
                        found.append(Message(TEXT, buffer[start:stop]))
                        while place < stop:
                            place = next(places)
            else:
                stop = self._unusual(buffer, at, end, found)
                if stop < 0:
                    break
            at = stop
        self.messages += count
        while 2 <= end - at < 4 and (stop := self._unusual(buffer, at, end, found)) > 0:  # a short one at the very end
            at = stop
        self._rest = buffer[at:]
        return found

    def _places(self, buffer: bytes) -> Iterator[int]:
        """Where the marks are, in order; then for ever a place that no message reaches. Everything is marked without marks."""
        beyond = itertools.repeat(len(buffer))
        if not self._marks:
            return itertools.chain(range(len(buffer)), beyond)
        places = []
        for mark in self._marks:
            at = buffer.find(mark)
            while at != -1:
                places.append(at)
                at = buffer.find(mark, at + 1)
        return itertools.chain(sorted(places), beyond)

    def _unusual(self, buffer: bytes, at: int, end: int, found: list[Message]) -> int:
        """
        Take any other frame than a whole text of usual length: short, long, binary, in parts, or a control frame.

        Returns where it ends, or -1 if it is not complete.
        """
        head, length, start = buffer[at], buffer[at + 1], at + 2
        if length & MASKED:
            raise ProtocolError("a server's frame is masked")
        if length >= LENGTH_16:
            size = 2 if length == LENGTH_16 else 8
            if start + size > end:
                return -1
            length, start = int.from_bytes(buffer[start : start + size], "big"), start + size
        if length > LONGEST_MESSAGE:
            raise ProtocolError(f"a message of {length} bytes")
        if start + length > end:
            return -1
        if message := self._whole(head, buffer[start : start + length]):
            found.append(message)
        return start + length

    def _whole(self, head: int, payload: bytes) -> Message | None:
        """The message that a frame completes, if it is one to look at."""
        opcode = head & OPCODE
        if head & RESERVED:
            raise ProtocolError("a frame of an extension that was not agreed on")
        if opcode in (CLOSE, PING, PONG):
            if not head & FINAL or len(payload) >= LENGTH_16:
                raise ProtocolError("a control frame in parts, or too long")
            return Message(opcode, payload)
        if opcode not in (CONTINUATION, TEXT, BINARY) or (opcode == CONTINUATION) != bool(self._parts):
            raise ProtocolError(f"opcode {opcode} where it may not be")
        if not self._parts:
            self._parts_opcode = opcode
        self._parts.append(payload)
        if sum(map(len, self._parts)) > LONGEST_MESSAGE:
            raise ProtocolError("a message in parts grows too long")
        if not head & FINAL:
            return None
        whole, self._parts = b"".join(self._parts), []
        is_data = len(whole) >= SHORTEST_DATA
        self.messages += is_data
        is_marked = not is_data or not self._marks or any(mark in whole for mark in self._marks)
        return Message(self._parts_opcode, whole) if is_marked else None
