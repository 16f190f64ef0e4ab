"""A WebSocket server that behaves as a test tells it to, byte by byte: an exchange on a bad day."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from websocket import ABNF

from monitoring.feed.frames import PING, PONG, TEXT, Message

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MINUTE = 60_000


class Peer:
    """The exchange's end of one connection."""

    def __init__(self, connection: socket.socket, number: int) -> None:
        self.connection, self.number = connection, number
        self.gone = threading.Event()
        connection.settimeout(10)

    def shake_hands(self) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += self.connection.recv(4096)
        key = next(line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key + GUID.encode()).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        self.connection.sendall(head + accept + b"\r\n\r\n")

    def send(self, raw: bytes, opcode: int = TEXT) -> None:
        self.connection.sendall(ABNF(1, 0, 0, 0, opcode, 0, raw).format())

    def close_candle(self, symbol: str, open_time: int, interval: str = "1m") -> None:
        """A closing frame as Binance sends it."""
        kline = {"t": open_time, "T": open_time + MINUTE - 1, "s": symbol, "i": interval, "f": 1, "L": 9, "o": "1", "c": "1", "h": "1"}
        kline |= {"l": "1", "v": "5", "n": 3, "x": True, "q": "5", "V": "1", "Q": "1", "B": "0"}
        data = {"e": "kline", "E": open_time + MINUTE + 40, "s": symbol, "k": kline}
        self.send(json.dumps({"stream": f"{symbol.lower()}@kline_{interval}", "data": data}, separators=(",", ":")).encode())

    def receive(self) -> Message:
        """The next frame that the desk sent, unmasked."""
        head, length = self._exactly(2)
        length &= 0x7F
        if length == 126:
            length = int.from_bytes(self._exactly(2), "big")
        mask, body = self._exactly(4), self._exactly(length)
        return Message(head & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(body)))

    def subscribed(self) -> list[str]:
        """The streams that the next control message asks for; pings before it are answered."""
        while (message := self.receive()).opcode != TEXT:
            if message.opcode == PING:
                self.send(message.payload, PONG)
        return json.loads(message.payload)["params"]

    def stay(self) -> None:
        """Answer pings until the desk leaves."""
        with contextlib.suppress(OSError, ValueError):
            while True:
                message = self.receive()
                if message.opcode == PING:
                    self.send(message.payload, PONG)
        self.gone.set()

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self.connection.recv(size - len(data))
            if not chunk:
                raise ConnectionResetError
            data += chunk
        return data


@contextlib.contextmanager
def exchange_socket(behave: Callable[[Peer], Any]) -> Iterator[str]:
    """Listen on a free port; every connection gets a thread of `behave`. Gives the ws:// address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        stopping = threading.Event()
        connections: list[socket.socket] = []

        def serve(peer: Peer) -> None:
            with contextlib.suppress(OSError, ValueError):
                behave(peer)

        def accept() -> None:
            while not stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = server.accept()
                    connections.append(connection)
                    threading.Thread(target=serve, args=[Peer(connection, len(connections))], daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.getsockname()[1]}"
        finally:
            stopping.set()
            thread.join()
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()
