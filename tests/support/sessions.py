"""Graphs and sessions for tests."""

from __future__ import annotations

from typing import Any

from monitoring.models import Trader, User
from workflows import sessions
from workflows.models import WorkflowSession

Json = dict[str, Any]


def node(key: str, kind: str, **settings: Any) -> Json:
    return {"id": key, "type": kind, "position": {"x": 0, "y": 0}, "data": {"label": key, "settings": settings}}


def edge(source: str, target: str, output: str | None = None, into: str | None = None) -> Json:
    return {"id": f"{source}-{target}", "source": source, "target": target, "sourceHandle": output, "targetHandle": into}


def graph_of(*, symbols: tuple[str, ...] = ("BTCUSDT",), above: float = 0.0, trader: Trader | None = None) -> Json:
    """A close, a filter on it, and a signal where a trader is given."""
    nodes = [
        node("close", "candle_close", market="binance", symbols=list(symbols), interval="5m"),
        node("high", "filter", conditions=[{"field": "close", "operator": "gt", "value": above}]),
    ]
    edges = [edge("close", "high")]
    if trader:
        nodes.append(node("signal", "create_signal", trader=str(trader.id), side="long", reasons="{symbol} at {close}"))
        edges.append(edge("high", "signal", "passed"))
    return {"nodes": nodes, "edges": edges}


def make_session(user: User, *, name: str = "A session", graph: Json | None = None, **details: Any) -> WorkflowSession:
    return sessions.create(user=user, name=name, **(graph or graph_of()), **details)
