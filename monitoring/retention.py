"""Old rows out, in small batches that nobody waits for. What explains a decision or a trade is never removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from django.db import connection

from monitoring import clock, indicators

BATCH = 5_000
KEPT_CANDLES = indicators.WINDOW + 100  # of each stream, whatever their age: the next decision needs its window

STATEMENTS = {
    "candles": """
        DELETE FROM candles WHERE id IN (
            SELECT c.id FROM candles c
             WHERE c.open_time < %(before_ms)s
               AND c.open_time < (SELECT max(n.open_time) FROM candles n WHERE n.market = c.market AND n.symbol = c.symbol
                                     AND n.interval = c.interval) - %(kept)s * interval_ms(c.interval)
             LIMIT %(batch)s)""",
    "events": "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE at < %(before)s LIMIT %(batch)s)",
    "screenings": """
        DELETE FROM screenings WHERE id IN (
            SELECT id FROM screenings WHERE created_at < %(before)s AND status <> 'due' LIMIT %(batch)s)""",
    # Rows that led to a question are evidence; what was skipped, late or failed without one is only a note.
    "ledger": """
        DELETE FROM workflow_runs WHERE id IN (
            SELECT r.id FROM workflow_runs r
             WHERE r.created_at < %(before)s AND r.status IN ('skipped', 'failed', 'late')
               AND NOT EXISTS (SELECT 1 FROM signal_analyses a WHERE a.run_id = r.id)
             LIMIT %(batch)s)""",
    "reservations": """
        DELETE FROM budget_reservations WHERE id IN (
            SELECT id FROM budget_reservations WHERE granted_at < now() - %(age)s AND finished_at IS NOT NULL LIMIT %(batch)s)""",
    "failed jobs": """
        DELETE FROM django_q_task WHERE id IN (SELECT id FROM django_q_task WHERE stopped < now() - %(age)s LIMIT %(batch)s)""",
}


_others: dict[str, tuple[int, Callable[[datetime], int]]] = {}


def register(what: str, *, days: int, prune: Callable[[datetime], int]) -> None:
    """Have `prune(before)` remove rows of a higher floor, and return how many; `days` is how long they are usually kept."""
    _others[what] = (days, prune)


def others() -> Mapping[str, tuple[int, Callable[[datetime], int]]]:
    """What higher floors have registered: usual days, and the way to prune."""
    return _others


def prune(what: str, *, before: datetime, now: datetime) -> int:
    """
    Remove rows of one kind (a key of STATEMENTS) from before a moment; returns how many.

    Every batch commits by itself, so that it can be stopped at any time.
    """
    arguments: dict[str, Any] = {
        "before": before,
        "before_ms": clock.to_ms(before),
        "kept": KEPT_CANDLES,
        "batch": BATCH,
        "age": now - before,
    }
    removed = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(STATEMENTS[what], arguments)
            removed += cursor.rowcount
            if cursor.rowcount < BATCH:
                return removed
