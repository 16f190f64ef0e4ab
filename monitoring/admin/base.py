"""What the admin classes share: read-only evidence, links between records, tags, and lists that stay fast when large."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from monitoring.audit import Actor

from .logs import EstimatingPaginator, LogList, MonthOrDay, RecentValues


class OwnedAdmin(admin.ModelAdmin):
    """
    Whoever may not see everything sees their own rows.

    `owner_path` leads to the user that a row belongs to; empty when rows are of no user and only for those who see
    all; EVERYBODY for what is public on the market anyway.
    """

    EVERYBODY = "*"
    owner_path = ""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if self.owner_path == self.EVERYBODY or sees_all(request.user):
            return rows
        return rows.filter(**{self.owner_path: request.user}) if self.owner_path else rows.none()


class RecordAdmin(OwnedAdmin):
    """A table that the admin shows and never changes."""

    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # counts of everything that could be filtered
    paginator = EstimatingPaginator
    change_list_template = "admin/record_list.html"
    when_field = ""

    def get_list_filter(self, request: HttpRequest) -> Any:
        declared = [self._quick(name) for name in super().get_list_filter(request)]
        return [(self.when_field, MonthOrDay), *declared] if self.when_field else declared

    def _quick(self, declared: Any) -> Any:
        """Free text is filtered by the values of the newest rows; what has choices offers those."""
        field = self.opts.get_field(declared) if isinstance(declared, str) and "__" not in declared else None
        is_free = isinstance(field, models.CharField | models.TextField) and not field.choices
        return (declared, RecentValues) if is_free else declared

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class LogAdmin(RecordAdmin):
    """A table that grows without end, listed by `log_field`, the newest first; there is an index in that order."""

    log_field = ""
    sortable_by = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.when_field, cls.ordering = cls.log_field, (f"-{cls.log_field}",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LogList


class KeptAdmin(OwnedAdmin):
    """A table that may be changed, but whose rows are never deleted: history hangs on them."""

    list_per_page = 50

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def sees_all(user: Any) -> bool:
    """Whether somebody may see what belongs to others, here and on the live feed."""
    return bool(user.has_perm("monitoring.view_event"))


def actor_of(request: HttpRequest) -> Actor:
    """The person behind a request, for the audit log."""
    return Actor(request.user.get_username(), "web", user_id=request.user.pk, address=request.META.get("REMOTE_ADDR"))


def link(target: models.Model | None, text: str = "") -> str | SafeString:
    """A link to a record's own page."""
    if target is None:
        return "–"
    name = f"admin:{target._meta.app_label}_{target._meta.model_name}_change"
    return format_html('<a href="{}">{}</a>', reverse(name, args=[target.pk]), text or str(target))


def page_link(name: str, key: Any, text: str = "page") -> SafeString:
    """A link to the desk's own page of a record, by the name of its route, which lies on a higher floor."""
    return format_html('<a href="{}">{}</a>', reverse(f"desk:{name}", args=[key]), text)


def list_link(model: str, text: str, **filters: Any) -> SafeString:
    """A link to a list, filtered; `model` is app_model, which may lie on a higher floor."""
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    return format_html('<a href="{}?{}">{}</a>', reverse(f"admin:{model}_changelist"), query, text)


def join(parts: Iterable[SafeString]) -> SafeString:
    """Links side by side."""
    return format_html_join(" · ", "{}", ((part,) for part in parts))


def tag(text: str, tone: str) -> SafeString:
    """A coloured word; tones are good, bad, warn, info and quiet."""
    return format_html('<span class="tag-{}">{}</span>', tone, text)


def pretty(value: Any) -> SafeString:
    """JSON or text as it was stored, for reading."""
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return format_html('<pre class="evidence">{}</pre>', text or "–")


def number(value: Decimal | None, digits: int = 8) -> str:
    """A decimal without trailing zeros, to some significant digits."""
    return "–" if value is None else f"{value:,.{digits}g}".rstrip(".") if abs(value) < 1 else f"{value:,.4f}".rstrip("0").rstrip(".")


def all_fields(model: type[models.Model], *, without: Iterable[str] = ()) -> list[str]:
    """Names of all concrete fields, for a read-only page."""
    left_out = set(without)
    return [field.name for field in model._meta.concrete_fields if field.name not in left_out]
