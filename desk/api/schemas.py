"""The shapes that go in and out. Times are ISO 8601 in UTC, durations in ms, money as text."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from ninja import Field, Schema

from workflows import executions
from workflows.executions import Short
from workflows.models import WorkflowExecution, WorkflowSession
from workflows.versions import Change

Json = dict[str, Any]


class SessionLine(Schema):
    """A session without its graph, with figures of its newest 100 executions. `id` names it through all versions."""

    id: UUID
    name: str
    description: str
    version: int
    revision: int
    status: str
    status_reason: str
    tags: list[str]
    folder: str
    is_favorite: bool
    is_template: bool
    is_own: bool
    trigger_interval: str
    trigger_symbols: list[str]
    trigger_settings: Json
    saved_by: str
    note: str
    created_at: datetime
    updated_at: datetime
    last_executed_at: datetime | None
    runs: int = 0
    failed: int = 0
    mean_ms: float | None = None


class SessionOut(SessionLine):
    """A session with its graph, and what keeps it from running."""

    nodes: list[Json]
    edges: list[Json]
    viewport: Json
    problems: list[Json]


class ListOf(Schema):
    """Filters of a list; archived ones show only when asked for. A part of it: `limit` from `offset` on."""

    status: str | None = None
    tag: list[str] = []
    folder: str | None = None
    favorite: bool | None = None
    template: bool | None = None
    text: str = ""
    order: str = "updated"
    limit: int = Field(50, ge=1, le=100)
    offset: int = Field(0, ge=0)


class SessionPage(Schema):
    """A part of a list, and how many there are in all."""

    items: list[SessionLine]
    total: int


class Details(Schema):
    """What can be changed without touching the graph; what is left out stays."""

    name: str | None = None
    description: str | None = None
    tags: list[str] | None = None
    folder: str | None = None
    is_favorite: bool | None = None
    is_template: bool | None = None
    trigger_settings: Json | None = None


class NewSession(Details):
    """A session to make."""

    name: str
    nodes: list[Json] = []
    edges: list[Json] = []
    viewport: Json = {}


class Changes(Details):
    """Changes in place of the version and revision that they were made on."""

    version: int
    revision: int | None = None
    nodes: list[Json] | None = None
    edges: list[Json] | None = None
    viewport: Json | None = None


class NewVersion(Schema):
    """A graph to save as the next version after the one it was made on."""

    version: int
    nodes: list[Json]
    edges: list[Json]
    viewport: Json | None = None
    note: str = Field("", max_length=200)


class Restore(Schema):
    """`base` is the current version that somebody looked at when they wanted the other back."""

    base: int


class NewStatus(Schema):
    """active, paused, archived or draft."""

    status: Literal["active", "paused", "archived", "draft"]
    reason: str = Field("", max_length=500)


class Named(Schema):
    """A name for a copy."""

    name: str = Field("", max_length=200)
    trader: UUID | None = None


class GraphIn(Schema):
    """A graph to look at."""

    nodes: list[Json]
    edges: list[Json]


class Difference(Schema):
    """One difference; `fields` has before and after by dotted name."""

    what: str
    id: str
    label: str
    kind: str
    fields: dict[str, list[Any]]

    @staticmethod
    def of(change: Change) -> Difference:
        return Difference(
            what=change.what,
            id=change.id,
            label=change.label,
            kind=change.kind,
            fields={key: list(pair) for key, pair in change.fields.items()},
        )


class TemplateLine(Schema):
    """A template; those that come with the desk have a word as key, shared ones a UUID."""

    key: str
    name: str
    description: str
    tags: list[str]
    is_shipped: bool


class StartIn(Schema):
    """How to run it: a trial raises no signal and tells nobody."""

    version: int | None = None
    is_trial: bool = True


class ExecutionLine(Schema):
    """An execution without what its nodes gave."""

    id: UUID
    session: UUID
    version: int
    trigger: str
    is_trial: bool
    status: str
    interval: str
    candle_time: int | None
    missing: list[str]
    nodes_executed: int
    error_message: str
    errors: list[Json]
    started_at: datetime
    finished_at: datetime | None
    duration_ms: float | None


class ExecutionOut(ExecutionLine):
    """An execution with what its nodes gave, by node id."""

    outputs: Json
    node_runs: Json
    graph: Json


class Statistics(Schema):
    """Of the newest thousand executions."""

    runs: int
    completed: int
    failed: int
    success_rate: float | None
    mean_ms: float | None
    p95_ms: float | None
    slowest_node: str
    slowest_ms: float | None


class Count(Schema):
    """How many went."""

    count: int


def line(session: WorkflowSession, *, user_id: UUID, figures: Short | None = None) -> Json:
    """A session for a list."""
    figures = figures or Short()
    names = [name for name in SessionLine.model_fields if name not in ("id", "is_own", "runs", "failed", "mean_ms")]
    own = {"id": session.root_id, "is_own": session.user_id == user_id}
    return {
        **own,
        **{name: getattr(session, name) for name in names},
        "runs": figures.runs,
        "failed": figures.failed,
        "mean_ms": figures.mean_ms,
    }


def run_line(execution: WorkflowExecution) -> Json:
    """An execution for a list."""
    names = [name for name in ExecutionLine.model_fields if name not in ("session", "duration_ms")]
    return {
        "session": execution.root_id,
        "duration_ms": executions.duration_ms(execution),
        **{name: getattr(execution, name) for name in names},
    }
