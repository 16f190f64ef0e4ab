"""The feed's sockets: staff only, from a cursor on, each event once and in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from urllib.parse import parse_qs

from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from desk import status
from desk.feed.hub import Entry, Hub
from monitoring.admin.base import sees_all

logger = logging.getLogger(__name__)
SEND_TIMEOUT_S = 20.0
CHECK_USER_EVERY_S = 60.0
LOGGED_OUT, NOT_FOUND, BAD_CURSOR, TOO_SLOW = 4401, 4404, 4400, 4408
LARGEST_CURSOR = 2**62

hub = Hub(status.read)


class FeedConsumer(AsyncWebsocketConsumer):
    """`/ws/feed/?after=<seq>`: events after that place, and once a second what the strip shows."""

    async def connect(self) -> None:
        user = self.scope["user"]
        if not (user.is_authenticated and user.is_staff):
            await self.close(LOGGED_OUT)
            return
        after = parse_qs(self.scope["query_string"].decode(errors="replace")).get("after", ["0"])[0]
        if not after.isascii() or not after.isdigit() or int(after) > LARGEST_CURSOR:
            await self.accept()
            await self.close(BAD_CURSOR)
            return
        self._sees_all = await sync_to_async(sees_all)(user)
        await hub.ready()
        self._cursor = int(after)
        await self.accept()
        hub.clients += 1
        self._pumping = asyncio.create_task(self._pump())
        self._checking = asyncio.create_task(self._check_user())

    async def disconnect(self, code: int) -> None:
        if pumping := getattr(self, "_pumping", None):
            hub.clients -= 1
            pumping.cancel()
            self._checking.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Pages only listen here; what they change goes over HTTP, where CSRF protects it."""

    async def _pump(self) -> None:
        sent_status = ""
        try:
            while True:
                news = hub.news()
                entries = hub.after(self._cursor)
                if entries is None:
                    entries = await hub.page(self._cursor)
                if entries:
                    await self._send_entries(entries)
                    self._cursor = entries[-1].seq
                    continue
                if hub.status and hub.status != sent_status:
                    sent_status = hub.status
                    await asyncio.wait_for(self.send(text_data=sent_status), SEND_TIMEOUT_S)
                    continue
                await asyncio.shield(news)
        except TimeoutError:
            await self._close(TOO_SLOW)
        except Exception:  # the page comes back by itself and resumes from its cursor
            logger.exception("a feed socket failed")
            await self._close(1011)

    async def _send_entries(self, entries: list[Entry]) -> None:
        own = self.scope["user"].id
        seen = [entry.text for entry in entries if self._sees_all or entry.user_id == own]
        text = f'{{"type":"events","cursor":{entries[-1].seq},"events":[{",".join(seen)}]}}'
        await asyncio.wait_for(self.send(text_data=text), SEND_TIMEOUT_S)

    async def _check_user(self) -> None:
        """Who was logged out or lost the staff flag loses the feed within a minute."""
        while True:
            await asyncio.sleep(CHECK_USER_EVERY_S)
            user = self.scope["user"]
            try:
                await sync_to_async(user.refresh_from_db)()
            except Exception:  # the database is away; the user is looked at again in a minute
                logger.warning("a feed socket's user could not be checked")
                continue
            if not (user.is_active and user.is_staff):
                await self._close(LOGGED_OUT)
                return

    async def _close(self, code: int) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.close(code), SEND_TIMEOUT_S)


class UnknownPath(AsyncWebsocketConsumer):
    """Any other socket path: closed with a code instead of an error."""

    async def connect(self) -> None:
        await self.accept()
        await self.close(NOT_FOUND)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Nothing is expected."""
