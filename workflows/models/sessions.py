"""Sessions: each row is one version of somebody's graph; the versions of a graph share their root."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import F, Func, Q, Value

from monitoring import fields, intervals

NONE = Value([], ArrayField(models.TextField()))  # an empty array


class SearchText(Func):
    """Name, tags, labels of nodes and description as a weighted tsvector; the function is made by the first migration."""

    function = "session_search"
    output_field = SearchVectorField()
    allowed_default = True


class WorkflowSession(models.Model):
    """
    One version of a graph, in React Flow's own format; unknown keys are kept.

    `root` names the graph through all its versions. `trigger_*` are read out of the nodes: the closes that start an active one.
    Uniqueness and keys hold the owner, so that nothing of another's rows shows through them.
    """

    class Status(models.TextChoices):
        DRAFT = "draft"
        ACTIVE = "active"
        PAUSED = "paused"
        ARCHIVED = "archived"

    id = fields.uuid_key()
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="workflow_sessions")
    name = models.CharField(max_length=200)
    description = fields.text()
    nodes = fields.json_list()
    edges = fields.json_list()
    viewport = fields.json_object()
    trigger_settings = fields.json_object(help_text='{"grace_s": 10}: how long a close waits for the symbols that are missing.')
    trigger_market = models.CharField(max_length=32, blank=True, default="", db_default="", editable=False)
    trigger_interval = models.CharField(max_length=8, choices=intervals.CHOICES, blank=True, default="", db_default="", editable=False)
    trigger_symbols = ArrayField(models.CharField(max_length=128), default=list, db_default=NONE, blank=True, editable=False)
    watched_tokens = ArrayField(
        models.CharField(max_length=128), default=list, db_default=NONE, blank=True, editable=False
    )  # of Polymarket, seen last
    version = models.PositiveIntegerField(default=1, db_default=1)
    revision = models.PositiveIntegerField(default=1, db_default=1)  # of this version, counted up by every change in place
    root = models.ForeignKey("self", on_delete=models.DO_NOTHING, related_name="versions", db_constraint=False)
    parent = models.ForeignKey("self", on_delete=models.DO_NOTHING, null=True, blank=True, related_name="+", db_constraint=False)
    is_current_version = models.BooleanField(default=True, db_default=True)
    status = models.CharField(max_length=16, choices=Status, default=Status.DRAFT, db_default=Status.DRAFT)
    status_reason = fields.text()
    active_since = models.DateTimeField(null=True, blank=True, editable=False)
    consecutive_errors = models.PositiveIntegerField(default=0, db_default=0)
    tags = ArrayField(models.CharField(max_length=40), default=list, db_default=NONE, blank=True)
    folder = models.CharField(max_length=120, blank=True, default="", db_default="")
    is_favorite = models.BooleanField(default=False, db_default=False)
    is_template = models.BooleanField(default=False, db_default=False)
    saved_by = models.CharField(max_length=150, blank=True, default="", db_default="", editable=False)
    note = models.CharField(max_length=200, blank=True, default="", db_default="")  # what changed in this version
    search = models.GeneratedField(
        expression=SearchText(F("name"), F("description"), F("tags"), F("nodes")), output_field=SearchVectorField(), db_persist=True
    )
    created_at = fields.created_at()
    updated_at = models.DateTimeField(db_default=fields.AppNow(), editable=False)  # kept by a trigger
    last_executed_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        db_table = "workflow_sessions"
        constraints = [
            models.UniqueConstraint(fields=["id", "user"], name="session_of_a_user"),  # what the owner's keys refer to
            models.UniqueConstraint(fields=["user", "root", "version"], name="session_version_once"),
            models.UniqueConstraint(fields=["user", "root"], condition=Q(is_current_version=True), name="session_one_current"),
            models.CheckConstraint(condition=~Q(name=""), name="session_has_a_name"),
            models.CheckConstraint(condition=Q(version__gte=1, revision__gte=1), name="session_counts_from_one"),
            models.CheckConstraint(condition=~Q(status="active") | Q(is_current_version=True), name="session_only_the_current_is_active"),
        ]
        indexes = [
            models.Index(fields=["user", "-updated_at", "id"], condition=Q(is_current_version=True), name="session_library"),
            models.Index(fields=["user", "name"], condition=Q(is_current_version=True), name="session_by_name"),
            models.Index(fields=["user", "folder"], condition=Q(is_current_version=True), name="session_by_folder"),
            models.Index(fields=["is_template"], condition=Q(is_template=True, is_current_version=True), name="session_templates"),
            models.Index(fields=["trigger_market", "trigger_interval"], condition=Q(status="active"), name="session_active"),
            GinIndex(fields=["tags"], name="session_tags"),
            GinIndex(fields=["search"], name="session_search_words"),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    @property
    def graph(self) -> dict[str, Any]:
        """Nodes and edges as they are kept and exported."""
        return {"nodes": self.nodes, "edges": self.edges, "viewport": self.viewport}
