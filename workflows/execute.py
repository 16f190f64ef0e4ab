"""
Carries out an execution: claimed once, kept node by node, finished with what came of it.

A run that dies is found by its lease and becomes *failed*, with the outputs of the nodes that had ended. Nobody takes it up
again: its signals have keys of their own, and the next close starts another.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from monitoring import clock, events, jobs
from monitoring.events import NewEvent
from monitoring.notifications import notify
from workflows import graph, live, rows, running
from workflows.graph import BadGraph, Graph
from workflows.live import Live, Owner
from workflows.models import WorkflowExecution, WorkflowSession
from workflows.nodes.contract import NodeFailed
from workflows.running import CANCELLED, DONE, FAILED, Limits, NodeRun

logger = logging.getLogger(__name__)
Status, Trigger = WorkflowExecution.Status, WorkflowExecution.Trigger
LIMITS = Limits(node_s=60.0, run_s=150.0)
LEASE = timedelta(seconds=LIMITS.run_s + 30)
ERROR_LIMIT = 5
MOST_ITEMS, LARGEST_OUTPUT = 50, 64_000  # of a port, and in characters of JSON of a node

KEEP = """
UPDATE workflow_executions
   SET outputs = outputs || jsonb_build_object(%(node)s::text, %(outputs)s::jsonb),
       node_runs = node_runs || jsonb_build_object(%(node)s::text, %(run)s::jsonb),
       nodes_executed = nodes_executed + %(count)s, errors = errors || %(errors)s::jsonb
 WHERE id = %(id)s
"""


def execute(execution_id: UUID) -> None:
    """Run it, if nobody has begun it yet."""
    found = _claim(execution_id)
    if found is None:
        logger.info("execution %s is somebody else's, or over", execution_id)
        return
    execution, name = found
    owner = Owner(execution.user_id, execution.root_id, name, execution.id)
    try:
        parsed = graph.parse(execution.graph["nodes"], execution.graph["edges"])
        start = live.start_of(at_ms=clock.now_ms(), **_close_of(execution, parsed))
    except BadGraph as error:
        _finish(execution, {}, error=str(error))
        return
    results = running.run(
        parsed,
        context=Live(owner, start, is_trial=execution.is_trial),
        limits=LIMITS,
        ended=lambda result: _keep(execution.id, result),
        cancelled=lambda: _is_over(execution.id),
        in_thread=_in_thread,
    )
    _finish(execution, results)


def sweep(before: datetime) -> int:
    """Fail runs whose worker died, and enqueue again those whose job is gone; returns how many were enqueued."""
    with rows.system():
        running_now = WorkflowExecution.objects.filter(status=Status.RUNNING)
        dead = list(running_now.filter(lease_until__lt=Now()))
        waiting = list(running_now.filter(lease_until__isnull=True, started_at__lt=before).values_list("id", flat=True))
    for execution in dead:
        _finish(execution, {}, error="the worker died; what had ended by then is kept")
    for execution_id in waiting:
        jobs.enqueue(jobs.Job.RUN_SESSION, execution_id=str(execution_id))
    return len(waiting)


def _claim(execution_id: UUID) -> tuple[WorkflowExecution, str] | None:
    with rows.system():
        free = WorkflowExecution.objects.filter(id=execution_id, status=Status.RUNNING, lease_until__isnull=True)
        if not free.update(lease_until=Now() + LEASE):
            return None
        execution = WorkflowExecution.objects.get(id=execution_id)
        name = WorkflowSession.objects.values_list("name", flat=True).get(id=execution.session_id)
    return execution, name


def _close_of(execution: WorkflowExecution, parsed: Graph) -> dict[str, Any]:
    if execution.candle_time is None:
        return {}
    [trigger] = parsed.triggers()
    assert trigger.type.trigger_of is not None
    market, interval, _ = trigger.type.trigger_of(trigger.settings)
    return {"market": market, "interval": interval, "open_time": execution.candle_time, "missing": execution.missing}


def _in_thread(act: Callable[[], Any]) -> Any:
    """In a node's thread: its connection is given back, and the database's trouble is nobody's fault."""
    try:
        return act()
    except DatabaseError as error:
        raise NodeFailed(f"the database: {error}"[:300], is_shared=True) from error
    finally:
        connection.close()


