"""Tells when jobs wait longer than they should, once, and once more when they don't: workers are away, or too few."""

from __future__ import annotations

from datetime import datetime

from django.db import connection, transaction

from monitoring import clock, events
from monitoring.events import NewEvent
from monitoring.models import Event
from monitoring.notifications import notify

BEHIND_S, CAUGHT_UP_S = 30.0, 5.0  # real time that the oldest job that could run has waited

# Under a lock, so that two listeners tell it once.
LOCK = "SELECT pg_advisory_xact_lock(hashtext('monitoring.backlog'))"
OLDEST = "SELECT count(*), coalesce(extract(epoch FROM now() - min(lock)), 0)::float8 FROM django_q_ormq WHERE lock <= now()"
TOLD = ("queue_behind", "queue_caught_up")


def watch(_before: datetime) -> int:
    """Look once; a sweep, which enqueues nothing but the notification."""
    count, waited_s = _oldest()
    is_behind = _is_told()
    if (waited_s > BEHIND_S) == is_behind or (is_behind and waited_s > CAUGHT_UP_S):
        return 0
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(LOCK)
        if _is_told() == is_behind:
            _tell(count, waited_s, was_behind=is_behind)
    return 0


def _oldest() -> tuple[int, float]:
    with connection.cursor() as cursor:
        cursor.execute(OLDEST)
        count, waited_s = cursor.fetchone()
    return count, waited_s


def _is_told() -> bool:
    """Whether the last that was said of it is that it is behind."""
    return Event.objects.filter(kind__in=TOLD).order_by("-id").values_list("kind", flat=True).first() == TOLD[0]


def _tell(count: int, waited_s: float, *, was_behind: bool) -> None:
    text = "the queue has caught up" if was_behind else f"the queue is behind: {count} jobs wait, the oldest for {waited_s:.0f} s"
    level = events.WARNING if was_behind else events.CRITICAL
    event = NewEvent(TOLD[was_behind], text, {"jobs": count, "waited_s": round(waited_s, 1)}, level=level)
    notify([events.record(event, now=clock.now())])
