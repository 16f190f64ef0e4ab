"""
The event log's tail in this web process, shared by all its sockets.

One connection listens; on a notice, and every few seconds anyway, rows after the last `seq` are read and serialized
once. A client that is further behind than the ring reaches reads pages from the table. Nothing is kept per client,
so a slow one costs no memory here.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import json
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from asgiref.sync import sync_to_async

from config.broker import connection_parameters

logger = logging.getLogger(__name__)
RING = 2000
PAGE = 500
SAFETY_POLL_S = 5.0
STATUS_EVERY_S = 1.0
LONGEST_PAUSE_S = 5.0
SWITCH = '"switch_changed"'  # every page shows a moved switch at once, not with the next status

ROWS = """
SELECT seq, user_id, json_build_object('seq', seq, 'at', to_ms(at), 'kind', kind, 'level', level, 'text', text, 'data', data,
       'trader', trader_id, 'signal', signal_id, 'position', position_id, 'schedule', schedule_id)::text
  FROM events WHERE seq > %s ORDER BY seq LIMIT %s
"""


@dataclass(frozen=True)
class Entry:
    """One event: its place, its owner, and its JSON."""

    seq: int
    user_id: UUID | None
    text: str


class Hub:
    """The tail. `status` is a function that reads what every page shows around its content."""

    def __init__(self, status: Callable[[], Mapping[str, Any]]) -> None:
        self._read_status = status
        self._ring: deque[Entry] = deque(maxlen=RING)
        self._places: deque[int] = deque(maxlen=RING)
        self._task: asyncio.Task[None] | None = None
        self._status_task: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()
        self._status_due = asyncio.Event()
        self._up: asyncio.Future[None] | None = None
        self._news: asyncio.Future[None] | None = None
        self.last = 0
        self.status = ""
        self.clients = 0

    async def ready(self) -> None:
        """Start the tail with the first socket; returns once it reads."""
        async with self._lock:
            if self._task is None or self._task.done():
                loop = asyncio.get_running_loop()
                self._up, self._news = loop.create_future(), loop.create_future()
                self._task = asyncio.create_task(self._tail())
                self._status_task = asyncio.create_task(self._watch_status())
        assert self._up is not None
        await asyncio.shield(self._up)

    def news(self) -> asyncio.Future[None]:
        """Done as soon as there are new events or a new status."""
        assert self._news is not None
        return self._news

    def after(self, cursor: int, *, limit: int = 100) -> list[Entry] | None:
        """Events after a place, oldest first; None when the ring no longer reaches back that far."""
        if cursor >= self.last:
            return []
        if not self._places or self._places[0] > cursor + 1:
            return None
        at = bisect.bisect_right(self._places, cursor)
        return [self._ring[i] for i in range(at, min(at + limit, len(self._ring)))]

    async def page(self, cursor: int) -> list[Entry]:
        """Events after a place from the table, for a client that is far behind."""
        parameters = await sync_to_async(connection_parameters)()
        async with await psycopg.AsyncConnection.connect(**parameters, autocommit=True) as connection:
            return await _rows(connection, cursor)

    async def _tail(self) -> None:
        pause = 0.1
        while True:
            try:
                parameters = await sync_to_async(connection_parameters)()  # starts an embedded server that is down
                connecting = psycopg.AsyncConnection.connect(**parameters, autocommit=True, application_name="live feed")
                async with await connecting as connection:
                    await connection.execute("LISTEN events")
                    if not self.last:
                        cursor = await connection.execute("SELECT coalesce(max(seq), 0) FROM events")
                        self.last = (await cursor.fetchone() or [0])[0]
                    await self._pull(connection)  # what was committed while we were away
                    pause = 0.1
                    if self._up and not self._up.done():
                        self._up.set_result(None)
                    while True:
                        async for _ in connection.notifies(timeout=SAFETY_POLL_S, stop_after=1):
                            pass
                        await self._pull(connection)
            except Exception as error:  # whatever breaks the tail, every open page depends on it coming back
                logger.warning("the live feed's connection: %s: %s; again in %.1f s", type(error).__name__, error, pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _pull(self, connection: psycopg.AsyncConnection[Any]) -> None:
        while True:
            found = await _rows(connection, self.last)
            for entry in found:
                self._ring.append(entry)
                self._places.append(entry.seq)
                self.last = entry.seq
            if found:
                self._wake()
            if any(SWITCH in entry.text for entry in found):
                self._status_due.set()
            if len(found) < PAGE:
                return

    async def _watch_status(self) -> None:
        while True:
            if self.clients:
                try:
                    status = await sync_to_async(self._read_status)()
                    self.status = json.dumps({"type": "status", **status}, default=str)
                    self._wake()
                except Exception:  # a page without a fresh status says so by itself
                    logger.exception("the status could not be read")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._status_due.wait(), STATUS_EVERY_S)
            self._status_due.clear()

    def _wake(self) -> None:
        former, self._news = self._news, asyncio.get_running_loop().create_future()
        if former and not former.done():
            former.set_result(None)


async def _rows(connection: psycopg.AsyncConnection[Any], cursor: int) -> list[Entry]:
    result = await connection.execute(ROWS, [cursor, PAGE])
    return [Entry(*row) for row in await result.fetchall()]
