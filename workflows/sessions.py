"""
Sessions made, changed and removed, as the user they belong to.

A session is named by its root, whatever its version. Everything here runs under the web role: another's rows do not exist.

SessionError
  NotFound    there is no such session of this user's
  Conflict    somebody saved it meanwhile; nothing was overwritten
  Refused     it can't be done as it stands; the text says why
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import Q

from monitoring import audit
from monitoring.audit import Actor
from monitoring.models import User
from workflows import graph, rows
from workflows.graph import BadGraph
from workflows.models import WorkflowSession

Status = WorkflowSession.Status
DETAILS = ("name", "description", "tags", "folder", "is_favorite", "is_template", "trigger_settings")
GRACE_S = (0, 300)


class SessionError(Exception):
    """A session can't be changed as asked."""


class NotFound(SessionError):
    """There is no such session of this user's."""


class Conflict(SessionError):
    """Somebody saved it meanwhile."""


class Refused(SessionError):
    """It can't be done as it stands."""


@dataclass(frozen=True)
class Base:
    """The version, and the revision of it, that somebody's changes were made on; no revision means whatever it is."""

    version: int
    revision: int | None = None


def get(*, user: User, root: UUID, version: int | None = None) -> WorkflowSession:
    """
    One of this user's sessions, or anybody's template: its current version, or another.

    :raises NotFound: if there is none
    """
    of_version = Q(is_current_version=True) if version is None else Q(version=version)
    with rows.of(user.id):
        found = WorkflowSession.objects.filter(of_version, root_id=root).defer("search").first()
    if found is None:
        raise NotFound(f"there is no session {root}" + (f" with a version {version}" if version else ""))
    return found


def create(
    *, user: User, name: str, nodes: Any = (), edges: Any = (), viewport: Mapping[str, Any] | None = None, **details: Any
) -> WorkflowSession:
    """
    A new session, version 1, a draft.

    :raises BadGraph: if it isn't a graph at all, or too large
    :raises Refused: for details that can't be
    """
    nodes, edges = list(nodes), list(edges)
    _check_form(nodes, edges)
    values = cleaned({"name": name, **details})
    key = uuid4()
    with rows.of(user.id):
        return WorkflowSession.objects.create(
            id=key, root_id=key, user_id=user.id, nodes=nodes, edges=edges, viewport=viewport or {}, saved_by=user.get_username(), **values
        )


def update(*, user: User, root: UUID, base: Base, changes: Mapping[str, Any]) -> WorkflowSession:
    """
    Change the current version in place: details, or the graph itself.

    :raises Conflict: if it is not the version and revision that the changes were made on
    :raises BadGraph: if it isn't a graph; or it can't run and the session is active
    :raises Refused: for details that can't be
    """
    graph_keys = ("nodes", "edges", "viewport")
    values = cleaned({name: value for name, value in changes.items() if name not in graph_keys})
    with rows.of(user.id):
        session = locked(user=user, root=root, base=base)
        for name in graph_keys:
            setattr(session, name, changes.get(name, getattr(session, name)))
        for name, value in values.items():
            setattr(session, name, value)
        _check_form(session.nodes, session.edges)
        if session.status == Status.ACTIVE:
            set_trigger(session)
        session.revision += 1
        session.saved_by = user.get_username()
        session.save()
        return session


def mark(*, user: User, root: UUID, favorite: bool) -> None:
    """
    Favourite or not; it changes nothing that others could be editing.

    :raises NotFound: if there is no such session
    """
    with rows.of(user.id):
        own = WorkflowSession.objects.filter(user_id=user.id, root_id=root, is_current_version=True)
        if not own.update(is_favorite=favorite):
            raise NotFound(f"there is no session {root}")


def activate(*, user: User, root: UUID, now: datetime, actor: Actor) -> WorkflowSession:
    """
    Have it run at closes from now on.

    :raises BadGraph: if it can't run
    :raises Refused: if no close starts it
    """
    with transaction.atomic():
        with rows.of(user.id):
            session = locked(user=user, root=root)
            before = session.status
            set_trigger(session)
            session.status, session.status_reason, session.consecutive_errors, session.active_since = Status.ACTIVE, "", 0, now
            session.save()
        _audit(session, before, actor=actor, reason="", now=now)
    return session


def set_status(*, user: User, root: UUID, status: str, reason: str, now: datetime, actor: Actor) -> WorkflowSession:
    """
    Pause, archive, or make it a draft again; nothing starts it any more.

    :raises Refused: for any other status
    """
    if status not in (Status.DRAFT, Status.PAUSED, Status.ARCHIVED):
        raise Refused(f"status: was {status[:20]!r}, allowed are draft, paused and archived; an active one is activated")
    with transaction.atomic():
        with rows.of(user.id):
            session = locked(user=user, root=root)
            before = session.status
            session.status, session.status_reason, session.active_since = status, reason[:500], None
            session.save()
        _audit(session, before, actor=actor, reason=reason, now=now)
    return session


