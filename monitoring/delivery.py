"""
Notifications on their way: claimed, grouped into one message for each target, sent by Apprise, tried again.

Delivery is at least once: whoever dies between the sending and its record leaves a lease that runs out, and the
message goes out again. Times are real, for quiet hours are a person's.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from uuid import UUID

import apprise
from django.db import connection, transaction
from django.db.models import F

from monitoring import jobs
from monitoring.models import Event, NotificationDelivery, NotificationTarget

logger = logging.getLogger(__name__)
BATCH = 200
LEASE_S = 120
MOST_ATTEMPTS = 8
FIRST_PAUSE_S = 10
CALM_S = 30  # after a message to a target, what is not critical waits so long, so that a burst becomes one message
LINES_SHOWN = 20

CLAIM = """
UPDATE notification_deliveries SET next_attempt_at = clock_timestamp() + make_interval(secs => %(lease)s)
 WHERE id IN (SELECT id FROM notification_deliveries
               WHERE status = 'pending' AND target_id IS NOT NULL AND next_attempt_at <= clock_timestamp()
               ORDER BY created_at LIMIT %(batch)s FOR UPDATE SKIP LOCKED)
RETURNING id
"""
DUE = """
SELECT EXISTS (SELECT 1 FROM notification_deliveries
                WHERE status = 'pending' AND target_id IS NOT NULL AND next_attempt_at <= clock_timestamp())
"""
LAST_SENT = "SELECT target_id, max(sent_at) FROM notification_deliveries WHERE target_id = ANY(%s) AND status = 'sent' GROUP BY 1"


@dataclass(frozen=True)
class Message:
    """What a target is sent."""

    title: str
    body: str
    level: str


def deliver() -> int:
    """Send what is due; returns how many deliveries were sent."""
    sent = 0
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"lease": LEASE_S, "batch": BATCH})
        claimed = [row[0] for row in cursor.fetchall()]
        cursor.execute("SELECT clock_timestamp()")
        now = cursor.fetchone()[0]
    rows = NotificationDelivery.objects.filter(id__in=claimed).select_related("event", "target").order_by("event_id")
    of_target: dict[UUID, list[NotificationDelivery]] = defaultdict(list)
    for row in rows:
        assert row.target_id is not None
        of_target[row.target_id].append(row)
    last_sent = _last_sent(list(of_target))
    for target_id, deliveries in of_target.items():
        target = deliveries[0].target
        assert target is not None
        ready, later = _sort_out(target, deliveries, last_sent.get(target_id), now)
        for row, until in later:
            NotificationDelivery.objects.filter(id=row.id).update(next_attempt_at=until)
        if ready:
            sent += _send(target, ready, now)
    return sent


def requeue(before: datetime) -> int:
    """For the sweep: have a worker look when something is due, such as a retry or the end of quiet hours."""
    with connection.cursor() as cursor:
        cursor.execute(DUE)
        if not cursor.fetchone()[0]:
            return 0
    jobs.enqueue(jobs.Job.DELIVER_NOTIFICATIONS)
    return 1


def message(events: Sequence[Event]) -> Message:
    """One message for all these events; the worst level counts."""
    worst = max(events, key=lambda event: (Event.Level.INFO, Event.Level.WARNING, Event.Level.CRITICAL).index(Event.Level(event.level)))
    lines = [f"{event.at:%H:%M:%S} {event.text}" for event in events]
    if len(lines) == 1:
        return Message(f"Candle Desk: {worst.kind.replace('_', ' ')}", lines[0], worst.level)
    more = [f"… and {len(lines) - LINES_SHOWN} more"] if len(lines) > LINES_SHOWN else []
    return Message(f"Candle Desk: {len(lines)} events, {worst.level}", "\n".join([*lines[:LINES_SHOWN], *more]), worst.level)


def problem_with(url: str) -> str:
    """Why an address can't be a target; empty if it can."""
    return "" if apprise.Apprise().add(url.strip()) else "this is no address that Apprise knows; see github.com/caronc/apprise/wiki"


def _sort_out(
    target: NotificationTarget, deliveries: Sequence[NotificationDelivery], last_sent: datetime | None, now: datetime
) -> tuple[list[NotificationDelivery], list[tuple[NotificationDelivery, datetime]]]:
    """What goes out now, and what waits until when. Critical ones never wait, and take the others along."""
    until = _quiet_until(target, now)
    if until is None and last_sent and last_sent + timedelta(seconds=CALM_S) > now:
        until = last_sent + timedelta(seconds=CALM_S)
    if until is None or any(row.event.level == Event.Level.CRITICAL for row in deliveries):
        return list(deliveries), []
    return [], [(row, until) for row in deliveries]


def _quiet_until(target: NotificationTarget, now: datetime) -> datetime | None:
    """The end of the target's quiet hours (UTC), or None outside of them; they may span midnight."""
    start, end = target.quiet_from, target.quiet_until
    if start is None or end is None or start == end:
        return None
    at = now.timetz().replace(tzinfo=None)
    if not (start <= at < end if start < end else at >= start or at < end):
        return None
    return _next(now, end)


def _next(now: datetime, at: time) -> datetime:
    moment = now.replace(hour=at.hour, minute=at.minute, second=at.second, microsecond=0)
    return moment if moment > now else moment + timedelta(days=1)


def _send(target: NotificationTarget, deliveries: Sequence[NotificationDelivery], now: datetime) -> int:
    error = _push(target.url, message([row.event for row in deliveries]))
    ids = [row.id for row in deliveries]
    with transaction.atomic():
        chosen = NotificationDelivery.objects.filter(id__in=ids, status=NotificationDelivery.Status.PENDING)
        if not error:
            return chosen.update(status=NotificationDelivery.Status.SENT, attempts=F("attempts") + 1, sent_at=now, error="")
        attempts = max(row.attempts for row in deliveries) + 1
        logger.warning("notification to %s failed: %s", target.name, error)
        final: dict[str, Any] = {"status": NotificationDelivery.Status.FAILED} if attempts >= MOST_ATTEMPTS else {}
        pause = timedelta(seconds=FIRST_PAUSE_S * 2 ** (attempts - 1))
        chosen.update(attempts=F("attempts") + 1, error=error[:500], next_attempt_at=now + pause, **final)
    return 0


def _push(url: str, what: Message) -> str:
    """Send it; returns what went wrong, or nothing."""
    kinds = {Event.Level.INFO: "info", Event.Level.WARNING: "warning", Event.Level.CRITICAL: "failure"}
    service = apprise.Apprise()
    if not service.add(url):
        return "the address is not one that Apprise knows"
    with apprise.LogCapture(level=logging.WARNING) as said:
        done = service.notify(title=what.title, body=what.body, notify_type=apprise.NotifyType(kinds[Event.Level(what.level)]))
        return "" if done else (said.getvalue().strip() or "the target refused it")


def _last_sent(targets: list[UUID]) -> dict[UUID, datetime]:
    with connection.cursor() as cursor:
        cursor.execute(LAST_SENT, [targets])
        return dict(cursor.fetchall())
