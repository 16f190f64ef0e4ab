"""Whether the desk is alive: liveness, readiness, and the watchdog of the workers."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from monitoring.heartbeats import SILENT_S

logger = logging.getLogger(__name__)
WEDGED_AFTER_S = settings.JOB_TIMEOUT_S + 15

OVERVIEW = """
SELECT (SELECT count(*) FROM django_q_ormq WHERE lock <= now()),
       (SELECT extract(epoch FROM now() - max(beat_at)) FROM heartbeats WHERE kind = 'listener'),
       (SELECT count(*) FROM workflow_schedules WHERE is_active),
       (SELECT count(*) FROM workflow_runs WHERE status IN ('due', 'claimed')),
       (SELECT count(*) FROM positions WHERE status <> 'closed'),
       (SELECT coalesce(max(seq), 0) FROM events)
"""
# Ready for longer than any job may take, while nothing was picked up: the cluster holds its queue and does nothing.
WEDGED = """
SELECT EXISTS (SELECT 1 FROM django_q_ormq WHERE lock < now() - make_interval(secs => %(after)s))
   AND NOT EXISTS (SELECT 1 FROM django_q_ormq WHERE lock > now())
"""


@dataclass(frozen=True)
class Overview:
    """A few numbers of the whole desk. Ages in real seconds; None means never."""

    queue_depth: int
    listener_age_s: float | None
    active_workflows: int
    open_runs: int
    open_positions: int
    last_event_seq: int

    @property
    def listener_is_live(self) -> bool:
        """Whether some listener has beaten lately."""
        return self.listener_age_s is not None and self.listener_age_s < SILENT_S


def overview() -> Overview:
    """The numbers now, in one query."""
    with connection.cursor() as cursor:
        cursor.execute(OVERVIEW)
        depth, age, active, runs, positions, seq = cursor.fetchone()
    return Overview(depth, None if age is None else float(age), active, runs, positions, seq)


def wedged_service() -> str | None:
    """`workers` when their cluster holds jobs and does nothing, so that the supervisor restarts it."""
    try:
        close_old_connections()
        with connection.cursor() as cursor:
            cursor.execute(WEDGED, {"after": WEDGED_AFTER_S})
            return "workers" if cursor.fetchone()[0] else None
    except DatabaseError:
        logger.warning("the watchdog could not look at the queue")
        return None
