"""
Requests over HTTP, hundreds at a time, on an event loop in a thread of its own.

Whoever sends goes on with other things (the database) and collects what has come. A request ends by its own time-out;
nothing is retried and nothing is read here.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import SimpleNamespace, TracebackType
from uuid import UUID

import aiohttp

from .reply import LARGEST_BODY, Received


@dataclass(frozen=True)
class Letter:
    """A request to post; `key` comes back with the response, `timeout_s` is for all of it, in real seconds."""

    key: UUID
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeout_s: float


@dataclass(frozen=True)
class Returned:
    """What became of a letter; `sent` and `done` are `time.monotonic`, `sent` None when it never left."""

    key: UUID
    received: Received
    begun: float
    sent: float | None
    done: float


class Courier:
    """A context: leaving it aborts what is still out."""

    def __init__(self) -> None:
        self._returned: queue.SimpleQueue[Returned] = queue.SimpleQueue()
        self._loop = asyncio.new_event_loop()
        self._ready, self._stopping = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), name="courier", daemon=True)
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Courier:
        self._thread.start()
        self._ready.wait()
        if self._session is None:
            raise RuntimeError("the courier could not start; its thread says why")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._loop.close()

    def send(self, letters: Iterable[Letter]) -> None:
        """Post all of them at once."""
        self._loop.call_soon_threadsafe(self._begin, list(letters))

    def collect(self, *, timeout_s: float) -> list[Returned]:
        """Everything that has come back; waits for the first at most `timeout_s`."""
        found = []
        try:
            found.append(self._returned.get(timeout=max(0.0, timeout_s)))
            while True:
                found.append(self._returned.get_nowait())
        except queue.Empty:
            return found

    async def _serve(self) -> None:
        try:
            await self._carry()
        finally:
            self._ready.set()  # whoever waits for a start that failed has to be told

    async def _carry(self) -> None:
        tracing = aiohttp.TraceConfig()
        tracing.on_request_chunk_sent.append(_note_sent)
        connector = aiohttp.TCPConnector(limit=0)  # what may be open at once was decided by whoever sends
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, trace_configs=[tracing], auto_decompress=True) as session:
            self._session = session
            self._ready.set()
            await self._stopping.wait()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, letters: list[Letter]) -> None:
        for letter in letters:
            task = self._loop.create_task(self._post(letter))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _post(self, letter: Letter) -> None:
        begun, sent = time.monotonic(), _Sent()
        try:
            async with asyncio.timeout(letter.timeout_s):
                received = await self._exchange(letter, sent)
        except TimeoutError:
            received = Received(None, {}, b"", f"no answer within {letter.timeout_s:.1f} s", timed_out=True)
        except Exception as error:  # a letter without its return would keep the whole round waiting
            received = Received(None, {}, b"", f"{type(error).__name__}: {error}")
        self._returned.put(Returned(letter.key, received, begun, sent.at, time.monotonic()))

    async def _exchange(self, letter: Letter, sent: _Sent) -> Received:
        assert self._session is not None
        async with self._session.post(
            letter.url, data=letter.body, headers=letter.headers, allow_redirects=False, trace_request_ctx=sent
        ) as answer:
            body = bytearray()
            async for chunk in answer.content.iter_any():
                body += chunk
                if len(body) > LARGEST_BODY:
                    break
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return Received(answer.status, headers, bytes(body))


class _Sent:
    at: float | None = None


async def _note_sent(session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestChunkSentParams) -> None:
    context.trace_request_ctx.at = time.monotonic()
