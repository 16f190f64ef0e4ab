"""Settings that several types of nodes share, with their bounds."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from monitoring import indicators
from monitoring.feed.contract import MARKETS
from monitoring.intervals import LENGTH_MS

FIELD = re.compile(r"^[a-z][a-z0-9_]{0,63}$")
SYMBOL = re.compile(r"^[A-Za-z0-9._:/-]{1,128}$")


def _market(name: str) -> str:
    if name not in MARKETS:
        raise ValueError(f"was {name[:40]!r}, allowed are {', '.join(MARKETS)}")
    return name


def _interval(name: str) -> str:
    if name not in LENGTH_MS:
        raise ValueError(f"was {name[:40]!r}, allowed are {', '.join(LENGTH_MS)}")
    return name


def _symbol(name: str) -> str:
    if not SYMBOL.match(name):
        raise ValueError(f"{name[:40]!r} is no symbol")
    return name


def field_name(name: str) -> str:
    """:raises ValueError: if it can't be the name of a field"""
    if not FIELD.match(name):
        raise ValueError(f"{name[:40]!r} is no field: small letters, digits and _ are allowed, a letter first")
    return name


def _indicator(name: str) -> str:
    indicators.parse(name)
    return name


Market = Annotated[str, AfterValidator(_market), Field(json_schema_extra={"enum": list(MARKETS)})]
Interval = Annotated[str, AfterValidator(_interval), Field(json_schema_extra={"enum": list(LENGTH_MS)})]
Symbol = Annotated[str, AfterValidator(_symbol)]
FieldName = Annotated[str, AfterValidator(field_name)]
Indicator = Annotated[str, AfterValidator(_indicator)]
Side = Literal["long", "short"]
