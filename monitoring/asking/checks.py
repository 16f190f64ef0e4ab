"""Said when a process starts, not when the first question goes out: a file of models that can't be used, a model without a price."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error

from monitoring.analyst.catalog import BadCatalog
from monitoring.asking import models


def check_models(**_: Any) -> list[CheckMessage]:
    """The catalog can be read, and the usual model can be asked."""
    try:
        catalog = models.catalog()
    except BadCatalog as error:
        return [Error(f"LLM_MODELS_FILE: {error}", id="monitoring.E001")]
    if settings.LLM_MODEL and not catalog.spec(settings.LLM_MODEL).is_priced:
        hint = "Give it one in LLM_MODELS_FILE, 0 for a local model: see docs/analyst.md."
        return [checks.Warning(f"LLM_MODEL {settings.LLM_MODEL} has no price and is not asked", hint=hint, id="monitoring.W001")]
    return []