def duplicate(*, user: User, root: UUID, name: str = "") -> WorkflowSession:
    """A copy of its current version as a session of its own; of a template anybody's becomes one of this user's."""
    original = get(user=user, root=root)
    return create(
        user=user,
        name=(name or f"{original.name} (copy)")[:200],
        nodes=original.nodes,
        edges=original.edges,
        viewport=original.viewport,
        description=original.description,
        tags=original.tags,
        trigger_settings=original.trigger_settings,
        folder=original.folder if original.user_id == user.id else "",
    )


def delete(*, user: User, root: UUID, now: datetime, actor: Actor) -> None:
    """
    Remove it with all versions and executions.

    :raises Refused: while it is active
    """
    with transaction.atomic():
        with rows.of(user.id):
            session = locked(user=user, root=root)
            if session.status == Status.ACTIVE:
                raise Refused("it is active: pause it before it is deleted")
            own = WorkflowSession.objects.filter(user_id=user.id, root_id=root)
            own._raw_delete(own.db)  # its executions go by their key; Django would load them all
        _audit(session, session.status, actor=actor, reason="deleted", now=now, after="deleted")


def locked(*, user: User, root: UUID, base: Base | None = None) -> WorkflowSession:
    """
    The current version, held until the transaction ends; inside `rows.of` only.

    :raises NotFound: if there is none of this user's
    :raises Conflict: if `base` is not what is there
    """
    own = WorkflowSession.objects.defer("search").select_for_update().filter(user_id=user.id, root_id=root, is_current_version=True)
    # Somebody who saved a version while we waited has made another row the current one.
    session = own.first() or own.first()
    if session is None:
        raise NotFound(f"there is no session {root}")
    stale = base is not None and (base.version != session.version or base.revision not in (None, session.revision))
    if stale:
        raise Conflict(f"v{session.version} was saved by {session.saved_by} at {session.updated_at:%H:%M:%S}; nothing was overwritten")
    return session


def set_trigger(session: WorkflowSession) -> None:
    """
    Read out of the nodes what starts it.

    :raises BadGraph: if it can't run
    :raises Refused: if no close starts it, or more than one kind
    """
    triggers = graph.parse(session.nodes, session.edges).triggers()
    if not triggers:
        raise Refused("no close starts it: it has no candle close node")
    if len(triggers) > 1:
        raise Refused(f"more than one node starts it: {', '.join(node.label for node in triggers)}")
    [node] = triggers
    assert node.type.trigger_of is not None
    session.trigger_market, session.trigger_interval, symbols = node.type.trigger_of(node.settings)
    session.trigger_symbols = list(dict.fromkeys(symbols))


def cleaned(values: Mapping[str, Any]) -> dict[str, Any]:
    """
    Details as they are kept.

    :raises Refused: naming what can't be
    """
    if unknown := sorted(set(values) - set(DETAILS)):
        raise Refused(f"{unknown[0]}: it can't be changed like this")
    if any("\x00" in str(value) for value in values.values()):
        raise Refused("a text holds a NUL")
    found = dict(values)
    if "name" in found and not 1 <= len(str(found["name"]).strip()) <= 200:
        raise Refused("name: 1 to 200 characters are needed")
    if len(str(found.get("folder", ""))) > 120:
        raise Refused("folder: at most 120 characters")
    if len(str(found.get("description", ""))) > 20_000:
        raise Refused("description: at most 20,000 characters")
    if "tags" in found:
        found["tags"] = list(dict.fromkeys(str(tag).strip() for tag in found["tags"] if str(tag).strip()))
        if len(found["tags"]) > 20 or any(len(tag) > 40 for tag in found["tags"]):
            raise Refused("tags: at most 20, of at most 40 characters")
    grace = (found.get("trigger_settings") or {}).get("grace_s", 0)
    if isinstance(grace, bool) or not isinstance(grace, int | float) or not GRACE_S[0] <= grace <= GRACE_S[1]:
        raise Refused(f"trigger_settings.grace_s: {GRACE_S[0]} to {GRACE_S[1]} seconds")
    return found


def _check_form(nodes: Any, edges: Any) -> None:
    if problems := graph.check_form(nodes, edges):
        raise BadGraph(problems)


def _audit(session: WorkflowSession, before: str, *, actor: Actor, reason: str, now: datetime, after: str = "") -> None:
    audit.record(
        action="session_status",
        subject=("session", str(session.root_id)),
        actor=actor,
        now=now,
        reason=reason,
        before={"status": before, "name": session.name},
        after={"status": after or session.status, "version": session.version},
    )
