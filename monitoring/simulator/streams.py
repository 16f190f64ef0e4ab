"""The simulated exchange's stream side: subscriptions of each client, and the ticker that feeds them all."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import time
from collections.abc import Callable, Container
from typing import Any

from monitoring.simulator import wire
from monitoring.simulator.faults import AS_IT_SHOULD, Delivery, FaultPlan, Variant
from monitoring.simulator.market import Market

MAX_STREAMS = 1024
MESSAGES_PER_SECOND = 5
UPDATE_MS = 2000  # app time between forming frames, as on the real exchange
SHORTEST_UPDATE_S = 0.2  # real time; a fast clock must not make the ticker spin
QUEUE_LIMIT = 20_000
Key = tuple[str, str]  # symbol, interval


def parse_stream(name: Any, symbols: Container[str]) -> Key | None:
    """(symbol, interval) of a stream such as `btcusdt@kline_5m`, or None when there is no such stream."""
    symbol, separator, interval = str(name).partition("@kline_")
    known = separator and symbol == symbol.lower() and symbol.upper() in symbols and interval in wire.LENGTH_MS
    return (symbol.upper(), interval) if known else None


class Client:
    """One connection: what it subscribed to, and the frames that wait to be sent to it."""

    def __init__(self, *, combined: bool, streams: list[str], symbols: Container[str]) -> None:
        self.combined, self.is_silent = combined, False
        self._symbols = symbols
        self.streams: dict[str, Key | None] = {name: parse_stream(name, symbols) for name in streams}
        self.outbox: asyncio.Queue[str | None] = asyncio.Queue(QUEUE_LIMIT)
        self._second, self._messages = 0, 0

    def push(self, *, stream: str, payload: str) -> None:
        """Queue a frame; a client that does not read is cut off rather than kept in memory."""
        if self.is_silent:
            return
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
                self.streams.update({name: parse_stream(name, self._symbols) for name in params})
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

    Forming frames go out every `update_ms` of app time; a closing frame goes out right after the close, or as the plan
    of faults has it. Every frame is computed once, however many clients want it.
    """

    def __init__(
        self, *, market: Market, clock_ms: Callable[[], int], speed: float, faults: FaultPlan | None = None, update_ms: int = UPDATE_MS
    ) -> None:
        self._market, self._clock_ms, self._speed = market, clock_ms, speed
        self._faults, self._update_ms = faults, update_ms
        self.clients: set[Client] = set()
        self._closed_until: dict[Key, int] = {}
        self._later: list[tuple[int, int, Key, str]] = []  # due at, number, stream, payload
        self._numbers = itertools.count()

    async def run(self) -> None:
        """Tick until cancelled."""
        update_s = max(self._update_ms / self._speed / 1000, SHORTEST_UPDATE_S)
        form_at = time.monotonic()
        while True:
            now = self._clock_ms()
            wanted = self._wanted()
            self._close(now, wanted)
            if time.monotonic() >= form_at:
                form_at = time.monotonic() + update_s
                self._form(now, wanted)
            next_close = now - now % 60_000 + 60_000
            next_delivery = self._later[0][0] if self._later else next_close
            until_due_s = (min(next_close, next_delivery) - self._clock_ms()) / self._speed / 1000
            await asyncio.sleep(max(0.001, min(form_at - time.monotonic(), until_due_s + 0.001)))

    def _wanted(self) -> dict[Key, list[tuple[Client, str]]]:
        wanted: dict[Key, list[tuple[Client, str]]] = {}
        for client in self.clients:
            for name, key in client.streams.items():
                if key is not None:
                    wanted.setdefault(key, []).append((client, name))
        return wanted

    def _close(self, now: int, wanted: dict[Key, list[tuple[Client, str]]]) -> None:
        for key in set(self._closed_until) - set(wanted):
            del self._closed_until[key]
        for (symbol, interval), receivers in wanted.items():
            length = wire.LENGTH_MS[interval]
            forming = now - now % length
            for opened in range(self._closed_until.setdefault((symbol, interval), forming), forming, length):
                for delivery in self._deliveries(symbol, interval, opened):
                    payload = self._payload(symbol, interval, opened, event_ms=now, variant=delivery.variant)
                    if delivery.delay_ms:
                        due = opened + length + delivery.delay_ms
                        heapq.heappush(self._later, (due, next(self._numbers), (symbol, interval), payload))
                    else:
                        _push(receivers, payload)
            self._closed_until[symbol, interval] = forming
        while self._later and self._later[0][0] <= now:
            _, _, key, payload = heapq.heappop(self._later)
            _push(wanted.get(key, []), payload)

    def _form(self, now: int, wanted: dict[Key, list[tuple[Client, str]]]) -> None:
        for (symbol, interval), receivers in wanted.items():
            length = wire.LENGTH_MS[interval]
            opened = now - now % length
            candles = self._market.candles(symbol=symbol, start=opened, length_ms=length, count=1, until=now)
            _push(receivers, _json(wire.kline_frame(candles=candles, interval=interval, event_ms=now, closed=False)))

    def _deliveries(self, symbol: str, interval: str, opened: int) -> tuple[Delivery, ...]:
        return self._faults.deliveries(symbol=symbol, interval=interval, open_time=opened) if self._faults else AS_IT_SHOULD

    def _payload(self, symbol: str, interval: str, opened: int, *, event_ms: int, variant: Variant) -> str:
        if variant is Variant.GARBAGE:
            return '{"e":"kline","k":{"x":true,"t":"never","o":NaN}}'
        candles = self._market.candles(symbol=symbol, start=opened, length_ms=wire.LENGTH_MS[interval], count=1)
        frame = wire.kline_frame(candles=candles, interval=interval, event_ms=event_ms, closed=True)
        if variant is Variant.REVISED:
            frame["k"]["v"], frame["k"]["n"] = wire.doubled(frame["k"]["v"]), frame["k"]["n"] + 1
        text = _json(frame)
        return text[: len(text) // 2] if variant is Variant.TRUNCATED else text


def _push(receivers: list[tuple[Client, str]], payload: str) -> None:
    for client, name in receivers:
        client.push(stream=name, payload=payload)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
