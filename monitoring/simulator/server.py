"""The simulated exchange as an ASGI application: `/ws`, `/stream` and `/api/v3/…`. Run it under uvicorn, which sends the pings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from monitoring.simulator.market import Market
from monitoring.simulator.rest import RestApi
from monitoring.simulator.streams import Client, Ticker

logger = logging.getLogger(__name__)
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class SimulatedExchange:
    """
    The ASGI application.

    `clock_ms` gives app time in milliseconds; `speed` is how many app seconds pass in a real one.
    """

    def __init__(self, *, seed: int, clock_ms: Callable[[], int], speed: float) -> None:
        market = Market(seed=seed)
        self._rest = RestApi(market=market, clock_ms=clock_ms)
        self._ticker = Ticker(market=market, clock_ms=clock_ms, speed=speed)
        self._ticking: asyncio.Task[None] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            raise RuntimeError(f"unexpected scope {scope['type']!r}; run uvicorn with --lifespan off")

    async def _http(self, scope: dict[str, Any], send: Send) -> None:
        query = dict(parse_qsl(scope["query_string"].decode()))
        # Long histories take a while to compute; the streams must go on meanwhile.
        status, headers, body = await asyncio.to_thread(self._rest.get, scope["path"], query)
        lines = [(name.lower().encode(), value.encode()) for name, value in {**headers, "Content-Type": "application/json"}.items()]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": json.dumps(body, separators=(",", ":")).encode()})

    async def _websocket(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        client = _client_for(scope)
        await receive()
        if client is None:
            await send({"type": "websocket.close", "code": 4404})
            return
        await send({"type": "websocket.accept"})
        self._ensure_ticking()
        self._ticker.clients.add(client)
        sender = asyncio.create_task(_send_frames(client, send))
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
            await asyncio.wait([sender], timeout=1)
            sender.cancel()

    def _ensure_ticking(self) -> None:
        if self._ticking is None or self._ticking.done():
            self._ticking = asyncio.create_task(self._ticker.run())
            self._ticking.add_done_callback(_report)


def _client_for(scope: dict[str, Any]) -> Client | None:
    path = scope["path"]
    if path == "/stream":
        names = dict(parse_qsl(scope["query_string"].decode())).get("streams", "")
        return Client(combined=True, streams=[name for name in names.split("/") if name])
    if path == "/ws" or path.startswith("/ws/"):
        return Client(combined=False, streams=[name for name in path.removeprefix("/ws").split("/") if name])
    return None


async def _send_frames(client: Client, send: Send) -> None:
    while (text := await client.outbox.get()) is not None:
        await send({"type": "websocket.send", "text": text})
    await send({"type": "websocket.close", "code": 1008})


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("the simulated exchange's ticker stopped", exc_info=error)
