"""Sessions and executions in the admin: to read, and to stop. They are changed in their editor."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, cast

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from monitoring.admin.base import OwnedAdmin, RecordAdmin, page_link, pretty, sees_all, tag
from monitoring.models import User
from workflows import rows
from workflows.models import WorkflowExecution, WorkflowSession

TONES = {"active": "good", "paused": "warn", "draft": "quiet", "archived": "quiet", "running": "info", "completed": "good", "failed": "bad"}


class SecuredRows(QuerySet[Any]):
    """Rows that are fetched as somebody: the role lasts for the query alone, since the page around it looks at other tables."""

    look: Callable[[], AbstractContextManager[None]] = rows.reader

    def _clone(self) -> SecuredRows:
        clone: SecuredRows = super()._clone()  # type: ignore[misc]
        clone.look = self.look
        return clone

    def _fetch_all(self) -> None:
        with self.look():
            super()._fetch_all()

    def count(self) -> int:
        with self.look():
            return super().count()

    def exists(self) -> bool:
        with self.look():
            return super().exists()


class SecuredAdmin(RecordAdmin):
    """Row-level security gives people their own rows and the templates, and those who may see everything all to read."""

    owner_path = OwnedAdmin.EVERYBODY  # PostgreSQL decides

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        found = SecuredRows(self.model)
        found.look = rows.reader if sees_all(request.user) else partial(rows.of, cast("User", request.user).id)
        return found.order_by(*self.get_ordering(request))


@admin.register(WorkflowSession)
class SessionAdmin(SecuredAdmin):
    ordering = ("-updated_at",)
    list_display = ("name", "version", "state", "folder", "updated_at", "last_executed_at", "page")
    list_filter = ("status", "is_current_version", "is_template")
    search_fields = ("name", "description")
    fields = ("name", "version", "state", "status_reason", "description", "tags", "folder", "trigger_market", "trigger_interval",
              "trigger_symbols", "saved_by", "note", "created_at", "updated_at", "last_executed_at", "graph_shown")  # fmt: skip
    readonly_fields = fields

    @admin.display(description="status", ordering="status")
    def state(self, row: WorkflowSession) -> SafeString:
        return tag(row.status, TONES.get(row.status, "quiet"))

    @admin.display(description="editor")
    def page(self, row: WorkflowSession) -> SafeString:
        return page_link("session_editor", row.root_id, "editor")

    @admin.display(description="graph")
    def graph_shown(self, row: WorkflowSession) -> SafeString:
        return pretty(row.graph)


@admin.register(WorkflowExecution)
class ExecutionAdmin(SecuredAdmin):
    ordering = ("-started_at",)
    list_display = ("started_at", "state", "version", "trigger", "duration", "nodes_executed", "error_message")
    list_filter = ("status", "trigger")
    fields = ("session_id", "version", "trigger", "is_trial", "state", "started_at", "finished_at", "duration", "interval", "candle_time",
              "missing", "nodes_executed", "error_message", "errors", "outputs_shown")  # fmt: skip
    readonly_fields = fields

    @admin.display(description="status", ordering="status")
    def state(self, row: WorkflowExecution) -> SafeString:
        return tag(row.status, TONES.get(row.status, "quiet"))

    @admin.display(description="outputs")
    def outputs_shown(self, row: WorkflowExecution) -> SafeString:
        return pretty(row.outputs)
