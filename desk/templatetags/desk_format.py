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


@register.filter
def figure(value: Any) -> str:
    """A figure of a table: thousands set apart, no trailing zeros, a dash where there is none."""
    if value is None:
        return "–"
    return f"{value.normalize():,f}" if isinstance(value, Decimal) else f"{value:,}"


@register.simple_tag(takes_context=True)
def query(context: Any, key: str = "", value: str = "", **changes: str) -> str:
    """The page's query string with some of its values changed; a download is never carried along."""
    chosen = context["request"].GET.copy()
    chosen.pop("csv", None)
    for name, new in {**({key: value} if key else {}), **changes}.items():
        chosen[name] = new
    return str(chosen.urlencode())
