"""
Graphs in React Flow's own JSON: what a valid one is, and the order in which it runs. Pure.

A node is {"id", "type", "position", "data": {"label", "settings"}}, an edge {"id", "source", "target", "sourceHandle",
"targetHandle"}; a handle names a port, and none means the first. Keys that are not known here are kept and passed by.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from workflows.nodes import NODE_TYPES
from workflows.nodes.contract import ANY, NodeType, Port

MOST_NODES, MOST_EDGES, MOST_BYTES = 500, 2000, 1_000_000


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where; `node` and `field` are empty when it is the graph's own."""

    text: str
    node: str = ""
    field: str = ""

    def __str__(self) -> str:
        where = ", ".join(part for part in (f"node {self.node}" if self.node else "", self.field) if part)
        return f"{where}: {self.text}" if where else self.text

    def as_json(self) -> dict[str, str]:
        """For the editor."""
        return {"node": self.node, "field": self.field, "text": self.text}


class BadGraph(ValueError):
    """A graph that can't run; `problems` holds everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(str(problem) for problem in problems[:5]))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Node:
    """A node that can run, with its settings read."""

    id: str
    type: NodeType
    label: str
    settings: BaseModel


@dataclass(frozen=True)
class Edge:
    """From an output port of one node to an input port of another."""

    source: str
    output: str
    target: str
    input: str


@dataclass(frozen=True)
class Graph:
    """Nodes in an order that respects the edges. Notes are left out: they do nothing."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def into(self, node: str) -> list[Edge]:
        """Edges that end at a node."""
        return [edge for edge in self.edges if edge.target == node]

    def triggers(self) -> list[Node]:
        """Nodes that a close starts."""
        return [node for node in self.nodes if node.type.trigger_of is not None]


def parse(nodes: Any, edges: Any) -> Graph:
    """
    A graph that can run.

    :raises BadGraph: with everything that is wrong
    """
    found, problems = _read(nodes, edges)
    if problems:
        raise BadGraph(problems)
    assert found is not None
    return found


def check(nodes: Any, edges: Any) -> list[Problem]:
    """Everything that keeps a graph from running."""
    return _read(nodes, edges)[1]


def check_form(nodes: Any, edges: Any) -> list[Problem]:
    """What keeps a graph from being saved: drafts may be unfinished, but they have to be graphs, and bounded."""
    problems = _sizes(nodes, edges)
    return problems or [*_ids(nodes, "node"), *_ids(edges, "edge"), *_dangling(nodes, edges)]


