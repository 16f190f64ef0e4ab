"""Connections to an exchange on a bad day: what is lost is found out, and nothing that was sent is lost."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import websocket

from monitoring.connections import Connections
from monitoring.feed.contract import ClosedCandle
from monitoring.feed.frames import PING, PONG
from monitoring.feed.link import Link, LinkLost, Patience
from monitoring.feed.stream import Attempts
from tests.support.clocks import START_MS
from tests.support.exchange_socket import MINUTE, Peer, exchange_socket
from tests.support.processes import wait_until

QUICK = Patience(opening_s=0.5, message_s=0.3, silence_s=0.2, answer_s=0.2)


def read_until_lost(link: Link) -> str:
    """Why the link was lost."""
    deadline = time.monotonic() + 5
    with pytest.raises(LinkLost) as lost:
        while time.monotonic() < deadline:
            link.read(timeout_s=0.05)
    link.close()
    return str(lost.value)


class TestLink:
    def test_answers_pings_with_their_payload(self) -> None:
        answers: queue.Queue[bytes] = queue.Queue()

        def behave(peer: Peer) -> None:
            peer.shake_hands()
            peer.send(b"payload", PING)
            message = peer.receive()
            assert message.opcode == PONG
            answers.put(message.payload)

        with exchange_socket(behave) as url:
            link = Link(url=url, marks=(b"x",), patience=Patience())
            link.read(timeout_s=2)
            assert answers.get(timeout=2) == b"payload"
            link.close()

    def test_a_silent_link_that_answers_pings_is_kept(self) -> None:
        def behave(peer: Peer) -> None:
            peer.shake_hands()
            peer.stay()

        with exchange_socket(behave) as url:
            link = Link(url=url, marks=(b"x",), patience=QUICK)
            until = time.monotonic() + 1
            while time.monotonic() < until:
                assert all(message.opcode == PONG for message in link.read(timeout_s=0.05))
            link.close()

    def test_a_half_open_link_is_lost(self) -> None:
        def behave(peer: Peer) -> None:
            peer.shake_hands()
            peer.gone.wait(5)  # reads nothing, sends nothing, closes nothing

        with exchange_socket(behave) as url:
            assert "half-open" in read_until_lost(Link(url=url, marks=(b"x",), patience=QUICK))

    def test_a_message_that_never_ends_is_lost(self) -> None:
        def behave(peer: Peer) -> None:
            peer.shake_hands()
            peer.connection.sendall(b"\x81\x7e\x01\x00")
            while True:
                peer.connection.sendall(b"a")
                peer.gone.wait(0.05)

        with exchange_socket(behave) as url:
            assert "not complete" in read_until_lost(Link(url=url, marks=(b"x",), patience=QUICK))

    def test_a_handshake_that_drips_is_given_up(self) -> None:
        def behave(peer: Peer) -> None:
            for byte in b"HTTP/1.1 101 Switching Protocols\r\n" * 100:
                peer.connection.sendall(bytes([byte]))
                peer.gone.wait(0.05)

        began = time.monotonic()
        with exchange_socket(behave) as url, pytest.raises((OSError, websocket.WebSocketException)):
            Link(url=url, marks=(b"x",), patience=QUICK)
        assert time.monotonic() - began < 3

    @pytest.mark.parametrize("status", ["302 Found\r\nLocation: ws://127.0.0.1:1/", "429 Too Many Requests", "503 Service Unavailable"])
    def test_another_answer_than_a_handshake_is_an_error(self, status: str) -> None:
        def behave(peer: Peer) -> None:
            peer.connection.recv(4096)
            peer.connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            peer.gone.wait(5)

        with exchange_socket(behave) as url, pytest.raises((OSError, websocket.WebSocketException)):
            Link(url=url, marks=(b"x",), patience=QUICK)

    @pytest.mark.parametrize("address", ["ws://nowhere.invalid", "wss://{plain}", "ws://127.0.0.1:1"])
    def test_no_host_no_tls_and_no_server_are_errors_soon(self, address: str) -> None:
        def behave(peer: Peer) -> None:
            peer.connection.recv(4096)
            peer.connection.sendall(b"what is this?")
            peer.gone.wait(5)

        with exchange_socket(behave) as url, pytest.raises(OSError):
            Link(url=address.format(plain=url.removeprefix("ws://")), marks=(b"x",), patience=QUICK)

    def test_why_it_was_closed_is_told(self) -> None:
        def behave(peer: Peer) -> None:
            peer.shake_hands()
            peer.send(b"\x03\xe9going away", 8)

        with exchange_socket(behave) as url:
            assert read_until_lost(Link(url=url, marks=(b"x",), patience=Patience())) == "closed by the exchange: 1001 going away"


@contextmanager
def followed(
    behave: Callable[[Peer], None], settings, *, streams: int = 1, lifetime_s: float | None = None
) -> Iterator[tuple[Connections, list[ClosedCandle]]]:
    """Connections to a socket that behaves as told, and the closes they gave."""
    closes: list[ClosedCandle] = []
    with exchange_socket(behave) as url:
        settings.MARKETS = {"binance": {"ws": url, "rest": "http://127.0.0.1:1"}}
        connections = Connections(market="binance", on_close=closes.append, patience=QUICK, lifetime_s=lifetime_s)
        connections.want([(f"S{n:04}USDT", "1m") for n in range(streams)])
        try:
            yield connections, closes
        finally:
            connections.close()


def opened(closes: list[ClosedCandle]) -> set[int]:
    return {(candle.open_time - START_MS) // MINUTE for candle in closes}


class TestConnections:
    def test_a_connection_that_ends_is_made_again(self, settings) -> None:
        def behave(peer: Peer) -> None:
            peer.shake_hands()
            assert peer.subscribed() == ["s0000usdt@kline_1m"]
            peer.close_candle("S0000USDT", START_MS + peer.number * MINUTE)
            if peer.number > 1:
                peer.stay()
            peer.connection.close()

        with followed(behave, settings) as (connections, closes):
            wait_until(lambda: opened(closes) == {1, 2}, seconds=10, what="closes of both connections")
            assert connections.totals()["reconnects"] == 1

    @pytest.mark.parametrize("reason", ["age", "serverShutdown"])
    def test_a_successor_is_up_before_the_old_one_goes(self, settings, reason: str) -> None:
        first_alone, second_is_up = threading.Event(), threading.Event()
        order: list[str] = []

        def behave(peer: Peer) -> None:
            peer.shake_hands()
            peer.subscribed()
            if peer.number == 1:
                if reason == "serverShutdown":
                    peer.send(b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}')
                first_alone.set()
                second_is_up.wait(10)
                peer.close_candle("S0000USDT", START_MS + MINUTE)  # during the overlap both send it
                peer.stay()
                order.append("the first is gone")
            elif peer.number == 2:
                order.append("the second is up")
                second_is_up.set()
                peer.close_candle("S0000USDT", START_MS + MINUTE)
                peer.stay()

        lifetime_s = 0.5 if reason == "age" else None
        with followed(behave, settings, lifetime_s=lifetime_s) as (connections, closes):
            assert first_alone.wait(5)

            def replaced() -> bool:
                connections.maintain()
                return connections.replaced >= 1 and "the first is gone" in order

            wait_until(replaced, seconds=10, what="the first connection to go")
            assert order[:2] == ["the second is up", "the first is gone"]
            assert [candle.open_time for candle in closes] == [START_MS + MINUTE] * 2

    def test_many_streams_are_subscribed_within_the_limit_of_messages(self, settings) -> None:
        times: list[float] = []
        streams: list[str] = []

        def behave(peer: Peer) -> None:
            peer.shake_hands()
            while True:
                streams.extend(peer.subscribed())
                times.append(time.monotonic())

        with followed(behave, settings, streams=500) as (connections, _):
            wait_until(lambda: len(streams) == 500, seconds=10, what="all subscriptions")
            assert len(times) == 3, "200 streams in a message"
            assert times[2] - times[0] >= 0.4, "four messages a second, and one left for pongs"
            assert connections.totals()["connections"] == 1

    def test_a_new_symbol_disturbs_no_other(self, settings) -> None:
        asked: list[list[str]] = []

        def behave(peer: Peer) -> None:
            peer.shake_hands()
            while True:
                asked.append(peer.subscribed())

        with followed(behave, settings, streams=3) as (connections, _):
            wait_until(lambda: asked, seconds=5, what="the first subscription")
            connections.want([("A0000USDT", "1m"), *((f"S{n:04}USDT", "1m") for n in (0, 2))])
            wait_until(lambda: len(asked) == 3, seconds=5, what="the changes")
            assert sorted(asked[1:]) == [["a0000usdt@kline_1m"], ["s0001usdt@kline_1m"]]

    def test_a_half_open_connection_is_made_again(self, settings) -> None:
        def behave(peer: Peer) -> None:
            peer.shake_hands()
            peer.subscribed()
            if peer.number > 1:
                peer.close_candle("S0000USDT", START_MS)
            peer.gone.wait(10)

        with followed(behave, settings) as (_, closes):
            wait_until(lambda: closes, seconds=10, what="a close of the second connection")

    def test_junk_is_counted_and_never_a_candle(self, settings) -> None:
        def behave(peer: Peer) -> None:
            peer.shake_hands()
            peer.subscribed()
            for raw in (b'{"x":true', b'[{"x":true}]', b'{"data":{"e":"kline","k":{"x":true}},"q":[{"x":true}]}'):
                peer.send(raw)
            peer.close_candle("OTHERUSDT", START_MS)
            peer.close_candle("S0000USDT", START_MS)
            peer.stay()

        with followed(behave, settings) as (connections, closes):
            wait_until(lambda: closes, seconds=5, what="the one good close")
            assert [candle.symbol for candle in closes] == ["S0000USDT"]
            assert connections.totals()["bad_frames"] == 4


def test_attempts_to_connect_stay_within_the_limit() -> None:
    attempts = Attempts(most=6, within_s=60)
    assert [attempts.wait_s() for _ in range(3)] == [0, 0, 0], "half of the limit: another process needs some as well"
    assert 59 < attempts.wait_s() <= 60
