"""Gets JSON from an allowed host and adds one of its numbers to every row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field

from .contract import Call, NodeFailed, NodeType, Port, Settings, Value
from .fields import FieldName


def _url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.password or "{" in parts.netloc:
        raise ValueError("an https address with a fixed host and without a password is needed")
    return url


class HttpGet(Settings):
    """
    The address, where the number is in the answer (keys and places, joined by dots), and the field it is kept in.

    {symbol} in the path or the query is put in for each row. Which hosts are allowed is a setting of the installation.
    """

    url: Annotated[str, AfterValidator(_url), Field(max_length=1000)]
    path: Annotated[str, Field(max_length=200)] = ""
    field: FieldName = "fetched"


def run(call: Call) -> Mapping[str, Value]:
    """Each address is asked once for all rows."""
    settings, known = call.settings, {}
    done = []
    for row in call.rows():
        url = settings.url.replace("{symbol}", quote(row.symbol, safe=""))
        if url not in known:
            known[url] = _number(call.context.fetch(url), settings.path)
        done.append(row.having({settings.field: known[url]}))
    return {"rows": done}


def _number(found: object, path: str) -> float:
    for step in path.split(".") if path else ():
        if isinstance(found, dict) and step in found:
            found = found[step]
        elif isinstance(found, list) and step.lstrip("-").isdigit() and -len(found) <= int(step) < len(found):
            found = found[int(step)]
        else:
            raise NodeFailed(f"path: there is no {step[:60]!r} in the answer")
    try:
        number = float(found)  # type: ignore[arg-type]  # whatever it is, it becomes a number or the node fails
    except (TypeError, ValueError) as error:
        raise NodeFailed(f"path: {str(found)[:60]!r} is no number") from error
    if not abs(number) < 1e30:
        raise NodeFailed(f"path: {number} is out of all bounds")
    return number


NODE = NodeType(
    "http_get", "HTTP GET", "data", "A number from an allowed host", HttpGet, run, inputs=(Port("rows"),), outputs=(Port("rows"),)
)