def _keep(execution_id: UUID, result: NodeRun) -> None:
    run = {"status": result.status, "type": result.type, "ms": result.ms, "at_ms": result.began_ms, "error": result.error}
    failed = result.status == FAILED
    wrong = [{"node_id": result.node, "type": result.type, "message": result.error, "time": clock.now().isoformat()}] if failed else []
    values: dict[str, Any] = {
        "id": execution_id,
        "node": result.node,
        "outputs": json.dumps(cut(result.outputs)),
        "run": json.dumps(run),
        "count": int(result.status in (DONE, FAILED)),
        "errors": json.dumps(wrong),
    }
    with rows.system(), connection.cursor() as cursor:
        cursor.execute(KEEP, values)


def cut(outputs: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Outputs by port as they are kept: how many there were, and the first of them, within the limit of size."""
    kept: dict[str, Any] = {}
    room = LARGEST_OUTPUT
    for port, items in outputs.items():
        first: list[Any] = []
        for item in items[:MOST_ITEMS]:
            row = item.as_json()
            room -= len(json.dumps(row))
            if room < 0:
                break
            first.append(row)
        kept[port] = {"count": len(items), "items": first}
    return kept


def _is_over(execution_id: UUID) -> bool:
    with rows.system():
        return not WorkflowExecution.objects.filter(id=execution_id, status=Status.RUNNING).exists()


def _finish(execution: WorkflowExecution, results: Mapping[str, NodeRun], *, error: str = "") -> None:
    """Its outcome, and what that means for its session: five failures of its own in a row pause it."""
    failed = [result for result in results.values() if result.status == FAILED]
    message = error or (f"{failed[0].node}: {failed[0].error}" if failed else "")
    status = Status.FAILED if message else Status.COMPLETED
    if any(result.status == CANCELLED for result in results.values()):
        status = Status.CANCELLED
    is_shared = bool(failed) and all(result.is_shared for result in failed)
    now = clock.now()
    with transaction.atomic():
        with rows.system():
            ours = WorkflowExecution.objects.filter(id=execution.id, status=Status.RUNNING)
            if not ours.update(status=status, finished_at=now, error_message=message[:2000]):
                return  # cancelled, or given up by the sweep
            paused = None
            if execution.trigger == Trigger.CLOSE and not is_shared and status != Status.CANCELLED:
                paused = _count(execution, failed=status == Status.FAILED, message=message)
                _watch(execution, results)
        if paused:
            data = {"session": str(paused.root_id), "name": paused.name, "reason": message[:500], "errors": ERROR_LIMIT}
            text = f"session {paused.name} is paused after {ERROR_LIMIT} failures in a row: {message[:300]}"
            notify([events.record(NewEvent("session_paused", text, data, level=events.CRITICAL, user_id=paused.user_id), now=now)])


def _watch(execution: WorkflowExecution, results: Mapping[str, NodeRun]) -> None:
    """Have the listener follow the outcomes of Polymarket that the run looked at."""
    found = [item for result in results.values() if result.type == "polymarket_stream" for item in result.outputs.get("rows", ())]
    tokens = sorted({row.symbol for row in found})
    if tokens:
        own = WorkflowSession.objects.filter(id=execution.session_id, is_current_version=True)
        own.exclude(watched_tokens=tokens).update(watched_tokens=tokens)


def _count(execution: WorkflowExecution, *, failed: bool, message: str) -> WorkflowSession | None:
    """Count errors on the version that ran; the session, if that paused it."""
    own = Q(id=execution.session_id, is_current_version=True)
    if not failed:
        WorkflowSession.objects.filter(own, consecutive_errors__gt=0).update(consecutive_errors=0)
        return None
    session = WorkflowSession.objects.select_for_update().defer("search").filter(own).first()
    if session is None:
        return None
    session.consecutive_errors += 1
    is_over = session.status == WorkflowSession.Status.ACTIVE and session.consecutive_errors >= ERROR_LIMIT
    if is_over:
        session.status, session.active_since = WorkflowSession.Status.PAUSED, None
        session.status_reason = f"{ERROR_LIMIT} failures in a row: {message}"[:500]
    session.save(update_fields=["consecutive_errors", "status", "status_reason", "active_since"])
    return session if is_over else None
