"""Workflows and their close ledger; disabling and enabling ask for a reason and record who."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from monitoring import clock, schedules
from monitoring.models import WorkflowRun, WorkflowSchedule

from .base import LogAdmin, RecordAdmin, actor_of, all_fields, join, link, list_link, page_link, tag

RUN_TONES = {"decided": "good", "skipped": "quiet", "failed": "bad", "late": "warn", "due": "info", "claimed": "info"}


class ReasonForm(forms.Form):
    """Why a person switches something."""

    reason = forms.CharField(
        min_length=schedules.SHORTEST_REASON, max_length=500, widget=forms.Textarea(attrs={"rows": 3, "autofocus": True})
    )


class StateFilter(admin.SimpleListFilter):
    """Active, stopped, or switched off by errors."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("active", "Active"), ("stopped", "Stopped"), ("errors", "Switched off by errors")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[WorkflowSchedule]) -> QuerySet[WorkflowSchedule]:
        match self.value():
            case "active":
                return queryset.filter(is_active=True)
            case "stopped":
                return queryset.filter(is_active=False)
            case "errors":
                return queryset.filter(is_active=False, stop_reason=WorkflowSchedule.StopReason.ERROR_LIMIT_EXCEEDED)
        return queryset


class EntityFilter(admin.SimpleListFilter):
    """The workflow of one signal or position, reached by a link."""

    title = "entity"
    parameter_name = "entity_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(request.GET["entity_id"], "this one")] if "entity_id" in request.GET else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[WorkflowSchedule]) -> QuerySet[WorkflowSchedule]:
        entity = self.value()
        return queryset.filter(entity_id=entity) if entity else queryset


