"""
The library of sessions at size: how long the service layer takes, and whether row-level security costs it an index.

A thousand users have a hundred sessions each, and a thousand executions. Every call is made for users picked at random, as
the web role, on a connection that stays open; times are those of the whole call, transaction and role included.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connection

from monitoring.models import User
from workflows import executions, library, rows, sessions, templates, versions
from workflows.library import Wanted
from workflows.models import WorkflowSession
from workflows.sessions import Base

CALLS = 300
WORDS = ("bounce", "breakout", "squeeze", "trend", "momentum", "reversal", "scalp", "drift", "range", "news")
TABLES = ("workflow_sessions", "workflow_executions")

MAKE_USERS = """
INSERT INTO users (id, username, password, first_name, last_name, email, is_superuser, is_staff, is_active, date_joined)
SELECT gen_random_uuid(), 'bench' || n, '', '', '', '', false, true, true, now() FROM generate_series(1, %s) n
"""
MAKE_SESSIONS = """
INSERT INTO workflow_sessions (id, root_id, user_id, name, description, nodes, edges, tags, trigger_symbols, watched_tokens, folder,
                               is_favorite, updated_at, created_at, last_executed_at)
SELECT id, id, user_id, word(n) || ' ' || word(n * 7) || ' ' || n, 'made for measuring', %(nodes)s::jsonb, %(edges)s::jsonb,
       ARRAY[word(n * 3)], '{}', '{}', 'folder ' || n %% 8, n %% 9 = 0, now() - n * interval '1 hour', now(), now()
  FROM (SELECT gen_random_uuid() AS id, u.id AS user_id, n FROM unnest(%(users)s::uuid[]) AS u(id), generate_series(1, %(each)s) n) s
"""
MAKE_EXECUTIONS = """
INSERT INTO workflow_executions (id, session_id, root_id, user_id, version, graph, status, outputs, node_runs, nodes_executed, missing,
                                 started_at, finished_at, error_message)
SELECT gen_random_uuid(), s.id, s.id, s.user_id, 1, %(graph)s::jsonb, CASE WHEN n %% 20 = 0 THEN 'failed' ELSE 'completed' END,
       %(outputs)s::jsonb, %(runs)s::jsonb, 4, '{}', now() - n * interval '5 minutes',
       now() - n * interval '5 minutes' + (20 + n %% 400) * interval '1 millisecond', ''
  FROM workflow_sessions s, generate_series(1, %(each)s) n WHERE s.is_current_version
"""
MAKE_WORD = """
CREATE OR REPLACE FUNCTION word(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT (%s::text[])[1 + (n * 2654435761 %% {count})] $$
"""


@dataclass(frozen=True)
class Timing:
    """Of one kind of call, in ms; `scans` are sequential scans of the tables that its statements would make."""

    name: str
    p50_ms: float
    p95_ms: float
    scans: int


def fill(*, users: int, each: int, executions_each: int) -> Iterator[str]:
    """Make the rows; says what is done."""
    template = next(found for found in templates.shipped() if found.key == "oversold_bounce")
    graph = {"nodes": template.nodes, "edges": template.edges}
    row = {"symbol": "BTCUSDT", "market": "binance", "interval": "5m", "open_time": 1, "values": {"close": 100.5, "rsi_14": 28.1}}
    outputs = {node["id"]: {"rows": {"count": 1, "items": [row]}} for node in template.nodes}
    runs = {node["id"]: {"status": "done", "type": node["type"], "ms": 4, "at_ms": 1, "error": ""} for node in template.nodes}
    with connection.cursor() as cursor:
        cursor.execute(MAKE_USERS, [users])
        cursor.execute(MAKE_WORD.format(count=len(WORDS)), [list(WORDS)])
    yield f"{users:,} users"
    ids = list(User.objects.filter(username__startswith="bench").values_list("id", flat=True))
    values = {"nodes": json.dumps(template.nodes), "edges": json.dumps(template.edges)}
    with rows.system(), connection.cursor() as cursor:
        cursor.execute(MAKE_SESSIONS, {**values, "each": each, "users": ids})
    yield f"{users * each:,} sessions"
    values = {"graph": json.dumps(graph), "outputs": json.dumps(outputs), "runs": json.dumps(runs)}
    with rows.system(), connection.cursor() as cursor:
        cursor.execute(MAKE_EXECUTIONS, {**values, "each": executions_each})
    yield f"{users * each * executions_each:,} executions"
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) workflow_sessions, workflow_executions")


def measure(*, seed: int = 7) -> Iterator[Timing]:
    """Time every kind of call."""
    chance = random.Random(seed)
    users = list(User.objects.filter(username__startswith="bench").order_by("?")[:CALLS])
    with rows.system():
        found = WorkflowSession.objects.filter(user_id__in=[user.id for user in users]).order_by("user_id", "id")
        own: dict[Any, list[Any]] = {}
        for user_id, root in found.values_list("user_id", "root_id"):
            own.setdefault(user_id, []).append(root)
    graph = sessions.get(user=users[0], root=own[users[0].id][0]).nodes

    def save(user: User) -> None:
        root = chance.choice(own[user.id])
        version = sessions.get(user=user, root=root).version
        changed = json.loads(json.dumps(graph))
        changed[0]["position"]["x"] = chance.random()
        began = time.perf_counter()
        versions.create(user=user, root=root, base=Base(version), nodes=changed, edges=[])
        saved.append(time.perf_counter() - began)

    saved: list[float] = []
    calls: dict[str, Callable[[User], Any]] = {
        "list a page of 50": lambda user: library.find(user=user),
        "list by folder and tag": lambda user: library.find(user=user, wanted=Wanted(folder="folder 3", tags=["trend"])),
        "load one with its graph": lambda user: sessions.get(user=user, root=chance.choice(own[user.id])),
        "search as you type": lambda user: library.find(user=user, wanted=Wanted(text=chance.choice(WORDS)[:4])),
        "history of versions": lambda user: versions.history(user=user, root=chance.choice(own[user.id])),
        "history of executions": lambda user: executions.find(user=user, root=chance.choice(own[user.id])),
        "newest executions of all": lambda user: executions.find(user=user),
        "figures of a page": lambda user: executions.of_many(user=user, roots=own[user.id][:50]),
        "statistics of one": lambda user: executions.statistics(user=user, root=chance.choice(own[user.id])),
        "save a version": save,
    }
    for name, call in calls.items():
        scans = _scans(lambda call=call: call(users[0]), users[0])  # type: ignore[misc]  # warms it up as well
        saved.clear()
        times = [_timed(call, user) for user in users]
        times = list(saved) or times  # saving is timed without the loading before it
        yield Timing(name, statistics.median(times) * 1000, statistics.quantiles(times, n=20)[-1] * 1000, scans)


def _timed(call: Callable[[User], Any], user: User) -> float:
    began = time.perf_counter()
    call(user)
    return time.perf_counter() - began


def _scans(call: Callable[[], Any], user: User) -> int:
    """Sequential scans in the plans of everything that a call selects, as the web role."""
    said: list[tuple[str, Any]] = []

    def listen(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        said.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen):
        call()
    count = 0
    for sql, params in said:
        if sql.lstrip().startswith(("SELECT", "WITH", "UPDATE")) and any(table in sql for table in TABLES):
            with rows.of(user.id), connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
                count += sum(found["Node Type"] == "Seq Scan" for found in _nodes(cursor.fetchone()[0][0]["Plan"]))
    return count


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)
