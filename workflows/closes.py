"""
Closes that start active sessions: each version once for a close, when all its symbols have closed, or after a grace.

What the listener has to watch for them is named here as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from monitoring import clock, intervals, jobs
from monitoring.handlers import Close
from workflows import graph, polymarket, rows
from workflows.models import WorkflowExecution, WorkflowSession

GRACE_S = 10.0  # app time, unless the session says otherwise
Status = WorkflowSession.Status

CLOSED = "SELECT symbol FROM candles WHERE market = %s AND interval = %s AND open_time = %s AND symbol = ANY(%s)"


def on_close(close: Close, now: datetime) -> None:
    """Start what has all its candles of this close; the others wait for theirs, or for their grace."""
    for session in _active(close.market, close.interval, close.open_time):
        if set(session.trigger_symbols) & set(close.symbols) and not (missing := _missing(session, close.open_time)):
            _start(session, close.open_time, missing, now=now)


def sweep(_before: datetime) -> int:
    """Start what has waited for its grace on the newest close, with the missing symbols named; returns how many."""
    now, count = clock.now(), 0
    with rows.system():
        pairs = set(WorkflowSession.objects.filter(status=Status.ACTIVE).values_list("trigger_market", "trigger_interval"))
    for market, interval in pairs:
        newest = intervals.newest_closed(at_ms=clock.to_ms(now), interval=interval)
        late_s = (clock.to_ms(now) - intervals.close_time(open_time=newest, interval=interval)) / 1000
        for session in _active(market, interval, newest):
            missing = _missing(session, newest)
            if len(missing) < len(session.trigger_symbols) and late_s >= float(session.trigger_settings.get("grace_s", GRACE_S)):
                count += _start(session, newest, missing, now=now)
    return count


def watched() -> dict[tuple[str, str, str], int]:
    """(market, symbol, interval) of every active session, also those its nodes look at besides, with the moment (ms) since when."""
    found: dict[tuple[str, str, str], int] = {}
    with rows.system():
        active = list(WorkflowSession.objects.filter(status=Status.ACTIVE).defer("search"))
    for session in active:
        since = clock.to_ms(session.active_since) if session.active_since else clock.now_ms()
        for interval in {session.trigger_interval, *_other_intervals(session)}:
            for symbol in session.trigger_symbols:
                found[session.trigger_market, symbol, interval] = since
        # What its last run saw of Polymarket: from then on its prices are live, and it has candles.
        for token in session.watched_tokens:
            found[polymarket.MARKET, token, session.trigger_interval] = since
    return found


def _other_intervals(session: WorkflowSession) -> set[str]:
    nodes = graph.parse(session.nodes, session.edges).nodes
    return {interval for node in nodes if node.type.trigger_of is None and (interval := getattr(node.settings, "interval", None))}


def _active(market: str, interval: str, open_time: int) -> list[WorkflowSession]:
    """Those that are owed this close and have not run on it."""
    closed_at = clock.at(intervals.close_time(open_time=open_time, interval=interval))
    with rows.system():
        due = WorkflowSession.objects.filter(
            status=Status.ACTIVE, trigger_market=market, trigger_interval=interval, active_since__lt=closed_at
        ).exclude(executions__candle_time=open_time, executions__interval=interval)
        return list(due.defer("search"))


def _missing(session: WorkflowSession, open_time: int) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(CLOSED, [session.trigger_market, session.trigger_interval, open_time, session.trigger_symbols])
        there = {row[0] for row in cursor.fetchall()}
    return [symbol for symbol in session.trigger_symbols if symbol not in there]


def _start(session: WorkflowSession, open_time: int, missing: Sequence[str], *, now: datetime) -> bool:
    """Whether this was the first to start it for this close."""
    values: dict[str, Any] = {
        "session_id": session.id,
        "root_id": session.root_id,
        "user_id": session.user_id,
        "version": session.version,
        "graph": {"nodes": session.nodes, "edges": session.edges},
        "trigger": WorkflowExecution.Trigger.CLOSE,
        "interval": session.trigger_interval,
        "candle_time": open_time,
        "missing": list(missing),
        "started_at": now,
    }
    with transaction.atomic():
        with rows.system():
            # PostgreSQL tells nobody of a row that was there; looking for ours by its key does.
            [made] = WorkflowExecution.objects.bulk_create([WorkflowExecution(**values)], ignore_conflicts=True)
            is_new = WorkflowExecution.objects.filter(id=made.id).exists()
            if is_new:
                WorkflowSession.objects.filter(id=session.id).update(last_executed_at=now)
        if is_new:
            jobs.enqueue(jobs.Job.RUN_SESSION, execution_id=str(made.id))
    return is_new
