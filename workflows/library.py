"""Finding one's sessions: filtered, searched while somebody types, in order, in pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db.models import F, QuerySet

from monitoring.models import User
from workflows import rows
from workflows.models import WorkflowSession
from workflows.sessions import Refused

Status = WorkflowSession.Status
ORDERS: dict[str, tuple[Any, ...]] = {
    "updated": ("-updated_at", "id"),
    "name": ("name", "id"),
    "created": ("-created_at", "id"),
    "executed": (F("last_executed_at").desc(nulls_last=True), "id"),
}
MOST_PER_PAGE = 100


@dataclass(frozen=True)
class Wanted:
    """Filters of a list; None means whatever. Archived ones show only when asked for."""

    status: str | None = None
    tags: Sequence[str] = ()
    folder: str | None = None
    favorite: bool | None = None
    template: bool | None = None
    text: str = ""
    order: str = "updated"


@dataclass(frozen=True)
class Page:
    """A part of a list, and how many there are in all."""

    sessions: tuple[WorkflowSession, ...]
    total: int


def find(*, user: User, wanted: Wanted | None = None, limit: int = 50, offset: int = 0) -> Page:
    """
    Current versions of this user's sessions, without their graphs.

    :raises Refused: for an order that does not exist
    """
    wanted = wanted or Wanted()
    if wanted.order not in ORDERS:
        raise Refused(f"order: was {wanted.order!r}, allowed are {', '.join(ORDERS)}")
    with rows.of(user.id):
        found = _filtered(WorkflowSession.objects.filter(user_id=user.id, is_current_version=True), wanted)
        total = found.count()
        order = ORDERS[wanted.order]
        if words := query(wanted.text):
            found = found.annotate(rank=SearchRank(F("search"), words))
            order = ("-rank", *order)
        page = found.order_by(*order).defer("nodes", "edges", "viewport", "search")
        return Page(tuple(page[offset : offset + min(limit, MOST_PER_PAGE)]), total)


def folders(*, user: User) -> list[str]:
    """Names of the folders that this user's sessions are in."""
    return _distinct(user, "folder")


def tags(*, user: User) -> list[str]:
    """Tags of this user's sessions."""
    with rows.of(user.id):
        used = WorkflowSession.objects.filter(user_id=user.id, is_current_version=True).values_list("tags", flat=True)
        return sorted({tag for of_one in used for tag in of_one})


def query(text: str) -> SearchQuery | None:
    """Words, or beginnings of them, that all have to occur. No word is too common: people search while they type."""
    words = re.findall(r"\w+", text.lower())[:10]
    return SearchQuery(" & ".join(f"'{word}':*" for word in words), search_type="raw", config="simple") if words else None


def _filtered(found: QuerySet[WorkflowSession], wanted: Wanted) -> QuerySet[WorkflowSession]:
    found = found.filter(status=wanted.status) if wanted.status else found.exclude(status=Status.ARCHIVED)
    if wanted.tags:
        found = found.filter(tags__contains=list(wanted.tags))
    if wanted.folder is not None:
        found = found.filter(folder=wanted.folder)
    if wanted.favorite is not None:
        found = found.filter(is_favorite=wanted.favorite)
    if wanted.template is not None:
        found = found.filter(is_template=wanted.template)
    words = query(wanted.text)
    return found.filter(search=words) if words else found


def _distinct(user: User, column: str) -> list[str]:
    with rows.of(user.id):
        own = WorkflowSession.objects.filter(user_id=user.id, is_current_version=True).exclude(**{column: ""})
        return list(own.values_list(column, flat=True).distinct().order_by(column))
