"""
One reader of a kline stream, timed: `python stream_clients.py NAME ADDRESS SECONDS CERTIFICATE`.

Run as a process of its own for each measurement, ours with the desk's Python and the others with that of a virtual
environment made for them, so nothing of the desk is imported at the top. Prints CPU microseconds per message and how
many there were, counted from the moment the stream runs steadily.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

SYMBOLS = [f"S{n:03}USDT" for n in range(100)]
STREAMS = [f"{symbol.lower()}@kline_1m" for symbol in SYMBOLS]
WARM_UP_S = 1.0
Tick = Callable[[int], None]


class Meter:
    """Counts messages; after the warm-up and the given time it prints and ends the process."""

    def __init__(self, seconds: float) -> None:
        self.count = 0
        self._seconds = seconds
        threading.Thread(target=self._run, daemon=True).start()

    def tick(self, messages: int = 1) -> None:
        self.count += messages

    def _run(self) -> None:
        while not self.count:
            time.sleep(0.01)
        time.sleep(WARM_UP_S)
        count, cpu = self.count, _cpu()
        time.sleep(self._seconds)
        count, cpu = self.count - count, _cpu() - cpu
        sys.stdout.write(f"{cpu / count * 1e6 if count else float('nan'):.2f} {count}\n")
        sys.stdout.flush()
        os._exit(0)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def ours(address: str, meter: Meter) -> None:
    """The listener's own connection, closes parsed and handed over."""
    os.environ.update(MARKET_WS_URL=address, MARKET_REST_URL="http://127.0.0.1:1", DJANGO_SETTINGS_MODULE="config.settings")
    from monitoring.feed.stream import StreamConnection

    connection = StreamConnection(market="binance", on_close=lambda candle: None)
    connection.want([(symbol, "1m") for symbol in SYMBOLS])
    connection.start()
    while True:
        meter.count = connection.state.frames
        time.sleep(0.02)


def bare(address: str, meter: Meter) -> None:
    """The reference: websocket-client's handshake, then reads of 64 KiB in which frames are counted."""
    import websocket

    plain: Any = websocket.create_connection(f"{address}/stream?streams={'/'.join(STREAMS)}").sock
    rest = b""
    while True:
        rest += plain.recv(65_536)
        at, frames = 0, 0
        while len(rest) - at >= 4:
            length, start = rest[at + 1], at + 2
            if length == 126:
                (length,), start = struct.unpack_from(">H", rest, at + 2), at + 4
            if start + length > len(rest):
                break
            at, frames = start + length, frames + 1
        rest = rest[at:]
        meter.tick(frames)


def websocket_client(address: str, meter: Meter) -> None:
    """websocket-client's own reading, and a JSON parser for every message."""
    import websocket

    link = websocket.create_connection(f"{address}/stream?streams={'/'.join(STREAMS)}")
    while True:
        if json.loads(link.recv())["data"]["k"]["x"]:
            pass
        meter.tick()


def cryptofeed(address: str, meter: Meter) -> None:
    import uvloop
    from cryptofeed import FeedHandler
    from cryptofeed.connection import WebsocketEndpoint
    from cryptofeed.defines import CANDLES
    from cryptofeed.exchanges import Binance
    from cryptofeed.symbols import Symbols

    names = {f"{symbol[:-4]}-USDT": symbol for symbol in SYMBOLS}
    Symbols.set("BINANCE", names, {"instrument_type": dict.fromkeys(names, "spot"), "tick_size": dict.fromkeys(names, "0.01")})
    Binance.websocket_endpoints = [WebsocketEndpoint(address)]

    async def on_candle(candle: Any, received: float) -> None:
        meter.tick()

    asyncio.set_event_loop(uvloop.new_event_loop())
    handler = FeedHandler({"log": {"disabled": True}, "uvloop": False, "backend_multiprocessing": False})
    handler.add_feed(Binance(symbols=list(names), channels=[CANDLES], callbacks={CANDLES: on_candle}, candle_closed_only=False))
    handler.run(install_signal_handlers=False)


def unicorn(address: str, meter: Meter) -> None:
    from unicorn_binance_websocket_api import BinanceWebSocketApiManager

    def on_data(data: Any) -> None:
        meter.tick()

    manager = BinanceWebSocketApiManager(
        exchange="binance.com", websocket_base_uri=f"{address}/", warn_on_update=False, high_performance=True
    )
    manager.create_stream("kline_1m", [symbol.lower() for symbol in SYMBOLS], process_stream_data=on_data)
    while True:
        time.sleep(1)


def python_binance(address: str, meter: Meter) -> None:
    from binance import AsyncClient, BinanceSocketManager

    async def run() -> None:
        manager = BinanceSocketManager(AsyncClient(), max_queue_size=100_000)
        manager.STREAM_URL = f"{address}/"
        async with manager.multiplex_socket(STREAMS) as stream:
            while True:
                await stream.recv()
                meter.tick()

    asyncio.run(run())


def ccxt_pro(address: str, meter: Meter) -> None:
    import ccxt.pro

    async def run() -> None:
        exchange = ccxt.pro.binance({"newUpdates": True, "options": {"defaultType": "spot"}})
        exchange.cafile = os.environ["SSL_CERT_FILE"]
        exchange.set_markets([_ccxt_market(symbol) for symbol in SYMBOLS])
        exchange.urls["api"]["ws"]["spot"] = f"{address}/ws"
        handle = exchange.handle_ohlcv

        def counted(client: Any, message: Any) -> Any:
            meter.tick()
            return handle(client, message)

        exchange.handle_ohlcv = counted
        wanted = [[f"{symbol[:-4]}/USDT", "1m"] for symbol in SYMBOLS]
        while True:
            await exchange.watch_ohlcv_for_symbols(wanted)

    asyncio.run(run())


def _ccxt_market(symbol: str) -> dict[str, Any]:
    base = symbol[:-4]
    kind: dict[str, Any] = {
        "type": "spot",
        "spot": True,
        "margin": False,
        "swap": False,
        "future": False,
        "option": False,
        "contract": False,
        "active": True,
    }
    names = {"id": symbol, "lowercaseId": symbol.lower(), "symbol": f"{base}/USDT", "base": base, "quote": "USDT"}
    names |= {"baseId": base, "quoteId": "USDT"}
    return {**names, **kind, "precision": {"price": 0.01, "amount": 0.001}, "limits": {}, "info": {}}


CLIENTS: dict[str, Callable[[str, Meter], None]] = {
    "ours": ours,
    "bare": bare,
    "websocket-client": websocket_client,
    "cryptofeed": cryptofeed,
    "unicorn": unicorn,
    "python-binance": python_binance,
    "ccxt.pro": ccxt_pro,
}

if __name__ == "__main__":
    name, address, seconds, certificate = sys.argv[1:]
    os.environ["SSL_CERT_FILE"] = os.environ["WEBSOCKET_CLIENT_CA_BUNDLE"] = certificate
    CLIENTS[name](address, Meter(float(seconds)))
