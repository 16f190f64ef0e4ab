"""
The django-q broker on the stock queue table: NOTIFY wakes the pusher, FOR UPDATE SKIP LOCKED claims.

Only `enqueue` and `dequeue` differ from django-q's own ORM broker, so its admin pages, retries and
acknowledgements work as before. A job enqueued inside a transaction exists exactly when that commits.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg
from django.db import connections, transaction
from django_q.brokers.orm import ORM
from django_q.conf import Conf, logger

from . import queue_fix

queue_fix.install()

CHANNEL = "django_q"
LONGEST_WAIT_S = 1.0  # bounds how late a retry lock that ran out, or the order to stop, is noticed
CLAIM = """
UPDATE django_q_ormq q SET lock = now() + make_interval(secs => %s)
  FROM (SELECT id FROM django_q_ormq WHERE key = %s AND lock <= now()
         ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED) due
 WHERE q.id = due.id RETURNING q.id, q.payload"""

# Arguments that Django adds for its own connections and libpq does not know.
DJANGO_ONLY = ("cursor_factory", "context", "prepare_threshold", "pool", "server_side_binding", "assume_role")


def connection_parameters() -> dict[str, Any]:
    """Arguments for `psycopg.connect` to the default database, which is started first when it is the embedded one."""
    wrapper = connections["default"]
    wrapper.ensure_connection()
    return {name: value for name, value in wrapper.get_connection_params().items() if name not in DJANGO_ONLY}


class PgBroker(ORM):
    """`Q_CLUSTER = {"broker_class": "config.broker.PgBroker", "orm": "default", …}`."""

    _listener: psycopg.Connection[Any] | None = None

    def __getstate__(self) -> tuple[str, Any]:
        return self.list_key, self._info  # never carry a socket into another process

    def enqueue(self, task: str) -> int:
        key = self.list_key or Conf.CLUSTER_NAME
        if transaction.get_autocommit(using="default"):
            self.get_connection()  # drops a stale connection; inside a transaction that would break the outbox
        with transaction.atomic(using="default"), connections["default"].cursor() as cursor:
            cursor.execute("INSERT INTO django_q_ormq (key, payload, lock) VALUES (%s, %s, now()) RETURNING id", [key, task])
            identity = cursor.fetchone()[0]
            cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, key])
        return int(identity)

    def dequeue(self) -> list[tuple[int, str]] | None:
        if self._listener is None:  # LISTEN before the first look, so that nothing falls between the two
            self._listen()
        if rows := self._claim():
            return rows
        self._wait()
        return self._claim() or None

    def _claim(self) -> list[tuple[int, str]]:
        self.get_connection()
        with connections["default"].cursor() as cursor:
            cursor.execute(CLAIM, [Conf.RETRY, self.list_key, Conf.BULK])
            return sorted(cursor.fetchall())

    def _listen(self) -> None:
        try:
            self._listener = psycopg.connect(**connection_parameters(), autocommit=True, application_name="django-q listen")
            self._listener.execute(f"LISTEN {CHANNEL}")
        except psycopg.Error:
            logger.exception("LISTEN failed; polling once a second instead")
            self._listener = None

    def _wait(self) -> None:
        if self._listener is None:
            time.sleep(LONGEST_WAIT_S)
            return
        end = time.monotonic() + LONGEST_WAIT_S
        try:
            while (left := end - time.monotonic()) > 0:
                for notice in self._listener.notifies(timeout=left, stop_after=1):
                    if notice.payload == self.list_key:
                        return
        except psycopg.Error:
            logger.warning("the LISTEN connection was lost; the next look reconnects")
            self._listener.close()
            self._listener = None
