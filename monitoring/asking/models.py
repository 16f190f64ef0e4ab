"""The models of this installation: what ships with the desk, and the operator's own file over it."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from functools import cache
from pathlib import Path

from django.conf import settings

from config import env
from monitoring.analyst.catalog import BadCatalog, Catalog, Endpoint


def catalog() -> Catalog:
    """
    All models that are known.

    :raises BadCatalog: naming the file and the entry that is wrong
    """
    default = Endpoint(
        base_url=settings.LLM_BASE_URL,
        api_key=settings.LLM_API_KEY,
        headers=(),
        max_concurrency=settings.LLM_MAX_CONCURRENCY,
        requests_per_minute=settings.LLM_REQUESTS_PER_MINUTE,
    )
    return _read(tuple(settings.LLM_FILES), default)


@cache
def _read(files: tuple[Path, ...], default: Endpoint) -> Catalog:
    raw = {}
    for path in files:
        try:
            with path.open("rb") as file:
                raw[str(path)] = tomllib.load(file, parse_float=Decimal)
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise BadCatalog(f"{path}: {error}") from error
    return Catalog(raw, default=default, secret=env.secret)
