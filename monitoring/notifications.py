"""Who is to be told of an event: one delivery row per person and target, written with the event itself."""

from __future__ import annotations

from collections.abc import Sequence

from monitoring.models import Event, NotificationDelivery, NotificationTarget

ORDER: dict[str, int] = {Event.Level.INFO: 0, Event.Level.WARNING: 1, Event.Level.CRITICAL: 2}


def notify(events: Sequence[Event]) -> list[NotificationDelivery]:
    """
    Write deliveries for the owners of these events, in the current transaction.

    A person without a fitting target still gets a row: the desk shows it.
    """
    owners = {event.user_id for event in events if event.user_id}
    targets = list(NotificationTarget.objects.filter(user_id__in=owners, is_active=True))
    rows = []
    for event in events:
        if event.user_id is None:
            continue
        fitting = [target for target in targets if target.user_id == event.user_id and _wants(target, event)]
        rows += [NotificationDelivery(event=event, user_id=event.user_id, target=target) for target in fitting]
        if not fitting:
            rows.append(NotificationDelivery(event=event, user_id=event.user_id, status=NotificationDelivery.Status.SHOWN))
    return NotificationDelivery.objects.bulk_create(rows)


def _wants(target: NotificationTarget, event: Event) -> bool:
    return ORDER[event.level] >= ORDER[target.min_level] and (not target.kinds or event.kind in target.kinds)
