"""
A kline stream for benchmarks: `python stream_server.py PORT RATE CERTIFICATE KEY`; RATE is messages a second, 0 as fast as it goes.

Whatever is asked for, the messages are those of 100 symbols' forming candles, of which one in a hundred closes. At a
rate every message is a write of its own, as an exchange sends it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import struct
import sys
import threading
import time

SYMBOLS = [f"S{n:03}USDT" for n in range(100)]
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
MINUTE = 60_000
START = 1_790_000_100_000 - 1_790_000_100_000 % MINUTE


def messages(combined: bool) -> list[bytes]:
    """Frames of 100 rounds over the symbols, one closing per round."""
    frames = []
    for number in range(100):
        for place, symbol in enumerate(SYMBOLS):
            kline = {
                "t": START,
                "T": START + MINUTE - 1,
                "s": symbol,
                "i": "1m",
                "f": 100,
                "L": 200,
                "o": "10.12",
                "c": "10.15",
                "h": "10.21",
            }
            kline |= {
                "l": "10.01",
                "v": f"{1000 + number}.5",
                "n": 100,
                "x": place == number,
                "q": "10150.0000",
                "V": "500",
                "Q": "5000.5",
                "B": "0",
            }
            data = {"e": "kline", "E": START + number, "s": symbol, "k": kline}
            whole = {"stream": f"{symbol.lower()}@kline_1m", "data": data} if combined else data
            text = json.dumps(whole, separators=(",", ":")).encode()
            frames.append(struct.pack(">BBH", 0x81, 126, len(text)) + text)
    return frames


def serve(client: socket.socket, rate: float) -> None:
    """Shake hands, then send until the client leaves."""
    try:
        request = b""
        while b"\r\n\r\n" not in request:
            request += client.recv(4096)
        key = next(line.split(b":")[1].strip() for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:"))
        accept = base64.b64encode(hashlib.sha1(key + GUID, usedforsecurity=False).digest())
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        client.sendall(head + accept + b"\r\n\r\n")
        frames = messages(combined=b"GET /stream" in request)
        if not rate:
            whole = b"".join(frames)
            while True:
                client.sendall(whole)
        began, sent = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - began) * rate)
            for number in range(sent, due):
                client.sendall(frames[number % len(frames)])
            sent = max(sent, due)
            time.sleep(0.0005)
    except (OSError, IndexError):
        client.close()


def main() -> None:
    port, rate, *files = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    with socket.create_server(("127.0.0.1", int(port)), backlog=50) as server:
        while True:
            client, _ = server.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                stream = context.wrap_socket(client, server_side=True)
            except OSError:
                continue
            threading.Thread(target=serve, args=[stream, float(rate)], daemon=True).start()


if __name__ == "__main__":
    main()
