"""Which records of a kind somebody may see on the desk's own pages: the same as in the admin."""

from __future__ import annotations

from typing import Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from monitoring.admin.base import sees_all

Row = TypeVar("Row", bound=Model)


def visible(rows: QuerySet[Row], request: HttpRequest, *, owner: str) -> QuerySet[Row]:
    """
    The rows that the request's user may see; `owner` leads to the user a row belongs to.

    :raises PermissionDenied: without the permission to view records of this kind at all
    """
    options: Any = rows.model._meta
    if not request.user.has_perm(f"{options.app_label}.view_{options.model_name}"):
        raise PermissionDenied
    return rows if sees_all(request.user) else rows.filter(**{owner: request.user})
