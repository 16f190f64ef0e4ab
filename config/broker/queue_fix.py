"""
A repair of django-q2's in-memory queue (its issue 23).

A process that is killed while idle in `Queue.get` dies holding the queue's read lock and wedges the whole
cluster for good. Here a reader waits for data without the lock, and holds it for the microseconds of the read.
"""

from __future__ import annotations

from multiprocessing.connection import wait
from multiprocessing.queues import Queue as StandardQueue
from multiprocessing.reduction import ForkingPickler
from typing import Any

from django_q.queues import Queue


def get(self: Any, block: bool = True, timeout: float | None = None) -> Any:
    """`multiprocessing.Queue.get`, without holding the read lock while waiting."""
    if not block or timeout is not None:
        item = StandardQueue.get(self, block, timeout)
        self.size.increment(-1)
        return item
    while True:
        wait([self._reader])
        if not self._rlock.acquire(timeout=1):
            continue
        try:
            if self._reader.poll(0):
                raw = self._reader.recv_bytes()
                self._sem.release()
                break
        finally:
            self._rlock.release()
    self.size.increment(-1)
    return ForkingPickler.loads(raw)


def install() -> None:
    """Replace django-q's method; called once, before a cluster makes its queues."""
    Queue.get = get
