"""Sessions over HTTP: every route makes one call of the service layer."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router, Status

from desk.api import schemas
from desk.api.auth import CHANGE, VIEW, actor, caller
from desk.api.schemas import Json
from monitoring import clock
from monitoring.models import User
from workflows import executions, graph, library, sessions, templates, versions
from workflows.library import Wanted
from workflows.models import WorkflowSession
from workflows.nodes import NODE_TYPES
from workflows.sessions import Base

router = Router()
Limit, Offset = Query(50, ge=1, le=100), Query(0, ge=0)


def _whole(session: WorkflowSession, user: User) -> Json:
    found = schemas.line(session, user_id=user.id)
    problems = [problem.as_json() for problem in graph.check(session.nodes, session.edges)]
    return {**found, "nodes": session.nodes, "edges": session.edges, "viewport": session.viewport, "problems": problems}


def _given(data: Any) -> Json:
    """What was sent, without what was left out."""
    return {name: value for name, value in data.dict(exclude_unset=True).items() if value is not None}


@router.get("", response=schemas.SessionPage)
def list_sessions(request: HttpRequest, asked: Query[schemas.ListOf]) -> Json:
    """One's own sessions, filtered and in order."""
    user = caller(request, VIEW)
    wanted = Wanted(asked.status, asked.tag, asked.folder, asked.favorite, asked.template, asked.text, asked.order)
    page = library.find(user=user, wanted=wanted, limit=asked.limit, offset=asked.offset)
    figures = executions.of_many(user=user, roots=[session.root_id for session in page.sessions])
    items = [schemas.line(found, user_id=user.id, figures=figures.get(found.root_id)) for found in page.sessions]
    return {"items": items, "total": page.total}


@router.post("", response={201: schemas.SessionOut})
def create_session(request: HttpRequest, data: schemas.NewSession) -> Status[Json]:
    """Make a session; it is a draft."""
    user = caller(request, CHANGE)
    return Status(201, _whole(sessions.create(user=user, **_given(data)), user))


@router.get("/node-types")
def list_node_types(request: HttpRequest) -> list[Json]:
    """Every type of node, with its ports and the JSON schema of its settings."""
    caller(request, VIEW)
    return [kind.described() for kind in NODE_TYPES.values()]


@router.post("/check")
def check_graph(request: HttpRequest, data: schemas.GraphIn) -> Json:
    """What keeps a graph from running; nothing is kept."""
    caller(request, VIEW)
    return {"problems": [problem.as_json() for problem in graph.check(data.nodes, data.edges)]}


@router.get("/templates", response=list[schemas.TemplateLine])
def list_templates(request: HttpRequest) -> list[Json]:
    """Those that come with the desk, and those that users share."""
    user = caller(request, VIEW)
    own = [{**vars(found), "tags": list(found.tags), "is_shipped": True} for found in templates.shipped()]
    shared = [
        {"key": str(found.root_id), "name": found.name, "description": found.description, "tags": found.tags, "is_shipped": False}
        for found in templates.shared(user=user)
    ]
    return own + shared


@router.post("/templates/{key}/use", response={201: schemas.SessionOut})
def use_template(request: HttpRequest, key: str, data: schemas.Named) -> Status[Json]:
    """A session of one's own made from a template."""
    user = caller(request, CHANGE)
    return Status(201, _whole(templates.use(user=user, key=key, name=data.name, trader_id=data.trader), user))


@router.get("/{root}", response=schemas.SessionOut)
def get_session(request: HttpRequest, root: UUID, version: int | None = None) -> Json:
    """A session with its graph: the current version, or another."""
    user = caller(request, VIEW)
    return _whole(sessions.get(user=user, root=root, version=version), user)


@router.patch("/{root}", response=schemas.SessionOut)
def change_session(request: HttpRequest, root: UUID, data: schemas.Changes) -> Json:
    """Change it in place; 409 when somebody saved it meanwhile."""
    user, changes = caller(request, CHANGE), _given(data)
    base = Base(changes.pop("version"), changes.pop("revision", None))
    return _whole(sessions.update(user=user, root=root, base=base, changes=changes), user)