@admin.register(WorkflowSchedule)
class WorkflowScheduleAdmin(RecordAdmin):
    """The state of every workflow."""

    owner_path = "user"
    list_display = ("workflow", "kind", "state_tag", "last_candle", "errors", "decisions", "trader_link", "stop", "more")
    list_filter = (StateFilter, "workflow_type", "interval", "trader", EntityFilter)
    search_fields = ("symbol", "trader__name", "last_error", "stop_note")
    list_select_related = ("trader",)
    when_field = "started_at"
    ordering = ("-is_active", "-started_at")
    actions = ("disable", "enable")
    readonly_fields = (*all_fields(WorkflowSchedule), "more")
    fields = readonly_fields

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("monitoring.view_workflowschedule") or self.has_steer_permission(request))

    def has_steer_permission(self, request: HttpRequest) -> bool:
        """Who may disable and enable."""
        return bool(request.user.has_perm("monitoring.change_workflowschedule"))

    @admin.action(description="Disable the chosen workflows…", permissions=["steer"])
    def disable(self, request: HttpRequest, chosen: QuerySet[WorkflowSchedule]) -> HttpResponse | None:
        return self._with_reason(request, chosen, "disable")

    @admin.action(description="Enable the chosen workflows…", permissions=["steer"])
    def enable(self, request: HttpRequest, chosen: QuerySet[WorkflowSchedule]) -> HttpResponse | None:
        return self._with_reason(request, chosen, "enable")

    def _with_reason(self, request: HttpRequest, chosen: QuerySet[WorkflowSchedule], action: str) -> HttpResponse | None:
        """First the page that asks why, then the change itself, one workflow at a time."""
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if not form.is_valid():
            context = {
                **self.admin_site.each_context(request),
                "title": f"{action.capitalize()} {chosen.count()} workflows",
                "form": form,
                "chosen": chosen,
                "action": action,
                "checkbox": ACTION_CHECKBOX_NAME,
                "opts": self.opts,
            }
            return TemplateResponse(request, "admin/monitoring/reason.html", context)
        actor = actor_of(request)
        change = schedules.disable if action == "disable" else schedules.enable
        done = 0
        for schedule in chosen:
            try:
                change(schedule_id=schedule.pk, reason=form.cleaned_data["reason"], actor=actor, now=clock.now())
                done += 1
            except schedules.ScheduleError as error:
                self.message_user(request, str(error), messages.WARNING)
        self.message_user(request, f"{done} workflows {action}d.", messages.SUCCESS)
        return None

    @admin.display(description="Workflow", ordering="symbol")
    def workflow(self, schedule: WorkflowSchedule) -> str:
        return f"{schedule.symbol} {schedule.interval}"

    @admin.display(description="Kind", ordering="workflow_type")
    def kind(self, schedule: WorkflowSchedule) -> str:
        return "Setup" if schedule.workflow_type == "signal_monitoring" else "Position"

    @admin.display(description="State", ordering="is_active")
    def state_tag(self, schedule: WorkflowSchedule) -> SafeString:
        if schedule.is_active:
            return tag("Active", "good")
        if schedule.stop_reason == WorkflowSchedule.StopReason.ERROR_LIMIT_EXCEEDED:
            return tag("Switched off", "bad")
        return tag("Stopped", "quiet")

    @admin.display(description="Last candle", ordering="last_candle_time")
    def last_candle(self, schedule: WorkflowSchedule) -> str:
        return f"{clock.at(schedule.last_candle_time):%m-%d %H:%M}" if schedule.last_candle_time else "–"

    @admin.display(description="Errors", ordering="consecutive_errors")
    def errors(self, schedule: WorkflowSchedule) -> str:
        return f"{schedule.consecutive_errors}/{schedules.ERROR_LIMIT}"

    @admin.display(description="Decisions", ordering="execution_count")
    def decisions(self, schedule: WorkflowSchedule) -> int:
        return schedule.execution_count

    @admin.display(description="Trader", ordering="trader__name")
    def trader_link(self, schedule: WorkflowSchedule) -> str | SafeString:
        return link(schedule.trader)

    @admin.display(description="Stopped because")
    def stop(self, schedule: WorkflowSchedule) -> str:
        return schedule.stop_note or schedule.get_stop_reason_display() or "–"

    @admin.display(description="Records")
    def more(self, schedule: WorkflowSchedule) -> SafeString:
        closes = list_link("monitoring_workflowrun", "closes", schedule__id__exact=schedule.pk)
        if schedule.workflow_type == "signal_monitoring":
            entity = list_link("monitoring_monitoringdecision", "decisions", signal__id__exact=schedule.entity_id)
        else:
            entity = list_link("positions_positionmanagementdecision", "decisions", position__id__exact=schedule.entity_id)
        return join((page_link("workflow", schedule.pk), closes, entity))


@admin.register(WorkflowRun)
class WorkflowRunAdmin(LogAdmin):
    """The close ledger: which closes were owed, and what came of each."""

    owner_path = "schedule__user"
    list_display = ("close", "workflow", "status_tag", "reason", "gap", "attempt", "delay", "finished_at")
    list_filter = ("status", "reason", "gap", "schedule__workflow_type", "schedule__interval")
    search_fields = ("schedule__symbol", "reason")
    list_select_related = ("schedule",)
    log_field = "created_at"

    @admin.display(description="Candle", ordering="candle_time")
    def close(self, run: WorkflowRun) -> str:
        return f"{clock.at(run.candle_time):%m-%d %H:%M}"

    @admin.display(description="Workflow")
    def workflow(self, run: WorkflowRun) -> str | SafeString:
        return link(run.schedule)

    @admin.display(description="Outcome", ordering="status")
    def status_tag(self, run: WorkflowRun) -> SafeString:
        return tag(run.get_status_display(), RUN_TONES[run.status])

    @admin.display(description="Close to decision", ordering="close_to_decision_ms")
    def delay(self, run: WorkflowRun) -> str:
        return "–" if run.close_to_decision_ms is None else f"{run.close_to_decision_ms / 1000:.2f} s"
