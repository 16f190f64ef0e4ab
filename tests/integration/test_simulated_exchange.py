"""The simulated exchange under real clients."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from decimal import Decimal

import ccxt
import pytest
import websocket

from positions.simulator.access import secret_of
from positions.simulator.faults import Fault, Script, Trouble
from tests.support.clocks import START_MS, SteppingClock
from tests.support.exchange import RunningExchange, running_exchange


@pytest.fixture
def exchange(clock: SteppingClock) -> Iterator[RunningExchange]:
    clock.to(START_MS + 90_000)
    with running_exchange(clock) as running:
        yield running


def test_the_real_ccxt_client_works_against_the_simulated_exchange(exchange: RunningExchange) -> None:
    client = ccxt.binance({"options": {"fetchCurrencies": False, "fetchMargins": False, "fetchMarkets": {"types": ["spot"]}}})
    client.urls["api"] = {
        name: url.replace("https://api.binance.com", exchange.url) for name, url in client.urls["api"].items() if isinstance(url, str)
    }
    markets = client.load_markets()
    assert len(markets) >= 20
    assert markets["BTC/USDT"]["precision"]["price"] == 0.01
    rows = client.fetch_ohlcv("BTC/USDT", "5m", limit=3)
    assert [row[0] for row in rows] == [START_MS - 600_000, START_MS - 300_000, START_MS], "the open candle included"
    assert client.fetch_time() == START_MS + 90_000
    client.session.close()


@pytest.mark.parametrize("symbol", ["BTC/USDT", "BTC/USDT:USDT"])
def test_ccxt_also_trades_there_by_its_unified_calls(exchange: RunningExchange, symbol: str) -> None:
    """Not our way to send orders (see ccxt_client), but a client that knows nothing of us finds its way."""
    types = {"fetchCurrencies": False, "fetchMargins": False, "fetchMarkets": {"types": ["spot", "linear"]}}
    client = ccxt.binance({"apiKey": "k", "secret": secret_of("k"), "options": types})
    hosts = re.compile(r"https://[a-z]+\.binance\.com")
    client.urls["api"] = {name: hosts.sub(exchange.url, url) if isinstance(url, str) else url for name, url in client.urls["api"].items()}
    client.nonce = lambda: exchange.clock.ms  # type: ignore[method-assign]
    client.load_markets()
    order = client.create_order(symbol, "market", "buy", 0.5)
    assert (order["status"], order["filled"]) == ("closed", 0.5)
    stop = client.create_order(
        symbol, "market", "sell", 0.4, params={"triggerPrice": 1000, "reduceOnly": True} if ":" in symbol else {"stopLossPrice": 1000}
    )
    params = {"trigger": True} if ":" in symbol else {}
    assert [found["id"] for found in client.fetch_open_orders(symbol, params=params)] == [stop["id"]]
    client.cancel_order(stop["id"], symbol, params)
    assert client.fetch_open_orders(symbol, params=params) == []
    if ":" in symbol:
        assert client.fetch_ohlcv(symbol, "5m", limit=1)[0][0] == START_MS
        [held] = exchange.gateway.api("k", venue="binance_futures").handle("GET", "/fapi/v3/positionRisk", {}, now_ms=exchange.clock.ms)
        assert Decimal(held["positionAmt"]) == Decimal("0.5")
    client.session.close()


def test_a_lost_answer_breaks_the_connection(exchange: RunningExchange) -> None:
    exchange.gateway.faults = Script([Fault(Trouble.ANSWER_LOST)])
    client = ccxt.binance({"apiKey": "k", "secret": secret_of("k")})
    client.urls["api"]["private"] = f"{exchange.url}/api/v3"
    client.nonce = lambda: exchange.clock.ms  # type: ignore[method-assign]
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.5", "newClientOrderId": "a"}
    with pytest.raises(ccxt.NetworkError):
        client.privatePostOrder(order)
    assert client.privateGetOrder({"symbol": "BTCUSDT", "origClientOrderId": "a"})["status"] == "FILLED"
    client.session.close()


def until_closed(socket: websocket.WebSocket) -> dict:
    """The first closing frame, whatever comes before it."""
    return until(socket, lambda data: data.get("e") == "kline" and data["k"]["x"])


def until(socket: websocket.WebSocket, wanted: Callable[[dict], bool]) -> dict:
    """The first of many messages that is wanted."""
    for _ in range(500):
        message = json.loads(socket.recv())
        if wanted(message.get("data") or message):
            return message
    raise AssertionError("500 messages, and none was it")


class TestStreams:
    def test_a_raw_stream_sends_forming_frames_and_each_close_once(self, exchange: RunningExchange) -> None:
        socket = websocket.create_connection(f"{exchange.stream}/ws/btcusdt@kline_1m", timeout=10)
        first = json.loads(socket.recv())
        assert (first["s"], first["k"]["x"], first["k"]["t"]) == ("BTCUSDT", False, START_MS + 60_000)
        exchange.clock.ms += 60_000
        closing = until_closed(socket)
        assert closing["k"]["t"] == START_MS + 60_000
        exchange.clock.ms += 60_000
        assert until_closed(socket)["k"]["t"] == START_MS + 120_000
        socket.shutdown()

    def test_a_combined_stream_follows_its_subscriptions(self, exchange: RunningExchange) -> None:
        socket = websocket.create_connection(f"{exchange.stream}/stream?streams=ethusdt@kline_5m", timeout=10)
        assert json.loads(socket.recv())["stream"] == "ethusdt@kline_5m"
        socket.send('{"method":"SUBSCRIBE","params":["solusdt@kline_1m"],"id":7}')
        until(socket, lambda data: data == {"result": None, "id": 7})
        until(socket, lambda data: data.get("s") == "SOLUSDT")  # from its first frame on it is followed
        exchange.clock.ms += 60_000
        closing = until_closed(socket)
        assert (closing["stream"], closing["data"]["s"]) == ("solusdt@kline_1m", "SOLUSDT")
        socket.ping("are you there")
        socket.shutdown()

    def test_too_many_messages_are_cut_off(self, exchange: RunningExchange) -> None:
        socket = websocket.create_connection(f"{exchange.stream}/ws", timeout=10)
        for number in range(30):
            try:
                socket.send(f'{{"method":"LIST_SUBSCRIPTIONS","id":{number}}}')
            except OSError:
                break
        with pytest.raises((websocket.WebSocketConnectionClosedException, OSError)):
            while socket.recv():
                pass
            raise websocket.WebSocketConnectionClosedException("closed by the exchange")
        socket.shutdown()
