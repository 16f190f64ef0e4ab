"""The simulated exchange's stream side: subscriptions of each client, and the ticker that feeds them all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from monitoring.simulator import wire
from monitoring.simulator.market import LISTINGS, Market

MAX_STREAMS = 1024
MESSAGES_PER_SECOND = 5
UPDATE_MS = 2000  # app time between forming frames, as on the real exchange
SHORTEST_UPDATE_S = 0.2  # real time; a fast clock must not make the ticker spin
QUEUE_LIMIT = 5000


def parse_stream(name: Any) -> tuple[str, str] | None:
    """(symbol, interval) of a stream such as `btcusdt@kline_5m`, or None when there is no such stream."""
    symbol, separator, interval = str(name).partition("@kline_")
    known = separator and symbol == symbol.lower() and symbol.upper() in LISTINGS and interval in wire.LENGTH_MS
    return (symbol.upper(), interval) if known else None


class Client:
    """One connection: what it subscribed to, and the frames that wait to be sent to it."""

    def __init__(self, *, combined: bool, streams: list[str]) -> None:
        self.combined = combined
        self.streams: dict[str, tuple[str, str] | None] = {name: parse_stream(name) for name in streams}
        self.outbox: asyncio.Queue[str | None] = asyncio.Queue(QUEUE_LIMIT)
        self._second, self._messages = 0, 0

    def push(self, *, stream: str, payload: str) -> None:
        """Queue a frame; a client that does not read is cut off rather than kept in memory."""
        try:
            self.outbox.put_nowait(f'{{"stream":"{stream}","data":{payload}}}' if self.combined else payload)
        except asyncio.QueueFull:
            self.close()

    def close(self) -> None:
        """Have the connection closed by whoever sends its frames."""
        while not self.outbox.empty():
            self.outbox.get_nowait()
        self.outbox.put_nowait(None)

    def over_limit(self, *, real_second: int) -> bool:
        """Whether one more incoming message passes the exchange's limit."""
        if real_second != self._second:
            self._second, self._messages = real_second, 0
        self._messages += 1
        return self._messages > MESSAGES_PER_SECOND

    def control(self, text: str) -> dict[str, Any]:
        """The answer to a control message. Replies carry neither `e` nor `stream`, as on the real exchange."""
        try:
            message = json.loads(text)
        except json.JSONDecodeError as error:
            return {"code": 3, "msg": f"Invalid JSON: {error.msg}"}
        if not isinstance(message, dict):
            return {"code": 2, "msg": "Invalid request: not an object"}
        identity, params = message.get("id"), message.get("params", [])
        match message.get("method"):
            case "SUBSCRIBE" if isinstance(params, list):
                if len(set(self.streams) | set(params)) > MAX_STREAMS:
                    return {"code": 2, "msg": f"Invalid request: more than {MAX_STREAMS} streams", "id": identity}
                self.streams.update({name: parse_stream(name) for name in params})
                return {"result": None, "id": identity}
            case "UNSUBSCRIBE" if isinstance(params, list):
                for name in params:
                    self.streams.pop(name, None)
                return {"result": None, "id": identity}
            case "LIST_SUBSCRIPTIONS":
                return {"result": list(self.streams), "id": identity}
            case "SET_PROPERTY" if params and params[0] == "combined":
                self.combined = bool(params[1])
                return {"result": None, "id": identity}
            case "GET_PROPERTY" if params and params[0] == "combined":
                return {"result": self.combined, "id": identity}
        return {"code": 2, "msg": f"Invalid request: unknown variant `{message.get('method')}`", "id": identity}


class Ticker:
    """
    Sends every client the frames of its streams.

    Forming frames go out every UPDATE_MS of app time; a closing frame goes out once, right after the close.
    Every frame is computed once, however many clients want it.
    """

    def __init__(self, *, market: Market, clock_ms: Callable[[], int], speed: float) -> None:
        self._market, self._clock_ms, self._speed = market, clock_ms, speed
        self.clients: set[Client] = set()
        self._closed_until: dict[tuple[str, str], int] = {}

    async def run(self) -> None:
        """Tick until cancelled."""
        while True:
            now = self._clock_ms()
            self._tick(now)
            next_minute = now - now % 60_000 + 60_000
            pause = min(UPDATE_MS / self._speed / 1000, (next_minute - self._clock_ms()) / self._speed / 1000)
            await asyncio.sleep(max(pause, min(SHORTEST_UPDATE_S, (next_minute - now) / self._speed / 1000 + 0.001)))

    def _tick(self, now: int) -> None:
        wanted: dict[tuple[str, str], list[tuple[Client, str]]] = {}
        for client in self.clients:
            for name, key in client.streams.items():
                if key is not None:
                    wanted.setdefault(key, []).append((client, name))
        for key in set(self._closed_until) - set(wanted):
            del self._closed_until[key]
        for (symbol, interval), receivers in wanted.items():
            length = wire.LENGTH_MS[interval]
            forming = now - now % length
            since = self._closed_until.setdefault((symbol, interval), forming)
            for opened in range(since, forming, length):
                self._send(symbol, interval, opened, opened + length, receivers, event_ms=now, closed=True)
            self._closed_until[symbol, interval] = forming
            self._send(symbol, interval, forming, now, receivers, event_ms=now, closed=False)

    def _send(
        self, symbol: str, interval: str, opened: int, until: int, receivers: list[tuple[Client, str]], *, event_ms: int, closed: bool
    ) -> None:
        candles = self._market.candles(symbol=symbol, start=opened, length_ms=wire.LENGTH_MS[interval], count=1, until=until)
        frame = wire.kline_frame(candles=candles, interval=interval, event_ms=event_ms, closed=closed)
        payload = json.dumps(frame, separators=(",", ":"))
        for client, name in receivers:
            client.push(stream=name, payload=payload)
