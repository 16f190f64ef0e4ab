"""The simulated exchange's trading side on a socket of its own, with a door for the test: prices, faults, books."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import requests

from monitoring.simulator.market import LISTINGS
from positions.simulator.faults import Fault, Script, Trouble
from positions.simulator.gateway import Gateway


class StepPrices:
    """A price that stays until the test sets another."""

    def __init__(self, clock_ms: Any) -> None:
        self._clock_ms = clock_ms
        self.points: list[tuple[int, Decimal]] = [(0, Decimal(100))]

    def set(self, price: str) -> None:
        self.points.append((self._clock_ms(), Decimal(price)))

    def price(self, *, symbol: str, at_ms: int) -> Decimal:
        return self.points[-1][1]

    def path(self, *, symbol: str, after_ms: int, until_ms: int) -> list[tuple[int, Decimal]]:
        return [(at, price) for at, price in self.points if after_ms <= at <= until_ms]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one segment
    gateway: Gateway
    prices: StepPrices

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        parts = urlsplit(self.path)
        if parts.path.startswith("/test/"):
            self._answer(200, {}, self._steer(parts.path, body))
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.gateway.handle(self.command, parts.path, query=parts.query, body=body, headers=headers)
        if answer.delay_s:
            threading.Event().wait(answer.delay_s)
        if answer.is_cut:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._answer(answer.status, answer.headers, answer.body)

    do_GET = do_POST = do_DELETE = _serve

    def _steer(self, path: str, body: str) -> Any:
        asked = json.loads(body or "{}")
        if path == "/test/price":
            self.prices.set(asked["price"])
        elif path == "/test/faults":
            troubles = [Fault(Trouble(name), delay_s=0.05) if name else None for name in asked["faults"]]
            self.gateway._quiet_until = 0.0  # a maintenance ends with the plan that it was part of
            self.gateway.faults = Script(troubles, path=asked["path"])
        elif path == "/test/book":
            book = self.gateway.api(asked["key"], venue=asked["venue"]).book
            held = book.holdings.get("BTCUSDT")
            return {
                "amount": str(held.amount if held else 0),
                "wallet": str(book.wallet["USDT"]),
                "orders": [[o.client_id, o.type, o.side, str(o.quantity)] for o in list(book.orders.values())[asked["since"] :]],
                "open": [
                    [order.client_id, "stop" if order.trigger is not None else "target", str(order.left)] for order in book.open_orders()
                ],
                "count": len(book.orders),
            }
        return {}

    def _answer(self, status: int, headers: Any, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json", "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()

    def log_message(self, *args: Any) -> None:
        """Quiet."""


class VenueServer:
    """The door to an exchange that runs in a process of its own."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def price(self, price: str) -> None:
        self._tell("price", price=price)

    def faults(self, *names: str | None, path: str = "") -> None:
        """What happens to the next requests whose path begins like that."""
        self._tell("faults", faults=names, path=path)

    def book(self, key: str, *, venue: str, since: int = 0) -> dict[str, Any]:
        found: dict[str, Any] = self._tell("book", key=key, venue=venue, since=since)
        return found

    def _tell(self, what: str, **body: Any) -> Any:
        return requests.post(f"{self.url}/test/{what}", json=body, timeout=10).json()


@contextmanager
def venue_server() -> Iterator[VenueServer]:
    """Fork an exchange; it ends with the block."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=64)
    pid = os.fork()
    if pid == 0:
        _run(listening)
    port = listening.getsockname()[1]
    listening.close()
    try:
        yield VenueServer(port)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _run(listening: socket.socket) -> None:
    from monitoring import clock

    prices = StepPrices(clock.now_ms)
    handler = type("Handler", (_Handler,), {"prices": prices})
    handler.gateway = Gateway(listings=LISTINGS, prices=prices, clock_ms=clock.now_ms)  # type: ignore[attr-defined]
    server = ThreadingHTTPServer(listening.getsockname(), handler, bind_and_activate=False)
    server.socket = listening
    server.server_activate()
    server.serve_forever()
    os._exit(0)
