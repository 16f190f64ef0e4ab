"""
Typed readers of the process environment: the only place that touches `os.environ`.

Every reader names the variable and what it allows when the value is wrong, so that a bad
value stops the start instead of surfacing hours later.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}


def text(name: str, *, default: str = "") -> str:
    """The value as it stands, or `default` when the variable is unset or empty."""
    return os.environ.get(name, "").strip() or default


def secret(name: str, *, default: str = "") -> str:
    """A secret from `NAME`, or from the file that `NAME_FILE` points to; an unreadable file is an error."""
    path = text(f"{name}_FILE")
    if not path:
        return text(name, default=default)
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE: {path} can't be read: {error.strerror}") from error


def boolean(name: str, *, default: bool) -> bool:
    """1/true/yes/on or 0/false/no/off, in any case."""
    value = text(name).lower()
    if not value:
        return default
    if value not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name} is {value!r}; allowed are 1, true, yes, on and 0, false, no, off")
    return value in TRUE


def integer(name: str, *, default: int, minimum: int, maximum: int) -> int:
    """A whole number within the bounds, both included."""
    value = text(name)
    if not value:
        return default
    try:
        number = int(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is {value!r}; a whole number is needed") from error
    if not minimum <= number <= maximum:
        raise ImproperlyConfigured(f"{name} is {number}; allowed is {minimum} to {maximum}")
    return number


def decimal(name: str, *, default: str, minimum: str) -> Decimal:
    """A finite decimal number of at least `minimum`."""
    value = text(name, default=default)
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise ImproperlyConfigured(f"{name} is {value!r}; a decimal number is needed") from error
    if not number.is_finite() or number < Decimal(minimum):
        raise ImproperlyConfigured(f"{name} is {value!r}; at least {minimum} is needed")
    return number


def choice(name: str, *, default: str, allowed: Collection[str]) -> str:
    """One of the allowed words."""
    value = text(name, default=default)
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} is {value!r}; allowed are {', '.join(sorted(allowed))}")
    return value


def url(name: str, *, default: str, schemes: Collection[str]) -> str:
    """An absolute URL of one of the schemes, without a trailing slash; empty stays empty."""
    value = text(name, default=default).rstrip("/")
    if not value:
        return ""
    parts = urlsplit(value)
    if parts.scheme not in schemes or not parts.hostname:
        raise ImproperlyConfigured(f"{name} is {value!r}; a URL with {' or '.join(sorted(schemes))} is needed")
    return value


def words(name: str, *, default: str = "") -> list[str]:
    """A comma-separated list, blanks dropped."""
    return [word.strip() for word in text(name, default=default).split(",") if word.strip()]


def pairs(name: str) -> dict[str, str]:
    """A comma-separated list of NAME=VALUE, as OpenTelemetry writes headers; secret, so it may stand in a file."""
    found = {}
    for part in secret(name).split(","):
        key, sign, value = part.partition("=")
        if part.strip() and not (sign and key.strip()):
            raise ImproperlyConfigured(f"{name} has {part.strip()[:20]!r}…; NAME=VALUE is needed, separated by commas")
        if part.strip():
            found[key.strip()] = value.strip()
    return found


def generated_secret(path: Path) -> str:
    """The random secret kept in `path`, readable by its owner only and made on first use by whoever comes first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    if not path.exists():
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(50))
        try:
            os.link(draft, path)  # atomic, and fails when another process was first: all read the same secret
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
