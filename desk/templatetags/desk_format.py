"""Filters of the desk's templates."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template

from monitoring import clock

register = template.Library()


@register.filter
def moment(ms: int) -> datetime:
    """A moment in ms as an aware time."""
    return clock.at(ms)


@register.filter
def pretty_json(value: Any) -> str:
    """JSON for reading."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@register.filter
def plain(value: Decimal | None) -> str:
    """A number without trailing zeros and without an exponent; a dash where there is none."""
    return "–" if value is None else f"{value.normalize():f}"


@register.filter
def plain_field(value: Decimal | str | None) -> str:
    """The same to begin a form's field with."""
    return f"{value.normalize():f}" if isinstance(value, Decimal) else value or ""
