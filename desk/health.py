"""Whether the desk is alive: liveness, readiness, the first metrics, and the watchdog of the workers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

logger = logging.getLogger(__name__)
LISTENER_SILENT_S = 10  # real time; it beats every 2 s
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
        return self.listener_age_s is not None and self.listener_age_s < LISTENER_SILENT_S


def overview() -> Overview:
    """The numbers now, in one query."""
    with connection.cursor() as cursor:
        cursor.execute(OVERVIEW)
        depth, age, active, runs, positions, seq = cursor.fetchone()
    return Overview(depth, None if age is None else float(age), active, runs, positions, seq)


def metrics_text(seen: Overview) -> str:
    """The numbers in Prometheus' text format."""
    rows: list[tuple[str, str, Any]] = [
        ("candle_desk_queue_depth", "Jobs that wait for a worker.", seen.queue_depth),
        (
            "candle_desk_listener_heartbeat_age_seconds",
            "Since any listener was last alive.",
            seen.listener_age_s if seen.listener_age_s is not None else "NaN",
        ),
        ("candle_desk_active_workflows", "Workflows judged at every close.", seen.active_workflows),
        ("candle_desk_open_runs", "Ledger rows that are due or claimed.", seen.open_runs),
        ("candle_desk_open_positions", "Positions that are not closed.", seen.open_positions),
        ("candle_desk_last_event_seq", "Newest event.", seen.last_event_seq),
    ]
    return "".join(f"# HELP {name} {text}\n# TYPE {name} gauge\n{name} {value}\n" for name, text, value in rows)


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
