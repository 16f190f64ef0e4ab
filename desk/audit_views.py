"""The audit log as a page: who changed what, when, from where, before and after, and why."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.dateparse import parse_date
from django.views.decorators.http import require_GET

from monitoring.models import AuditLog

PAGE = 100
EXACT = ("action", "actor", "source", "subject_type")


@require_GET
@staff_member_required
@permission_required("monitoring.view_auditlog", raise_exception=True)
def page(request: HttpRequest) -> HttpResponse:
    """The newest entries that fit, a page at a time by key: as quick at the end of a long log as at its beginning."""
    wanted = {name: request.GET.get(name, "").strip() for name in (*EXACT, "since", "until", "text")}
    found = _filtered(wanted)
    before = request.GET.get("before", "")
    if before:
        if not before.isdigit() or len(before) > 18:
            raise BadRequest("before: the number of an entry is needed")
        found = found.filter(id__lt=int(before))
    rows = list(found.order_by("-id")[: PAGE + 1])
    older = rows[PAGE - 1].id if len(rows) > PAGE else None
    context: dict[str, Any] = {"rows": [_shown(row) for row in rows[:PAGE]], "wanted": wanted, "older": older}
    for name in ("action", "source", "subject_type"):
        context[f"{name}s"] = AuditLog.objects.order_by(name).values_list(name, flat=True).distinct()
    return render(request, "desk/audit.html", context)


def _filtered(wanted: dict[str, str]) -> QuerySet[AuditLog]:
    """:raises BadRequest: for a date that is none"""
    found = AuditLog.objects.filter(**{name: wanted[name] for name in EXACT if wanted[name]})
    for name, operator, days in (("since", "gte", 0), ("until", "lt", 1)):
        if wanted[name]:
            found = found.filter(**{f"at__{operator}": _day(wanted[name], name) + timedelta(days=days)})
    return found.filter(reason__icontains=wanted["text"]) if wanted["text"] else found


def _day(text: str, name: str) -> datetime:
    try:
        day = parse_date(text)
    except ValueError:
        day = None
    if day is None:
        raise BadRequest(f"{name}: a date like 2026-11-22 is needed")
    return datetime.fromisoformat(f"{day.isoformat()}T00:00:00+00:00")


def _shown(row: AuditLog) -> dict[str, Any]:
    """An entry with what differs between before and after, field by field."""
    fields = sorted({*row.before, *row.after})
    changes = [(name, row.before.get(name), row.after.get(name)) for name in fields if row.before.get(name) != row.after.get(name)]
    return {"entry": row, "changes": changes}
