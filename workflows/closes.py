"""
Closes that start active sessions: each version once for a close, when all its symbols have closed, or after a grace.

What the listener has to watch for them is named here as well.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from monitoring import clock, intervals, jobs
from monitoring.handlers import Close
from workflows import graph, polymarket, rows
from workflows.graph import BadGraph
from workflows.models import WorkflowExecution, WorkflowSession

logger = logging.getLogger(__name__)
GRACE_S = 10.0  # app time, unless the session says otherwise
Status = WorkflowSession.Status

CLOSED = "SELECT symbol FROM candles WHERE market = %s AND interval = %s AND open_time = %s AND symbol = ANY(%s)"


def on_close(close: Close, now: datetime) -> None:
    """Start what has all its candles of this close; the others wait for theirs, or for their grace."""
    due = _due(close.market, close.interval, close.open_time)
    touched = [found for found in due if set(found.session.trigger_symbols) & set(close.symbols)]
    _start([found for found in touched if not found.missing], close.open_time, now=now)


def sweep(_before: datetime) -> int:
    """Start what has waited for its grace on the newest close, with the missing symbols named; returns how many."""
    now, count = clock.now(), 0
    with rows.system():
        pairs = set(WorkflowSession.objects.filter(status=Status.ACTIVE).values_list("trigger_market", "trigger_interval"))
    for market, interval in pairs:
        newest = intervals.newest_closed(at_ms=clock.to_ms(now), interval=interval)
        late_s = (clock.to_ms(now) - intervals.close_time(open_time=newest, interval=interval)) / 1000
        waited = [found for found in _due(market, interval, newest) if late_s >= found.grace_s]
        count += _start([found for found in waited if len(found.missing) < len(found.session.trigger_symbols)], newest, now=now)
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
    try:
        nodes = graph.parse(session.nodes, session.edges).nodes
    except BadGraph as error:  # saved by a desk that knew other nodes; its runs say so as well
        logger.warning("session %s can't run any more: %s", session, error)
        return set()
    return {interval for node in nodes if node.type.trigger_of is None and (interval := getattr(node.settings, "interval", None))}


@dataclass(frozen=True)
class _Due:
    """A session that is owed a close, and the symbols that have not closed yet."""

    session: WorkflowSession
    missing: tuple[str, ...]

    @property
    def grace_s(self) -> float:
        return float(self.session.trigger_settings.get("grace_s", GRACE_S))


def _due(market: str, interval: str, open_time: int) -> list[_Due]:
    """Those that are owed this close and have not run on it; two queries, whatever their number."""
    closed_at = clock.at(intervals.close_time(open_time=open_time, interval=interval))
    with rows.system():
        owed = WorkflowSession.objects.filter(
            status=Status.ACTIVE, trigger_market=market, trigger_interval=interval, active_since__lt=closed_at
        ).exclude(executions__candle_time=open_time, executions__interval=interval)
        sessions = list(owed.defer("search"))
    if not sessions:
        return []
    wanted = sorted({symbol for session in sessions for symbol in session.trigger_symbols})
    with connection.cursor() as cursor:
        cursor.execute(CLOSED, [market, interval, open_time, wanted])
        there = {row[0] for row in cursor.fetchall()}
    return [_Due(session, tuple(symbol for symbol in session.trigger_symbols if symbol not in there)) for session in sessions]


def _start(due: Sequence[_Due], open_time: int, *, now: datetime) -> int:
    """How many of them nobody had started for this close; one transaction for all."""
    if not due:
        return 0
    with transaction.atomic():
        with rows.system():
            # PostgreSQL tells nobody of rows that were there; looking for ours by their keys does.
            made = WorkflowExecution.objects.bulk_create((_execution(found, open_time, now) for found in due), ignore_conflicts=True)
            new = WorkflowExecution.objects.filter(id__in=[one.id for one in made])
            started = list(new.values_list("id", "session_id"))
            WorkflowSession.objects.filter(id__in=[session for _, session in started]).update(last_executed_at=now)
        for execution_id, _ in started:
            jobs.enqueue(jobs.Job.RUN_SESSION, execution_id=str(execution_id))
    return len(started)


def _execution(due: _Due, open_time: int, now: datetime) -> WorkflowExecution:
    session = due.session
    return WorkflowExecution(
        session_id=session.id,
        root_id=session.root_id,
        user_id=session.user_id,
        version=session.version,
        graph={"nodes": session.nodes, "edges": session.edges},
        trigger=WorkflowExecution.Trigger.CLOSE,
        interval=session.trigger_interval,
        candle_time=open_time,
        missing=list(due.missing),
        started_at=now,
    )
