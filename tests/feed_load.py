"""
`python -m tests.feed_load`: what the live feed costs. A page in Chromium at fifty events a second for a minute, then a hundred
open sockets at ten a second; the events come from outside, on a desk that does little else.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import websockets
from playwright.sync_api import BrowserContext

from config import embedded_postgres
from tests.support.browser import chromium, login, wait_for
from tests.support.processes import RunningDesk, running_desk

SECONDS = 60
INSERT = "INSERT INTO events (kind, level, text, data) VALUES ('notification_test', 'info', %s, '{}')"
WATCH = """() => {
    window.long = [];
    new PerformanceObserver(list => list.getEntries().forEach(entry => window.long.push(entry.duration))).observe({type: "longtask"});
}"""


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="feed-load-"))
    try:
        with running_desk(folder / "var", speed=1) as desk, chromium() as browser:
            context = browser.new_context(viewport={"width": 1440, "height": 900})
            _page(desk, context)
            cookies = "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in context.cookies())
            context.close()
            # Playwright has a loop of its own in this thread.
            sockets = threading.Thread(target=lambda: asyncio.run(_sockets(desk, cookies)))
            sockets.start()
            sockets.join()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _page(desk: RunningDesk, context: BrowserContext) -> None:
    page = login(context, url=desk.url, password=desk.password())
    wait_for(page, "() => document.querySelector('#live').dataset.state === 'live'")
    page.evaluate(WATCH)
    devtools = context.new_cdp_session(page)
    devtools.send("Performance.enable")
    before = _metrics(devtools)
    with _events(desk, per_second=50) as written:
        page.wait_for_timeout(SECONDS * 1000)
    after = _metrics(devtools)
    busy = (after["TaskDuration"] - before["TaskDuration"]) / (after["Timestamp"] - before["Timestamp"])
    long = page.evaluate("window.long")
    worst = max(long, default=0)
    pace = f"{written() / SECONDS:.0f} events a second for {SECONDS} s"
    print(f"a page, {pace}: main thread {busy:.1%}, tasks over 50 ms: {len(long)} (worst {worst:.0f} ms)")


async def _sockets(desk: RunningDesk, cookies: str, *, count: int = 100) -> None:
    [web] = [psutil.Process(pid) for pid in desk.pids("uvicorn config.asgi")[:1]]
    newest = desk.one("SELECT max(seq) FROM events")
    address = desk.url.replace("http", "ws") + f"ws/feed/?after={newest}"
    received, opened = [0] * count, asyncio.Semaphore(0)

    async def listen(number: int) -> None:
        headers = {"Cookie": cookies, "Origin": desk.url.rstrip("/")}
        async with websockets.connect(address, additional_headers=headers, max_size=None) as socket:
            opened.release()
            async for message in socket:
                received[number] += str(message).count('"seq"')

    tasks = [asyncio.create_task(listen(number)) for number in range(count)]
    for _ in tasks:
        await opened.acquire()
    await asyncio.sleep(5)  # the events of before have come
    cpu, began, first = sum(web.cpu_times()[:2]), time.monotonic(), sum(received)
    with _events(desk, per_second=10) as written:
        await asyncio.sleep(SECONDS)
    share = (sum(web.cpu_times()[:2]) - cpu) / (time.monotonic() - began)
    await asyncio.sleep(1)
    pace, each = f"{written() / SECONDS:.0f} events a second for {SECONDS} s", (sum(received) - first) / count
    print(f"{count} sockets, {pace}: web process {share:.1%} of a core, {each:.0f} events each")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def _events(desk: RunningDesk, *, per_second: int) -> Iterator[Callable[[], int]]:
    """Events at a steady pace from a thread; gives a function that says how many were written."""
    over, count = threading.Event(), [0]

    def write() -> None:
        sockets = str(embedded_postgres.socket_directory(desk.pgdata))
        with psycopg.connect(host=sockets, user="app", dbname="app", autocommit=True) as connection:
            began = time.monotonic()
            while not over.wait(max(0.0, began + count[0] / per_second - time.monotonic())):
                connection.execute(INSERT, [f"event {count[0]} of the load"])
                count[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield lambda: count[0]
    finally:
        over.set()
        writer.join()


def _metrics(devtools: object) -> dict[str, float]:
    return {entry["name"]: entry["value"] for entry in devtools.send("Performance.getMetrics")["metrics"]}  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
