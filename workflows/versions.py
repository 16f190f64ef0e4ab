"""Versions of a session: saving, looking back, going back, and what changed from one to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from monitoring.models import User
from workflows import graph, rows, sessions
from workflows.graph import BadGraph
from workflows.models import WorkflowSession
from workflows.sessions import Base

COPIED = (
    "user_id", "name", "description",
    "trigger_settings", "trigger_market", "trigger_interval", "trigger_symbols", "status", "status_reason",
    "active_since", "consecutive_errors", "tags", "folder", "is_favorite", "is_template", "last_executed_at", "root_id",
)  # fmt: skip
LOOKS = ("position", "width", "height", "style", "measured", "selected", "dragging", "positionAbsolute")  # not what a node does


@dataclass(frozen=True)
class Change:
    """One difference: what (node or edge), which, and how; `fields` of a changed one with before and after."""

    what: str
    id: str
    label: str
    kind: str  # added, removed, changed or moved
    fields: Mapping[str, tuple[Any, Any]]


def create(
    *, user: User, root: UUID, base: Base, nodes: Any, edges: Any, viewport: Mapping[str, Any] | None = None, note: str = ""
) -> WorkflowSession:
    """
    Save a graph as the next version; the same graph again stays the version it is.

    :raises sessions.Conflict: if somebody saved another one meanwhile
    :raises BadGraph: if it isn't a graph; or it can't run and the session is active
    """
    if problems := graph.check_form(nodes, edges):
        raise BadGraph(problems)
    with rows.of(user.id):
        current = sessions.locked(user=user, root=root, base=Base(base.version))
        if (current.nodes, current.edges) == (nodes, edges):
            return current
        key = uuid4()
        new = WorkflowSession(
            id=key,
            parent_id=current.id,
            version=current.version + 1,
            nodes=nodes,
            edges=edges,
            viewport=current.viewport if viewport is None else dict(viewport),
            saved_by=user.get_username(),
            note=note[:200],
            **{name: getattr(current, name) for name in COPIED},
        )
        if new.status == WorkflowSession.Status.ACTIVE:
            sessions.set_trigger(new)
        WorkflowSession.objects.filter(id=current.id).update(
            is_current_version=False, status=WorkflowSession.Status.DRAFT, active_since=None
        )
        new.save(force_insert=True)
        return new


def history(*, user: User, root: UUID, limit: int = 50, offset: int = 0) -> list[WorkflowSession]:
    """Versions, the newest first, without their graphs."""
    with rows.of(user.id):
        found = WorkflowSession.objects.filter(user_id=user.id, root_id=root).order_by("-version")
        return list(found.defer("nodes", "edges", "viewport", "search")[offset : offset + limit])


def restore(*, user: User, root: UUID, version: int, base: Base) -> WorkflowSession:
    """
    Make an older version's graph the newest version; nothing in between is lost.

    :raises sessions.NotFound: if there is no such version
    """
    old = sessions.get(user=user, root=root, version=version)
    return create(
        user=user, root=root, base=base, nodes=old.nodes, edges=old.edges, viewport=old.viewport, note=f"restored from v{version}"
    )


def keep_last(*, user: User, root: UUID, count: int) -> int:
    """Delete all versions but the newest `count` and those that executions refer to; returns how many went."""
    if count < 1:
        raise sessions.Refused("count: at least 1 is kept")
    with rows.of(user.id):
        current = sessions.locked(user=user, root=root)
        old = WorkflowSession.objects.filter(
            user_id=user.id, root_id=root, version__lte=current.version - count, executions__isnull=True, is_current_version=False
        ).exclude(id=root)  # the first one names all of them
        ids = list(old.values_list("id", flat=True))
        gone = WorkflowSession.objects.filter(user_id=user.id, id__in=ids)
        return gone._raw_delete(gone.db)


def difference(before: WorkflowSession, after: WorkflowSession) -> list[Change]:
    """What changed between two versions: nodes and edges that came, went, moved, or do something else."""
    return [
        *_changes("node", before.nodes, after.nodes),
        *_changes("edge", before.edges, after.edges),
    ]


def _changes(what: str, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> list[Change]:
    old, new = {row["id"]: row for row in before}, {row["id"]: row for row in after}
    found = [Change(what, key, _name(old[key]), "removed", {}) for key in old if key not in new]
    found += [Change(what, key, _name(new[key]), "added", {}) for key in new if key not in old]
    for key, was in old.items():
        now = new.get(key, was)
        if now != was:
            fields = _fields(was, now)
            found.append(Change(what, key, _name(now), "changed" if fields else "moved", fields))
    return found


def _fields(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Every field that differs, by its dotted name; how a node looks is not told."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in sorted({*old, *new}):
        if old.get(key) == new.get(key) or (not prefix and key in LOOKS):
            continue
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            found |= _fields(a, b, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = (a, b)
    return found


def _name(row: Mapping[str, Any]) -> str:
    data = row.get("data")
    label = data.get("label") if isinstance(data, dict) else None
    return str(label or (f"{row['source']} → {row['target']}" if "source" in row else row["id"]))[:200]
