"""Graphs: what is valid, what is named when it isn't, the order they run in, and what a failing node does to the others."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.indicators import Window
from workflows import graph, running
from workflows.nodes import NODE_TYPES
from workflows.nodes.contract import Call, NodeFailed, Row, Start
from workflows.running import Limits
from workflows.templates import shipped

SETTINGS: dict[str, dict[str, Any]] = {
    "candle_close": {"symbols": ["BTCUSDT"]},
    "manual": {"symbols": ["BTCUSDT"]},
    "indicators": {"names": ["rsi_14"]},
    "filter": {"conditions": [{"field": "x", "operator": "gt", "value": 1}]},
    "rank": {"field": "x"},
    "analyst_question": {"question": "?"},
    "create_signal": {"trader": "00000000-0000-0000-0000-000000000001"},
    "http_get": {"url": "https://example.com/"},
}


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda x: st.lists(x) | st.dictionaries(st.text(), x),
)


def node(key: str, kind: str = "filter", **settings: Any) -> dict[str, Any]:
    return {"id": key, "type": kind, "position": {"x": 0, "y": 0}, "data": {"label": key, "settings": settings or SETTINGS.get(kind, {})}}


def edge(source: str, target: str, output: str | None = None, into: str | None = None) -> dict[str, Any]:
    return {"id": f"{source}-{target}-{output}", "source": source, "target": target, "sourceHandle": output, "targetHandle": into}


class World:
    """A context that knows one market, where every symbol's x is its place."""

    is_trial = True

    def __init__(self, start: Start | None = None) -> None:
        self.start = start or Start(at_ms=0)
        self.fetched: list[str] = []

    def newest(self, *, market: str, symbols: Sequence[str], interval: str) -> Mapping[str, int]:
        return dict.fromkeys(symbols, 0)

    def windows(self, rows: Sequence[Row], *, interval: str) -> Mapping[Any, Window]:
        return {}

    def fetch(self, url: str) -> Any:
        self.fetched.append(url)
        return {"rates": [{"usd": "1.25"}]}


