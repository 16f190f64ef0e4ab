"""Executions as their owner sees them: started, cancelled, listed, counted, and cleared away in the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from monitoring import jobs
from monitoring.models import User
from workflows import graph, rows, sessions
from workflows.models import WorkflowExecution, WorkflowSession

Status = WorkflowExecution.Status
LOOKED_AT = 1000  # the newest executions that statistics are made of

TOTALS = """
SELECT count(*), count(*) FILTER (WHERE status = 'completed'), count(*) FILTER (WHERE status = 'failed'),
       (avg(extract(epoch FROM duration)) * %(real_ms)s)::float8,
       (percentile_cont(0.95) WITHIN GROUP (ORDER BY extract(epoch FROM duration)) * %(real_ms)s)::float8
  FROM (SELECT status, duration FROM workflow_executions WHERE user_id = %(user)s AND root_id = %(root)s
         ORDER BY started_at DESC LIMIT %(limit)s) e
"""
SLOWEST = """
SELECT n.key, avg((n.value ->> 'ms')::float8) AS ms
  FROM (SELECT node_runs FROM workflow_executions WHERE user_id = %(user)s AND root_id = %(root)s
         ORDER BY started_at DESC LIMIT %(limit)s) e, jsonb_each(e.node_runs) n
 WHERE n.value ->> 'status' = 'done'
 GROUP BY n.key ORDER BY ms DESC LIMIT 1
"""
OF_MANY = """
SELECT r.root, e.runs, e.failed, e.ms
  FROM unnest(%(roots)s::uuid[]) AS r(root)
 CROSS JOIN LATERAL (
    SELECT count(*) AS runs, count(*) FILTER (WHERE status = 'failed') AS failed,
           (avg(extract(epoch FROM duration)) * %(real_ms)s)::float8 AS ms
      FROM (SELECT status, duration FROM workflow_executions WHERE user_id = %(user)s AND root_id = r.root
             ORDER BY started_at DESC LIMIT 100) newest) e
"""


@dataclass(frozen=True)
class Statistics:
    """Of the newest executions of one session. Times in ms; the rate is a fraction of those that ended by themselves."""

    runs: int
    completed: int
    failed: int
    mean_ms: float | None
    p95_ms: float | None
    slowest_node: str
    slowest_ms: float | None

    @property
    def success_rate(self) -> float | None:
        """None before anything has ended."""
        ended = self.completed + self.failed
        return self.completed / ended if ended else None


@dataclass(frozen=True)
class Short:
    """For a line of the library, of the newest 100 executions."""

    runs: int = 0
    failed: int = 0
    mean_ms: float | None = None


def start(*, user: User, root: UUID, version: int | None = None, is_trial: bool = True, trigger: str = "manual") -> WorkflowExecution:
    """
    Have a worker run one version now, on the newest closed candles. A trial raises no signal and tells nobody.

    :raises sessions.NotFound: if there is no such version
    :raises graph.BadGraph: if it can't run
    """
    session = sessions.get(user=user, root=root, version=version)
    graph.parse(session.nodes, session.edges)
    if session.user_id != user.id:
        raise sessions.Refused("it is a template of somebody else's: copy it first")
    with transaction.atomic():
        with rows.of(user.id):
            execution = WorkflowExecution.objects.create(
                session_id=session.id,
                root_id=session.root_id,
                user_id=user.id,
                version=session.version,
                graph={"nodes": session.nodes, "edges": session.edges},
                trigger=trigger,
                is_trial=is_trial,
            )
            WorkflowSession.objects.filter(user_id=user.id, root_id=root, is_current_version=True).update(
                last_executed_at=execution.started_at
            )
        jobs.enqueue(jobs.Job.RUN_SESSION, execution_id=str(execution.id))
    return execution


def cancel(*, user: User, execution_id: UUID, now: datetime) -> bool:
    """Stop a run: nodes at work end by themselves, no other begins. Whether there was anything to stop."""
    with rows.of(user.id):
        running = WorkflowExecution.objects.filter(user_id=user.id, id=execution_id, status=Status.RUNNING)
        return bool(running.update(status=Status.CANCELLED, finished_at=now, error_message=f"cancelled by {user.get_username()}"))


def get(*, user: User, execution_id: UUID) -> WorkflowExecution:
    """
    One of this user's executions.

    :raises sessions.NotFound: if there is none
    """
    with rows.of(user.id):
        found = WorkflowExecution.objects.filter(user_id=user.id, id=execution_id).first()
    if found is None:
        raise sessions.NotFound(f"there is no execution {execution_id}")
    return found


def find(*, user: User, root: UUID | None = None, status: str | None = None, limit: int = 50, offset: int = 0) -> list[WorkflowExecution]:
    """Executions, the newest first, without their graphs and outputs."""
    with rows.of(user.id):
        return list(_own(user, root=root, status=status).order_by("-started_at")[offset : offset + limit])


def slow(*, user: User, over: timedelta, limit: int = 50) -> list[WorkflowExecution]:
    """Those that took longer than `over` (real time), the slowest first."""
    with rows.of(user.id):
        return list(_own(user).filter(duration__gt=over * float(settings.CLOCK_SPEED)).order_by("-duration")[:limit])


def statistics(*, user: User, root: UUID) -> Statistics:
    """Of the newest thousand executions of a session."""
    values = {"user": user.id, "root": root, "limit": LOOKED_AT, "real_ms": _real_ms()}
    with rows.of(user.id), connection.cursor() as cursor:
        cursor.execute(TOTALS, values)
        runs, completed, failed, mean_ms, p95_ms = cursor.fetchone()
        cursor.execute(SLOWEST, values)
        node, ms = cursor.fetchone() or ("", None)
    return Statistics(runs, completed, failed, mean_ms, p95_ms, node, ms)


def of_many(*, user: User, roots: Iterable[UUID]) -> dict[UUID, Short]:
    """A line of figures for each session of a page, in one query."""
    with rows.of(user.id), connection.cursor() as cursor:
        cursor.execute(OF_MANY, {"user": user.id, "roots": list(roots), "real_ms": _real_ms()})
        return {root: Short(*rest) for root, *rest in cursor.fetchall()}


def clear(*, user: User, root: UUID, before: datetime) -> int:
    """Delete executions of a session that ended before a moment; returns how many."""
    with rows.of(user.id):
        old = WorkflowExecution.objects.filter(user_id=user.id, root_id=root, finished_at__lt=before)
        return old._raw_delete(old.db)


def clear_all(*, before: datetime) -> int:
    """Retention: delete everybody's executions that ended before a moment; returns how many."""
    with rows.system():
        old = WorkflowExecution.objects.filter(finished_at__lt=before)
        return old._raw_delete(old.db)


def duration_ms(execution: WorkflowExecution) -> float | None:
    """How long it took in ms of real time; None while it runs."""
    return None if execution.duration is None else execution.duration.total_seconds() * _real_ms()


def _real_ms() -> float:
    """Milliseconds of real time in a second of app time: both ends of a run are app time, work is real."""
    return 1000 / float(settings.CLOCK_SPEED)


def _own(user: User, *, root: UUID | None = None, status: str | None = None) -> QuerySet[WorkflowExecution]:
    wanted: dict[str, Any] = {"user_id": user.id}
    if root:
        wanted["root_id"] = root
    if status:
        wanted["status"] = status
    return WorkflowExecution.objects.filter(**wanted).defer("graph", "outputs", "node_runs")