@router.delete("/{root}", response={204: None})
def delete_session(request: HttpRequest, root: UUID) -> Status[None]:
    """Delete it with all versions and executions; an active one is refused."""
    sessions.delete(user=caller(request, CHANGE), root=root, now=clock.now(), actor=actor(request))
    return Status(204, None)


@router.post("/{root}/duplicate", response={201: schemas.SessionOut})
def duplicate_session(request: HttpRequest, root: UUID, data: schemas.Named) -> Status[Json]:
    """A copy of its current version."""
    user = caller(request, CHANGE)
    return Status(201, _whole(sessions.duplicate(user=user, root=root, name=data.name), user))


@router.put("/{root}/favorite", response={204: None})
def mark_favorite(request: HttpRequest, root: UUID, favorite: bool) -> Status[None]:
    """Favourite or not."""
    sessions.mark(user=caller(request, CHANGE), root=root, favorite=favorite)
    return Status(204, None)


@router.put("/{root}/status", response=schemas.SessionOut)
def set_status(request: HttpRequest, root: UUID, data: schemas.NewStatus) -> Json:
    """Activate, pause, archive, or make it a draft again."""
    user, now = caller(request, CHANGE), clock.now()
    if data.status == "active":
        return _whole(sessions.activate(user=user, root=root, now=now, actor=actor(request)), user)
    return _whole(sessions.set_status(user=user, root=root, status=data.status, reason=data.reason, now=now, actor=actor(request)), user)


@router.get("/{root}/versions", response=list[schemas.SessionLine])
def list_versions(request: HttpRequest, root: UUID, limit: int = Limit, offset: int = Offset) -> list[Json]:
    """Its versions, the newest first."""
    user = caller(request, VIEW)
    return [schemas.line(found, user_id=user.id) for found in versions.history(user=user, root=root, limit=limit, offset=offset)]


@router.post("/{root}/versions", response=schemas.SessionOut)
def save_version(request: HttpRequest, root: UUID, data: schemas.NewVersion) -> Json:
    """Save a graph as the next version; the same graph again stays the version it is."""
    user = caller(request, CHANGE)
    made = versions.create(
        user=user, root=root, base=Base(data.version), nodes=data.nodes, edges=data.edges, viewport=data.viewport, note=data.note
    )
    return _whole(made, user)


@router.post("/{root}/versions/{version}/restore", response=schemas.SessionOut)
def restore_version(request: HttpRequest, root: UUID, version: int, data: schemas.Restore) -> Json:
    """An older version's graph as the newest version."""
    user = caller(request, CHANGE)
    return _whole(versions.restore(user=user, root=root, version=version, base=Base(data.base)), user)


@router.get("/{root}/versions/{version}/difference", response=list[schemas.Difference])
def get_difference(request: HttpRequest, root: UUID, version: int, to: int | None = None) -> list[schemas.Difference]:
    """What changed from one version to another, or to the current one."""
    user = caller(request, VIEW)
    before, after = (sessions.get(user=user, root=root, version=number) for number in (version, to))
    return [schemas.Difference.of(change) for change in versions.difference(before, after)]


@router.delete("/{root}/versions", response=schemas.Count)
def clear_versions(request: HttpRequest, root: UUID, keep: int = Query(..., ge=1)) -> Json:
    """Delete old versions but the newest `keep`, and those that ran."""
    return {"count": versions.keep_last(user=caller(request, CHANGE), root=root, count=keep)}


@router.get("/{root}/statistics", response=schemas.Statistics)
def get_statistics(request: HttpRequest, root: UUID) -> Json:
    """Figures of its newest executions."""
    found = executions.statistics(user=caller(request, VIEW), root=root)
    return {**vars(found), "success_rate": found.success_rate}


@router.post("/{root}/executions", response={202: schemas.ExecutionLine})
def start_execution(request: HttpRequest, root: UUID, data: schemas.StartIn) -> Status[Json]:
    """Run it now; the answer comes at once, a worker does it."""
    user = caller(request, CHANGE)
    trigger = "api" if request.headers.get("Authorization") else "manual"
    made = executions.start(user=user, root=root, version=data.version, is_trial=data.is_trial, trigger=trigger)
    return Status(202, schemas.run_line(executions.get(user=user, execution_id=made.id)))
