"""
One open WebSocket connection: `websocket-client` opens it and sends, and frames are read from its socket in bulk.

A link that is dead in a way that the kernel does not tell is found here: one that does not finish opening, one whose
message never ends, and one (half-open) that does not even answer a ping.
"""

from __future__ import annotations

import contextlib
import functools
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import websocket

from .frames import CLOSE, PING, FrameReader, Message, ProtocolError

MOST_AT_ONCE = 65_536  # bytes; more would leave the processor's cache, and be given back to the system each time
GATHER_S = 0.01  # a busy link is read in gulps: a wake-up for every message would cost more than the message


class LinkLost(ConnectionError):
    """The connection ended, or is as good as dead."""


@dataclass(frozen=True)
class Patience:
    """How long (s) a link may take to open, to finish a message, to stay silent before it is pinged, and to answer that."""

    opening_s: float = 15.0
    message_s: float = 10.0
    silence_s: float = 15.0
    answer_s: float = 10.0


class Link:
    """Open from its creation until `close`. Used by one thread; only `cut` may be called by another."""

    def __init__(self, *, url: str, marks: Sequence[bytes], patience: Patience) -> None:
        """
        Connect and shake hands.

        :param marks: what messages of interest bear, as for `FrameReader`
        :raises LinkLost: if it did not open in time
        :raises OSError: if the host can't be found or reached
        :raises websocket.WebSocketException: if the server answered with something else
        """
        self._patience = patience
        self._reader = FrameReader(marks=marks)
        self._selector = selectors.DefaultSelector()
        self._socket = _connect(url, within_s=patience.opening_s)
        self._websocket = websocket.WebSocket(skip_utf8_validation=True)
        # Each read of the handshake has its own time limit in the library; a server that drips needs one for the whole.
        too_slow = threading.Timer(patience.opening_s, self.cut)
        too_slow.start()
        try:
            self._websocket.connect(url, socket=self._socket, redirect_limit=0)
        except websocket.WebSocketConnectionClosedException as error:
            raise LinkLost(f"closed while opening: {error}") from error
        finally:
            too_slow.cancel()
            if not self._websocket.connected:
                self.close()
        self._socket.setblocking(False)
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._heard_at = self._whole_at = time.monotonic()
        self._pinged_at: float | None = None
        self._is_busy = False

    @property
    def messages(self) -> int:
        """Messages of data so far."""
        return self._reader.messages

    def send(self, text: str) -> None:
        """:raises LinkLost: if it can't be sent at once"""
        try:
            self._websocket.send(text)
        except (OSError, websocket.WebSocketException) as error:
            raise LinkLost(f"sending failed: {error!r}") from error

    def read(self, *, timeout_s: float) -> list[Message]:
        """
        The marked messages that have arrived, or none after a while; pings are answered.

        :raises LinkLost: if the connection ended or is as good as dead
        """
        if self._is_busy:
            time.sleep(GATHER_S)
        began = time.monotonic()
        data = self._drain(timeout_s)
        now = time.monotonic()
        self._is_busy = 0 < len(data) < MOST_AT_ONCE and now - began < GATHER_S
        if data:
            self._heard_at, self._pinged_at = now, None
        try:
            found = self._reader.feed(data)
            self._answer(found)
        except LinkLost:
            raise
        except (ProtocolError, OSError, websocket.WebSocketException) as error:
            raise LinkLost(f"{type(error).__name__}: {error}") from error
        self._check(now)
        return found

    def cut(self) -> None:
        """End it without ceremony; whoever reads from it at this moment is told that it is lost."""
        _cut(self._socket)

    def close(self) -> None:
        """Give everything back."""
        self.cut()
        self._selector.close()
        self._socket.close()

    def _drain(self, timeout_s: float) -> bytes:
        """All bytes that are there; waits for the first ones."""
        try:
            if not (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()) and not self._selector.select(timeout_s):
                return b""
        except (OSError, ValueError) as error:  # another thread closed it
            raise LinkLost("closed") from error
        chunks: list[bytes] = []
        size = 0
        try:
            while size < MOST_AT_ONCE:
                chunk = self._socket.recv(MOST_AT_ONCE)
                if not chunk:
                    if chunks:
                        break  # what came before the end is taken first; the next read finds the end
                    raise LinkLost("the exchange ended the connection")
                chunks.append(chunk)
                size += len(chunk)
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            if not chunks:
                raise LinkLost(f"reading failed: {error!r}") from error
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _answer(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.opcode == PING:
                self._websocket.pong(message.payload)
            elif message.opcode == CLOSE:
                code = int.from_bytes(message.payload[:2], "big")
                raise LinkLost(f"closed by the exchange: {code} {message.payload[2:].decode(errors='replace')}".rstrip())

    def _check(self, now: float) -> None:
        """:raises LinkLost: if it is as good as dead"""
        if self._reader.is_between_messages:
            self._whole_at = now
        elif now - self._whole_at > self._patience.message_s:
            raise LinkLost(f"a message is not complete after {self._patience.message_s:.0f} s")
        if self._pinged_at is None and now - self._heard_at > self._patience.silence_s:
            self._pinged_at = now
            with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):  # full as well: then no answer comes either
                self._websocket.ping()
        elif self._pinged_at is not None and now - self._pinged_at > self._patience.answer_s:
            raise LinkLost(f"half-open: silent for {now - self._heard_at:.0f} s and no answer to a ping")


def _connect(url: str, *, within_s: float) -> socket.socket:
    """A connected socket, with TLS for wss."""
    address = urlsplit(url)
    port = address.port or (443 if address.scheme == "wss" else 80)
    plain = socket.create_connection((address.hostname or "", port), timeout=within_s)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if address.scheme != "wss":
        return plain
    secure = _tls().wrap_socket(plain, server_hostname=address.hostname, do_handshake_on_connect=False)
    too_slow = threading.Timer(within_s, _cut, [secure])
    too_slow.start()
    try:
        secure.do_handshake()
    except BaseException:
        secure.close()
        raise
    finally:
        too_slow.cancel()
    return secure


def _cut(connected: socket.socket) -> None:
    # The plain socket's own: that of an SSLSocket would let whoever reads at this moment have the bytes as they were sent.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connected, socket.SHUT_RDWR)


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()  # loading the certificates takes 20 ms