def chain(*kinds: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    keys = [f"{kind}{number}" for number, kind in enumerate(kinds)]
    return [node(key, kind) for key, kind in zip(keys, kinds, strict=True)], [edge(a, b) for a, b in itertools.pairwise(keys)]


def given_rows(*rows: Row, kind: str, **settings: Any) -> dict[str, Any]:
    """Outputs of one node that these rows come into."""
    found = NODE_TYPES[kind]
    assert found.run is not None
    world: Any = World()
    return dict(found.run(Call("n", found.settings.model_validate(settings), {"rows": rows}, world)))


class TestValidity:
    @pytest.mark.parametrize(
        ("nodes", "edges", "expected"),
        [
            ([node("a", "candle_close"), node("a")], [], ("a", "id", "another node")),
            ([node("a", "candle_close")], [edge("a", "b")], ("", "target", "'b', which is not there")),
            ([node("a", "candle_close"), node("f"), node("g")], [edge("a", "f"), edge("f", "g"), edge("g", "f")],
             ("f", "", "cycle: f → g")),
            ([node("a", "candle_close", symbols=[])], [], ("a", "symbols", "at least 1")),
            ([node("a", "candle_close", symbols=["BTC USDT"])], [], ("a", "symbols.0", "is no symbol")),
            ([node("a", "candle_close", symbols=["X"], interval="7m")], [], ("a", "interval", "allowed are 1m")),
            ([node("a", "candle_close"), node("f", conditions=[{"field": "x", "operator": "like", "value": 1}])], [edge("a", "f")],
             ("f", "conditions", "was 'like', allowed are gt")),
            ([node("a", "candle_close"), node("i", "indicators", names=["rsi_9999"])], [edge("a", "i")], ("i", "names.0", "rsi_9999")),
            ([node("a", "candle_close"), node("f")], [], ("f", "rows", "nothing is connected")),
            ([node("a", "candle_close"), node("f")], [edge("a", "f", "nope")], ("a", "", "no output 'nope'")),
            ([node("a", "candle_close"), node("s", "create_signal"), node("f")], [edge("a", "s"), edge("s", "f")], ("f", "", "takes rows")),
            ([node("a", "candle_close"), node("n", "note")], [edge("a", "n")], ("n", "", "has no input")),
            ([node("z", "somebody_elses")], [], ("z", "type", "is not known")),
            ([node("n", "note")], [], ("", "", "nothing starts it")),
            ([node("h", "http_get", url="http://10.0.0.1/")], [], ("h", "url", "https")),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_named_with_its_node_and_field(self, nodes: Any, edges: Any, expected: tuple[str, str, str]) -> None:
        problems = graph.check(nodes, edges)
        place, field, text = expected
        assert any((p.node, p.field) == (place, field) and text in p.text for p in problems), problems

    @pytest.mark.parametrize(
        ("nodes", "edges"),
        [(None, []), ({}, []), ([1], []), ([{}], []), ([{"id": 1}], []), ([], [{"id": "e"}]), ([node("a")] * 501, []), ([node("a")], "x"),
         ([{"id": "a", "type": "note", "data": {"settings": {"text": "x" * 1_100_000}}}], []), ([{"id": "a\x00"}], []),
         ([{"id": "a", "n": float("nan")}], [])],
    )  # fmt: skip
    def test_what_is_no_graph_is_refused_even_as_a_draft(self, nodes: Any, edges: Any) -> None:
        assert graph.check_form(nodes, edges)

    def test_drafts_may_be_unfinished_and_of_somebody_elses_types(self) -> None:
        nodes = [node("a", "somebody_elses", whatever=1), {"id": "b"}]
        assert graph.check_form(nodes, []) == []

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda x: st.lists(x) | st.dictionaries(st.text(), x),
        )
    )
    def test_any_json_is_checked_without_falling_over(self, value: Any) -> None:
        graph.check(value, [])
        graph.check([{"id": "a", "type": "filter", "data": value}, {"id": "b", "type": value, "data": {"settings": value}}], [])
        graph.check([node("a"), node("b")], [{"id": "e", "source": "a", "target": "b", "sourceHandle": value, "targetHandle": value}])

    @pytest.mark.parametrize("template", shipped(), ids=lambda template: template.key)
    def test_shipped_templates_can_run(self, template: Any) -> None:
        assert graph.check(template.nodes, template.edges) == []

    def test_every_type_says_what_it_takes(self) -> None:
        for kind in NODE_TYPES.values():
            described = kind.described()
            assert described["settings"]["type"] == "object", kind.name
            assert described["summary"]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Valid graphs: everything comes, over any number of steps, from one start."""
    count = draw(st.integers(1, 12))
    nodes, edges = [node("n0", "manual")], []
    for number in range(1, count):
        nodes.append(node(f"n{number}", draw(st.sampled_from(["filter", "rank"]))))
        for source in draw(st.sets(st.integers(0, number - 1), min_size=1, max_size=3)):
            port = "failed" if source and nodes[source]["type"] == "filter" and draw(st.booleans()) else None
            edges.append(edge(f"n{source}", f"n{number}", port))
    order = draw(st.permutations(nodes))
    return list(order), list(draw(st.permutations(edges)))


class TestRuns:
    @given(graphs())
    def test_the_order_respects_the_edges(self, made: tuple[list[dict[str, Any]], list[dict[str, Any]]]) -> None:
        parsed = graph.parse(*made)
        place = {found.id: number for number, found in enumerate(parsed.nodes)}
        assert all(place[link.source] < place[link.target] for link in parsed.edges)
        assert len(place) == len(made[0])

    @given(graphs())
    def test_the_same_graph_gives_the_same_outputs_and_runs_each_node_after_what_it_needs(self, made: Any) -> None:
        parsed = graph.parse(*made)
        rows = [Row("binance", f"S{number}", values={"x": float(number)}) for number in range(4)]
        start = parsed.nodes[0]
        first = _run(parsed, start.id, rows)
        assert {key: (run.status, run.outputs) for key, run in first.items()} == {
            key: (run.status, run.outputs) for key, run in _run(parsed, start.id, rows).items()
        }
        assert {run.status for run in first.values()} == {"done"}

    def test_a_failed_node_stops_only_what_depends_on_it(self) -> None:
        nodes = [node("a", "manual"), node("bad"), node("after"), node("side"), node("end", "rank")]
        edges = [edge("a", "bad"), edge("bad", "after"), edge("a", "side"), edge("side", "end")]

        def boom(*_: Any) -> Any:
            raise NodeFailed("it broke", is_shared=True)

        found = _run(graph.parse(nodes, edges), "a", [], replaced={"bad": boom})
        assert {key: run.status for key, run in found.items()} == {
            "a": "done",
            "bad": "failed",
            "after": "skipped",
            "side": "done",
            "end": "done",
        }
        assert (found["bad"].error, found["bad"].is_shared, found["after"].error) == ("it broke", True, "it needs bad")

    def test_independent_nodes_run_side_by_side(self) -> None:
        nodes = [node("a", "manual"), *(node(f"f{number}") for number in range(4))]
        barrier = threading.Barrier(4, timeout=10)

        def meet(*_: Any) -> Any:
            barrier.wait()
            return {"passed": [], "failed": []}

        names = [f"f{number}" for number in range(4)]
        found = _run(graph.parse(nodes, [edge("a", name) for name in names]), "a", [], replaced=dict.fromkeys(names, meet))
        assert {found[name].status for name in names} == {"done"}

    def test_a_node_that_outlasts_its_time_fails_and_the_run_goes_on(self) -> None:
        nodes, release = [node("a", "manual"), node("slow"), node("quick"), node("after")], threading.Event()

        def hang(*_: Any) -> Any:
            release.wait(20)
            return {"passed": [], "failed": []}

        parsed = graph.parse(nodes, [edge("a", "slow"), edge("a", "quick"), edge("slow", "after")])
        began = time.monotonic()
        found = _run(parsed, "a", [], replaced={"slow": hang}, limits=Limits(node_s=0.2, run_s=20))
        release.set()
        assert time.monotonic() - began < 10
        assert {key: run.status for key, run in found.items()} == {"a": "done", "slow": "failed", "quick": "done", "after": "skipped"}

    def test_the_whole_run_has_its_time(self) -> None:
        nodes, edges = chain("manual", *["filter"] * 3)
        release = threading.Event()
        hang = {"filter1": lambda *_: release.wait(20)}
        found = _run(graph.parse(nodes, edges), "manual0", [], replaced=hang, limits=Limits(node_s=20, run_s=0.2))
        release.set()
        assert [run.status for run in found.values()] == ["done", "failed", "skipped", "skipped"]

    def test_a_cancelled_run_begins_nothing_more(self) -> None:
        nodes, edges = chain("manual", "filter", "filter")
        parsed = graph.parse(nodes, edges)
        ended: list[str] = []
        world: Any = World()
        found = running.run(parsed, context=world, ended=lambda run: ended.append(run.node), cancelled=lambda: True)
        assert {run.status for run in found.values()} == {"cancelled"}
        assert ended == ["manual0", "filter1", "filter2"]


class TestNodes:
    def test_a_filter_parts_rows_and_says_why(self) -> None:
        rows = [Row("m", "A", values={"x": 1.0}), Row("m", "B", values={"x": 5.0, "y": 2.0}), Row("m", "C")]
        conditions = [{"field": "x", "operator": ">", "value": 2}, {"field": "y", "operator": "lt", "value": "x"}]
        found = given_rows(*rows, kind="filter", conditions=conditions)
        assert [row.symbol for row in found["passed"]] == ["B"]
        assert found["passed"][0].texts["why"] == "x gt 2.0 (5); y lt x (2)"
        assert [row.symbol for row in found["failed"]] == ["A", "C"]
        any_of = given_rows(*rows, kind="filter", conditions=conditions, match="any")
        assert [row.symbol for row in any_of["passed"]] == ["B"]

    def test_a_crossing_looks_at_the_close_before(self) -> None:
        row = Row("m", "A", values={"x": 3.0, "y": 2.0}, before={"x": 1.0, "y": 2.0})
        assert given_rows(row, kind="filter", conditions=[{"field": "x", "operator": "crosses_above", "value": "y"}])["passed"]

    def test_a_rank_keeps_the_first(self) -> None:
        rows = [Row("m", name, values={"x": value}) for name, value in (("A", 1.0), ("B", 3.0), ("C", 3.0))]
        found = given_rows(*rows, Row("m", "D"), kind="rank", field="x", count=2)
        assert [(row.symbol, row.values["rank"]) for row in found["rows"]] == [("B", 1.0), ("C", 2.0)]

    def test_a_fetched_number_is_found_by_its_path(self) -> None:
        found = given_rows(Row("m", "A/B"), kind="http_get", url="https://rates.example/{symbol}", path="rates.0.usd", field="usd")
        assert found["rows"][0].values["usd"] == 1.25
        with pytest.raises(NodeFailed, match="'eur'"):
            given_rows(Row("m", "A"), kind="http_get", url="https://rates.example/", path="rates.0.eur")

    def test_a_row_that_came_twice_counts_once(self) -> None:
        row = Row("m", "A", values={"x": 5.0})
        assert len(given_rows(row, row, kind="rank", field="x")["rows"]) == 1


def _run(
    parsed: graph.Graph, start: str, rows: Sequence[Row], *, replaced: Mapping[str, Any] | None = None, limits: Limits | None = None
) -> Any:
    """The runner with nodes replaced; the start gives these rows."""
    acts = {start: lambda _: {"rows": list(rows)}, **(replaced or {})}
    nodes = tuple(replace(found, type=replace(found.type, run=acts.get(found.id, found.type.run))) for found in parsed.nodes)
    world: Any = World()
    return running.run(replace(parsed, nodes=nodes), context=world, limits=limits or Limits(node_s=20, run_s=60))
