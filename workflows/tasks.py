"""Jobs that django-q runs: each translates its arguments and makes one call."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from workflows import execute


def run_session(*, execution_id: str, **_: Any) -> None:
    """Carry out an execution."""
    execute.execute(UUID(execution_id))
