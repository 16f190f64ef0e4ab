"""
WebSocket frames out of a stream of bytes, many at a time (RFC 6455, section 5). Pure.

Of a thousand frames that an exchange sends ten matter, and which ones shows in their bytes. So a read is searched
once for the marks, the frames are walked by their lengths alone, and only those that bear a mark are copied out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FINAL, RESERVED, OPCODE, MASKED, LENGTH = 0x80, 0x70, 0x0F, 0x80, 0x7F
LENGTH_16, LENGTH_64 = 126, 127
LONGEST_MESSAGE = 4 * 2**20  # bytes; no candle comes near
SHORTEST_DATA = 128  # bytes; a candle of any exchange is longer, a pong or an acknowledgement shorter


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

    def feed(self, data: bytes) -> list[Message]:  # noqa: C901 - one loop: a call for every frame would cost more than the frame
        """
        The marked messages and all control messages that `data` completes, in order.

        :raises ProtocolError: on anything a server may not send
        """
        buffer = self._rest + data if self._rest else data
        found: list[Message] = []
        hits = self._hits(buffer)
        hit = next(hits, -1)
        at, end = 0, len(buffer)
        while end - at >= 2:
            head, length = buffer[at], buffer[at + 1]
            start = at + 2
            if length == LENGTH_16:
                if end - at < 4:
                    break
                length, start = buffer[at + 2] << 8 | buffer[at + 3], at + 4
            elif length > LENGTH_16:
                if length != LENGTH_64:
                    raise ProtocolError("a server's frame is masked")
                if end - at < 10:
                    break
                length, start = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
                if length > LONGEST_MESSAGE:
                    raise ProtocolError(f"a message of {length} bytes")
            stop = start + length
            if stop > end:
                break
            if head == TEXT | FINAL and not self._parts:  # the usual case first: a whole text message
                if length >= SHORTEST_DATA:
                    self.messages += 1
                while -1 < hit < start:
                    hit = next(hits, -1)
                if -1 < hit < stop or not self._marks:
                    found.append(Message(TEXT, buffer[start:stop]))
            elif message := self._unusual(head, buffer[start:stop]):
                found.append(message)
            at = stop
        self._rest = buffer[at:]
        return found

    def _hits(self, buffer: bytes) -> Iterator[int]:
        """Places of all marks, in order."""
        present = [mark for mark in self._marks if mark in buffer]
        if not present:
            return iter(())
        places = []
        for mark in present:
            at = buffer.find(mark)
            while at != -1:
                places.append(at)
                at = buffer.find(mark, at + 1)
        return iter(sorted(places))

    def _unusual(self, head: int, payload: bytes) -> Message | None:
        """Control messages, binary ones, and parts of messages."""
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
        self.messages += len(whole) >= SHORTEST_DATA
        if self._marks and not any(mark in whole for mark in self._marks):
            return None
        return Message(self._parts_opcode, whole)
