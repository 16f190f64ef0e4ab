"""Executions over HTTP."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router

from desk.api import schemas
from desk.api.auth import CHANGE, VIEW, caller
from desk.api.schemas import Json
from monitoring import clock
from workflows import executions

router = Router()
Limit, Offset = Query(50, ge=1, le=100), Query(0, ge=0)


@router.get("", response=list[schemas.ExecutionLine])
def list_executions(
    request: HttpRequest, session: UUID | None = None, status: str | None = None, limit: int = Limit, offset: int = Offset
) -> list[Json]:
    """One's own executions, the newest first."""
    found = executions.find(user=caller(request, VIEW), root=session, status=status, limit=limit, offset=offset)
    return [schemas.run_line(execution) for execution in found]


@router.get("/slow", response=list[schemas.ExecutionLine])
def list_slow(request: HttpRequest, over_ms: int = Query(10_000, ge=0), limit: int = Limit) -> list[Json]:
    """Those that took longer, the slowest first."""
    found = executions.slow(user=caller(request, VIEW), over=timedelta(milliseconds=over_ms), limit=limit)
    return [schemas.run_line(execution) for execution in found]


@router.get("/{execution_id}", response=schemas.ExecutionOut)
def get_execution(request: HttpRequest, execution_id: UUID) -> Json:
    """One with what its nodes gave so far."""
    found = executions.get(user=caller(request, VIEW), execution_id=execution_id)
    return {**schemas.run_line(found), "outputs": found.outputs, "node_runs": found.node_runs, "graph": found.graph}


@router.post("/{execution_id}/cancel", response=schemas.ExecutionLine)
def cancel_execution(request: HttpRequest, execution_id: UUID) -> Json:
    """Stop it: nodes at work end by themselves, no other begins."""
    user = caller(request, CHANGE)
    executions.cancel(user=user, execution_id=execution_id, now=clock.now())
    return schemas.run_line(executions.get(user=user, execution_id=execution_id))
