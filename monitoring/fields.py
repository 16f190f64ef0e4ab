"""Columns that several tables share: exact numbers, keys, and defaults that also hold for rows written by SQL."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib.postgres.functions import RandomUUID
from django.db import models


class NumericField(models.DecimalField):
    """
    PostgreSQL `numeric` without a fixed scale: what is stored is what was computed, to the last digit.

    Forms still bound the input to 38 digits, 18 of them after the point.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.update(max_digits=38, decimal_places=18)
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_digits"], kwargs["decimal_places"]
        return name, path, args, kwargs

    def db_type(self, connection: Any) -> str:
        return "numeric"

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return value if hasattr(value, "resolve_expression") else self.to_python(value)

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        return value if hasattr(value, "resolve_expression") else self.to_python(value)


class AppNow(models.Func):
    """The app clock inside PostgreSQL, so that a row inserted by SQL is dated like one written by the desk."""

    function = "app_now"
    template = "%(function)s()"
    output_field = models.DateTimeField()
    allowed_default = True


def uuid_key() -> models.UUIDField:
    """A random UUID primary key that SQL inserts get as well."""
    return models.UUIDField(primary_key=True, default=uuid.uuid4, db_default=RandomUUID(), editable=False)


def created_at() -> models.DateTimeField:
    """App time at which the row was written."""
    return models.DateTimeField(db_default=AppNow(), editable=False)


def json_list(**options: Any) -> models.JSONField:
    """A JSON array, empty unless given."""
    return models.JSONField(default=list, blank=True, db_default=models.Value([], models.JSONField()), **options)


def json_object(**options: Any) -> models.JSONField:
    """A JSON object, empty unless given."""
    return models.JSONField(default=dict, blank=True, db_default=models.Value({}, models.JSONField()), **options)


def text(**options: Any) -> models.TextField:
    """Text that is empty rather than null."""
    return models.TextField(default="", blank=True, db_default="", **options)
