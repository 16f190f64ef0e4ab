"""Sessions to begin with: those that come with the desk, as files, and those that users share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from monitoring.models import Trader, User
from workflows import rows, sessions
from workflows.models import WorkflowSession

HERE = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class Shipped:
    """A template that comes with the desk. `key` is its file's name."""

    key: str
    name: str
    description: str
    tags: tuple[str, ...]
    nodes: list[dict[str, Any]]
    edges: list[dict[str, Any]]


@cache
def shipped() -> tuple[Shipped, ...]:
    """All of them, by name."""
    found = []
    for path in sorted(HERE.glob("*.json")):
        raw = json.loads(path.read_text())
        found.append(Shipped(path.stem, raw["name"], raw["description"], tuple(raw["tags"]), raw["nodes"], raw["edges"]))
    return tuple(found)


def shared(*, user: User) -> list[WorkflowSession]:
    """What users have made templates, one's own included."""
    with rows.of(user.id):
        found = WorkflowSession.objects.filter(is_template=True, is_current_version=True).exclude(status=WorkflowSession.Status.ARCHIVED)
        return list(found.order_by("name", "id").defer("nodes", "edges", "viewport", "search"))


def use(*, user: User, key: str, name: str = "", trader_id: UUID | None = None) -> WorkflowSession:
    """
    A session of this user's made from a template: the name of a shipped one, or the root of a shared one.

    :param trader_id: one of the user's traders, for whom its signals are to be; of a shipped one it also says the market and symbols
    :raises sessions.NotFound: if there is none
    """
    own = next((template for template in shipped() if template.key == key), None)
    if own is None:
        try:
            root = UUID(key)
        except ValueError as error:
            raise sessions.NotFound(f"there is no template {key[:60]!r}") from error
        return sessions.duplicate(user=user, root=root, name=name or sessions.get(user=user, root=root).name)
    nodes = json.loads(json.dumps(own.nodes))
    trader = Trader.objects.filter(user=user, id=trader_id).first() if trader_id else None
    if trader and any(node["type"] == "create_signal" for node in nodes):
        for node in nodes:
            settings = node["data"]["settings"]
            if node["type"] == "create_signal":
                settings |= {"trader": str(trader.id), "side": trader.side}
            elif node["type"] == "candle_close":
                settings |= {"market": trader.market, "symbols": list(trader.symbols), "interval": trader.interval}
    return sessions.create(user=user, name=name or own.name, nodes=nodes, edges=own.edges, description=own.description, tags=list(own.tags))
