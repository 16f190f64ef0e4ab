"""
Who is to be told of an event: one delivery row per person and target, written with the event itself.

Events of somebody's trader go to its owner; those of the whole desk, such as a switch or a dead feed, to everybody who
may see everything. The rows are delivered by a job (`delivery`).
"""

from __future__ import annotations

from collections.abc import Sequence

from monitoring import jobs
from monitoring.models import Event, NotificationDelivery, NotificationTarget

ORDER: dict[str, int] = {Event.Level.INFO: 0, Event.Level.WARNING: 1, Event.Level.CRITICAL: 2}


def notify(events: Sequence[Event]) -> list[NotificationDelivery]:
    """
    Write deliveries of these events, in the current transaction, and have a worker send them.

    A person without a fitting target still gets a row for their own events: the desk shows it.
    """
    targets = list(NotificationTarget.objects.filter(is_active=True, user__is_active=True).select_related("user"))
    see_all = {user.id: user.has_perm("monitoring.view_event") for user in {target.user for target in targets}}
    rows = []
    for event in events:
        told = [t for t in targets if _wants(t, event) and (t.user_id == event.user_id or (event.user_id is None and see_all[t.user_id]))]
        rows += [NotificationDelivery(event=event, user_id=target.user_id, target=target) for target in told]
        if event.user_id and not told:
            rows.append(NotificationDelivery(event=event, user_id=event.user_id, status=NotificationDelivery.Status.SHOWN))
    made = NotificationDelivery.objects.bulk_create(rows)
    if any(row.target_id for row in made):
        jobs.enqueue(jobs.Job.DELIVER_NOTIFICATIONS)
    return made


def test(target: NotificationTarget, event: Event) -> None:
    """Send an event to a target whatever it wants, so that its owner sees that it works."""
    NotificationDelivery.objects.create(event=event, user_id=target.user_id, target=target)
    jobs.enqueue(jobs.Job.DELIVER_NOTIFICATIONS)


def _wants(target: NotificationTarget, event: Event) -> bool:
    return ORDER[event.level] >= ORDER[target.min_level] and (not target.kinds or event.kind in target.kinds)
