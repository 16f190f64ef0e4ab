"""
Who looks at sessions and executions: PostgreSQL's own row-level security, set for a block of one transaction.

Outside such a block nobody sees a row, the tables' owner included: what forgets to say who it is finds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import connection, transaction

WEB, JOBS, READER = "desk_web", "desk_jobs", "desk_reader"
BECOME = "SELECT set_config('app.user_id', %s, true), set_config('role', %s, true)"
WHO = "SELECT coalesce(current_setting('app.user_id', true), ''), current_setting('role')"


@contextmanager
def of(user_id: UUID) -> Iterator[None]:
    """Only this user's rows, and everybody's templates to read."""
    with _role(WEB, str(user_id)):
        yield


@contextmanager
def system() -> Iterator[None]:
    """Every row, for the background jobs."""
    with _role(JOBS, ""):
        yield


@contextmanager
def reader() -> Iterator[None]:
    """Every row to read and none to write, for people who may see all."""
    with _role(READER, ""):
        yield


@contextmanager
def _role(role: str, user_id: str) -> Iterator[None]:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(WHO)
            before = cursor.fetchone()
            cursor.execute(BECOME, [user_id, role])
        yield
        # Only reached without an error: PostgreSQL takes the settings back itself when the block is rolled back.
        with connection.cursor() as cursor:
            cursor.execute(BECOME, before)
