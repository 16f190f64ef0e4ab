"""
The names of all jobs, and the only door to django-q.

A job is a row in our own database, written in the transaction of the change that asks for it: both exist or
neither does. Delivery is at least once and in no order, so every job can run twice, late, or be killed in the
middle; uniqueness lives in the tables it writes. Arguments are ids and plain values, never objects.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from django.db import close_old_connections, connection
from django.dispatch import receiver
from django_q.signals import post_spawn
from django_q.tasks import async_task

from monitoring import installation

# async_task takes these for itself and would not pass them on.
RESERVED = frozenset(
    {"hook", "group", "save", "sync", "cached", "ack_failure", "iter_count", "iter_cached", "chain", "broker"}
    | {"cluster", "timeout", "task_name", "q_options"}
)


class Job(StrEnum):
    """Every job by its dotted path; a test resolves each."""

    HANDLE_CLOSES = "monitoring.tasks.handle_closes"
    DELIVER_NOTIFICATIONS = "monitoring.tasks.deliver_notifications"
    ANALYZE_SIGNALS = "monitoring.tasks.analyze_signals"
    ROLL_UP = "monitoring.tasks.roll_up"
    OPEN_POSITION = "positions.tasks.open_position"
    ACT_ON_DECISION = "positions.tasks.act_on_decision"
    ACT_BY_HAND = "positions.tasks.act_by_hand"
    APPLY_RULES = "positions.tasks.apply_rules"
    RECONCILE = "positions.tasks.reconcile"
    FLATTEN = "positions.tasks.flatten"
    RUN_SESSION = "workflows.tasks.run_session"
    BENCHMARK_ONE = "desk.benchmarks.naive.judge_one"


def ready() -> int:
    """How many jobs wait for a worker."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM django_q_ormq WHERE lock <= now()")
        return int(cursor.fetchone()[0])


def enqueue(job: Job, **arguments: Any) -> None:
    """
    Have a worker run the job once the current transaction commits.

    :raises ValueError: if an argument has a name that django-q would swallow
    """
    if swallowed := RESERVED & set(arguments):
        raise ValueError(f"{job} has arguments that django-q keeps for itself: {sorted(swallowed)}")
    async_task(job.value, **arguments)


@receiver(post_spawn, dispatch_uid="monitoring.jobs.check_installation")
def _check_installation(**_: Any) -> None:
    """A worker that was started with another clock or data source than its database refuses to work."""
    installation.claim()
    close_old_connections()
