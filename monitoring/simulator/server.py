"""
The simulated exchange as an ASGI application: `/ws`, `/stream`, `/api/v3/…`, and `/polymarket/…` beside it.

Run it under uvicorn, which sends the pings.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import time
from collections.abc import Awaitable, Callable, Container, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

from monitoring.simulator import half_open, wire
from monitoring.simulator.faults import ConnectionFault, FaultPlan, RestFault, Trouble
from monitoring.simulator.market import Market
from monitoring.simulator.polymarket import SimulatedPolymarket
from monitoring.simulator.rest import RestApi
from monitoring.simulator.streams import UPDATE_MS, Client, Ticker

logger = logging.getLogger(__name__)
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
SHUTDOWN_AFTER_S = 5.0  # real time between the notice and the cut


class TradingAnswer(Protocol):
    """What goes back: with `is_cut` the connection breaks instead."""

    @property
    def status(self) -> int: ...
    @property
    def body(self) -> Any: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def is_cut(self) -> bool: ...
    @property
    def delay_s(self) -> float: ...


class TradingSide(Protocol):
    """Accounts and orders, which a higher floor brings along."""

    def serves(self, path: str) -> bool:
        """Whether this is a path of its own."""

    def handle(self, method: str, path: str, *, query: str, body: str, headers: Mapping[str, str]) -> TradingAnswer:
        """Answer one request; `headers` by small names."""


class SimulatedExchange:
    """
    The ASGI application.

    `clock_ms` gives app time in milliseconds; `speed` is how many app seconds pass in a real one. With `faults` what can
    go wrong does; `update_ms` is the app time between forming frames.
    """

    def __init__(
        self,
        *,
        market: Market,
        clock_ms: Callable[[], int],
        speed: float,
        faults: FaultPlan | None = None,
        update_ms: int = UPDATE_MS,
        trading: TradingSide | None = None,
    ) -> None:
        self._market, self._clock_ms, self._speed, self._faults = market, clock_ms, speed, faults
        self._rest = RestApi(market=market, clock_ms=clock_ms)
        self._ticker = Ticker(market=market, clock_ms=clock_ms, speed=speed, faults=faults, update_ms=update_ms)
        self._trading = trading
        self._polymarket = SimulatedPolymarket(market=market, clock_ms=clock_ms)
        self._ticking: asyncio.Task[None] | None = None
        self._connections, self._answers = itertools.count(), itertools.count()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if self._polymarket.serves(scope.get("path", "")):
            await self._polymarket(scope, receive, send)
        elif scope["type"] == "http":
            is_order = self._trading is not None and self._trading.serves(scope["path"])
            await (self._trade(scope, receive, send) if is_order else self._http(scope, send))
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            raise RuntimeError(f"unexpected scope {scope['type']!r}; run uvicorn with --lifespan off")

    async def _trade(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        assert self._trading is not None
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        answer = await asyncio.to_thread(
            self._trading.handle, scope["method"], scope["path"], query=query, body=body.decode(), headers=headers
        )
        await asyncio.sleep(answer.delay_s)
        text = json.dumps(answer.body, separators=(",", ":")).encode()
        # A length that is not kept makes the server break the connection off: the client can't tell what was done.
        length = len(text) + (100 if answer.is_cut else 0)
        lines = {**answer.headers, "Content-Type": "application/json", "Content-Length": str(length)}
        pairs = [(name.lower().encode(), value.encode()) for name, value in lines.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
        await send({"type": "http.response.body", "body": b"" if answer.is_cut else text})

    async def _http(self, scope: dict[str, Any], send: Send) -> None:
        query = dict(parse_qsl(scope["query_string"].decode()))
        fault = (self._faults.rest(next(self._answers)) if self._faults else None) or RestFault()
        if fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        # Long histories take a while to compute; the streams must go on meanwhile.
        status, headers, body = await asyncio.to_thread(self._rest.get, scope["path"], query, lag_ms=fault.lag_ms)
        if fault.status:
            status, body = fault.status, {"code": -1003, "msg": "something went wrong on purpose"}
        if fault.retry_after_s:
            headers["Retry-After"] = str(fault.retry_after_s)
        text = json.dumps(body, separators=(",", ":")).encode()
        lines = [(name.lower().encode(), value.encode()) for name, value in {**headers, "Content-Type": "application/json"}.items()]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": text[: len(text) // 2] if fault.is_cut else text})

    async def _websocket(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        client = _client_for(scope, self._market.listings)
        await receive()
        if client is None:
            await send({"type": "websocket.close", "code": 4404})
            return
        await send({"type": "websocket.accept"})
        self._ensure_ticking()
        self._ticker.clients.add(client)
        tasks = [asyncio.create_task(_send_frames(client, send))]
        if self._faults and (fault := self._faults.connection(next(self._connections))):
            tasks.append(asyncio.create_task(self._fail(client, tuple(scope["client"]), fault)))
        try:
            while (message := await receive())["type"] == "websocket.receive":
                if client.over_limit(real_second=int(time.monotonic())):
                    client.close()
                    break
                reply = client.control(message.get("text") or (message.get("bytes") or b"").decode(errors="replace"))
                client.outbox.put_nowait(json.dumps(reply, separators=(",", ":")))
        finally:
            self._ticker.clients.discard(client)
            with contextlib.suppress(asyncio.QueueFull):
                client.outbox.put_nowait(None)
            await asyncio.wait(tasks[:1], timeout=1)
            for task in tasks:
                task.cancel()

    async def _fail(self, client: Client, address: tuple[str, int], fault: ConnectionFault) -> None:
        await asyncio.sleep(fault.after_s / self._speed)
        logger.info("connection of %s: %s", address, fault.trouble)
        match fault.trouble:
            case Trouble.SILENT:
                client.is_silent = True
            case Trouble.HALF_OPEN:
                client.is_silent = True
                half_open.freeze(address)
            case Trouble.SHUTDOWN:
                notice = wire.server_shutdown(event_ms=self._clock_ms())
                client.push(stream="!serverShutdown", payload=json.dumps(notice, separators=(",", ":")))
                await asyncio.sleep(SHUTDOWN_AFTER_S)
                client.close()
            case Trouble.CUT:
                client.close()

    def _ensure_ticking(self) -> None:
        if self._ticking is None or self._ticking.done():
            self._ticking = asyncio.create_task(self._ticker.run())
            self._ticking.add_done_callback(_report)


def _client_for(scope: dict[str, Any], symbols: Container[str]) -> Client | None:
    path = scope["path"].removeprefix("/market")  # the route of futures since 2026-04-23
    if path == "/stream":
        names = dict(parse_qsl(scope["query_string"].decode())).get("streams", "")
        return Client(combined=True, streams=[name for name in names.split("/") if name], symbols=symbols)
    if path == "/ws" or path.startswith("/ws/"):
        return Client(combined=False, streams=[name for name in path.removeprefix("/ws").split("/") if name], symbols=symbols)
    return None


async def _send_frames(client: Client, send: Send) -> None:
    while (text := await client.outbox.get()) is not None:
        await send({"type": "websocket.send", "text": text})
    await send({"type": "websocket.close", "code": 1008})


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("the simulated exchange's ticker stopped", exc_info=error)