def labels(nodes: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """What people call the nodes, by id."""
    return {str(node.get("id")): _label(node) for node in nodes}


def _read(nodes: Any, edges: Any) -> tuple[Graph | None, list[Problem]]:
    problems = check_form(nodes, edges)
    if problems:
        return None, problems
    made = {node["id"]: _node(node, problems) for node in nodes}
    links = _links(edges, made, problems)
    for node in made.values():
        if node:
            problems += _ports(node, links)
    order = _order(list(made), links)
    if order is None:
        return None, [*problems, *_cycle(list(made), links)]
    if not problems and not any(node and node.type.is_start for node in made.values()):
        problems.append(Problem("nothing starts it: a candle close or a manual start is needed"))
    running = tuple(node for node in (made[key] for key in order) if node and node.type.runs)
    return Graph(running, tuple(links)), problems


def _sizes(nodes: Any, edges: Any) -> list[Problem]:
    for rows, name, most in ((nodes, "nodes", MOST_NODES), (edges, "edges", MOST_EDGES)):
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            return [Problem("a list of objects is needed", field=name)]
        if len(rows) > most:
            return [Problem(f"there are {len(rows)}, at most {most} are allowed", field=name)]
    try:
        size = len(json.dumps([nodes, edges], allow_nan=False))
    except (ValueError, RecursionError) as error:
        return [Problem(f"it can't be kept as JSON: {error}")]
    if size > MOST_BYTES:
        return [Problem(f"it has {size} bytes, at most {MOST_BYTES} are allowed")]
    if "\\u0000" in json.dumps([nodes, edges]):
        return [Problem("a text holds a NUL")]
    return []


def _ids(rows: Sequence[Mapping[str, Any]], what: str) -> list[Problem]:
    seen: set[str] = set()
    problems = []
    for number, row in enumerate(rows, start=1):
        key = row.get("id")
        if not isinstance(key, str) or not key or len(key) > 100:
            problems.append(Problem(f"{what} {number} has no id of 1 to 100 characters", field="id"))
        elif key in seen:
            problems.append(Problem(f"another {what} has the id {key!r}", node=key if what == "node" else "", field="id"))
        seen.add(str(key))
    return problems


def _dangling(nodes: Sequence[Mapping[str, Any]], edges: Sequence[Mapping[str, Any]]) -> list[Problem]:
    known = {node.get("id") for node in nodes if isinstance(node.get("id"), str)}
    return [
        Problem(f"edge {edge.get('id')!r} leads {way} {str(edge.get(end))[:100]!r}, which is not there", field=end)
        for edge in edges
        for end, way in (("source", "from"), ("target", "to"))
        if not isinstance(edge.get(end), str) or edge[end] not in known
    ]


def _node(raw: Mapping[str, Any], problems: list[Problem]) -> Node | None:
    key, kind = raw["id"], NODE_TYPES.get(str(raw.get("type")))
    if kind is None:
        problems.append(Problem(f"the type {str(raw.get('type'))[:60]!r} is not known; it is kept, but can't run", node=key, field="type"))
        return None
    data = raw.get("data")
    settings = data.get("settings", {}) if isinstance(data, dict) else {}
    try:
        return Node(key, kind, _label(raw), kind.settings.model_validate(settings))
    except ValidationError as error:
        for wrong in error.errors():
            field = ".".join(str(part) for part in wrong["loc"])
            problems.append(Problem(wrong["msg"].removeprefix("Value error, "), node=key, field=field))
        return None


def _label(raw: Mapping[str, Any]) -> str:
    data = raw.get("data")
    label = data.get("label") if isinstance(data, dict) else None
    return str(label or raw.get("type") or raw.get("id"))[:200]


def _links(edges: Sequence[Mapping[str, Any]], made: Mapping[str, Node | None], problems: list[Problem]) -> list[Edge]:
    links = []
    for raw in edges:
        source, target = made[raw["source"]], made[raw["target"]]
        output, into = _port(source, raw.get("sourceHandle"), outputs=True), _port(target, raw.get("targetHandle"), outputs=False)
        for node, port, way in ((source, output, "output"), (target, into, "input")):
            if node and port is None:
                handle = raw.get("sourceHandle" if way == "output" else "targetHandle")
                problems.append(Problem(f"it has no {way} {str(handle)[:60]!r}" if handle else f"it has no {way}", node=node.id))
        if output and into and ANY not in (output.kind, into.kind) and output.kind != into.kind:
            problems.append(Problem(f"{into.name} takes {into.kind}, {raw['source']} gives {output.kind}", node=raw["target"]))
        links.append(Edge(raw["source"], output.name if output else "", raw["target"], into.name if into else ""))
    return links


def _port(node: Node | None, handle: Any, *, outputs: bool) -> Port | None:
    if node is None:
        return None
    ports = node.type.outputs if outputs else node.type.inputs
    return next((port for port in ports if not handle or port.name == handle), None)


def _ports(node: Node, links: Sequence[Edge]) -> list[Problem]:
    problems = []
    for port in node.type.inputs:
        count = sum(link.target == node.id and link.input == port.name for link in links)
        if port.is_required and not count:
            problems.append(Problem("nothing is connected to it", node=node.id, field=port.name))
        if count > 1 and not port.takes_many:
            problems.append(Problem("only one connection is allowed", node=node.id, field=port.name))
    return problems


def _order(nodes: Sequence[str], links: Sequence[Edge]) -> list[str] | None:
    """Kahn's order, the given one among those that are free, so that the same graph always runs the same way; None with a cycle."""
    waiting = {node: {link.source for link in links if link.target == node} for node in nodes}
    followers: dict[str, list[str]] = {node: [] for node in nodes}
    for link in links:
        followers[link.source].append(link.target)
    ready, order = [node for node in nodes if not waiting[node]], []
    while ready:
        node = ready.pop(0)
        order.append(node)
        for follower in dict.fromkeys(followers[node]):
            waiting[follower].discard(node)
            if not waiting[follower]:
                ready.append(follower)
    return order if len(order) == len(nodes) else None


def _cycle(nodes: Sequence[str], links: Sequence[Edge]) -> list[Problem]:
    """Names the nodes of one cycle: those that are left when everything outside has been taken away from both ends."""
    left = set(nodes)
    while True:
        inner = [link for link in links if link.source in left and link.target in left]
        fewer = {link.source for link in inner} & {link.target for link in inner}
        if fewer == left:
            break
        left = fewer
    names = [node for node in nodes if node in left]
    return [Problem(f"it is part of a cycle: {' → '.join(names[:6])}", node=names[0])]
