"""
One action at a time on a position: taken by a lease in real time, so that a worker that dies gives it back.

Busy   another action is at work, or the position is closed; the job comes back
"""

from __future__ import annotations

from django.db import connection

from positions.models import Position

LEASE_S = 60  # longer than any single wait for a venue; renewed between them

TAKE = """
UPDATE positions SET lease_until = now() + make_interval(secs => %s)
 WHERE id = %s AND status <> 'closed' AND (lease_until IS NULL OR lease_until < now()) RETURNING id
"""


class Busy(Exception):
    """Another action is at work on the position, or it is closed."""


def take(position: Position) -> None:
    """:raises Busy: if it can't be had now"""
    with connection.cursor() as cursor:
        cursor.execute(TAKE, [LEASE_S, position.id])
        if cursor.fetchone() is None:
            raise Busy(f"position {position.id} is closed, or another action is at work on it")


def renew(position: Position) -> None:
    """Keep it a while longer, for an action that has to wait for its venue."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE positions SET lease_until = now() + make_interval(secs => %s) WHERE id = %s", [LEASE_S, position.id])


def release(position: Position) -> None:
    """Give it back."""
    Position.objects.filter(id=position.id).update(lease_until=None)
