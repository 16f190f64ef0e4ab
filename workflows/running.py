"""
Runs a graph: node by node as what they need is there, independent ones side by side. Pure; the world is the context.

A node that fails stops only what depends on it. A node that outlasts its time counts as failed; a thread can't be killed, so its
late output is thrown away. Outputs are the same for the same graph and the same world, whatever order the threads end in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any

from workflows.graph import Graph, Node
from workflows.nodes.contract import Call, Context, NodeFailed

DONE, FAILED, SKIPPED, CANCELLED = "done", "failed", "skipped", "cancelled"


@dataclass(frozen=True)
class Limits:
    """Seconds of real time, and how many nodes run side by side."""

    node_s: float = 60.0
    run_s: float = 150.0
    workers: int = 4


@dataclass(frozen=True)
class NodeRun:
    """What became of one node. `outputs` by port; `began_ms` counts from the start of the run."""

    node: str
    type: str
    status: str
    outputs: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    error: str = ""
    is_shared: bool = False
    began_ms: int = 0
    ms: int = 0


def run(
    graph: Graph,
    *,
    context: Context,
    limits: Limits | None = None,
    ended: Callable[[NodeRun], None] = lambda _: None,
    cancelled: Callable[[], bool] = lambda: False,
    in_thread: Callable[[Callable[[], Any]], Any] = lambda act: act(),
) -> dict[str, NodeRun]:
    """
    Run every node once; returns what became of each, by id.

    :param ended: called in this thread as each node ends, so that what is done outlives a crash
    :param cancelled: asked before each node; what has not begun then is not begun
    :param in_thread: wraps each node's call in its thread, to clean up there
    """
    return _Run(graph, context, limits or Limits(), ended, cancelled, in_thread).go()


@dataclass
class _Run:
    graph: Graph
    context: Context
    limits: Limits
    ended: Callable[[NodeRun], None]
    cancelled: Callable[[], bool]
    in_thread: Callable[[Callable[[], Any]], Any]
    began: float = field(default_factory=time.monotonic)
    results: dict[str, NodeRun] = field(default_factory=dict)
    out: dict[Future[Mapping[str, Any]], tuple[Node, float]] = field(default_factory=dict)

    def go(self) -> dict[str, NodeRun]:
        pool = ThreadPoolExecutor(self.limits.workers, thread_name_prefix="node")
        try:
            while self._begin(pool) or self.out:
                self._collect()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return {node.id: self.results[node.id] for node in self.graph.nodes}

    def _begin(self, pool: ThreadPoolExecutor) -> bool:
        """Begin what can be begun, and give up what can't be any more; whether anything is out."""
        out_of_time, stopped = time.monotonic() - self.began > self.limits.run_s, self.cancelled()
        busy = {node.id for node, _ in self.out.values()}
        for node in self.graph.nodes:  # in an order that respects the edges: one pass settles chains of skips
            if node.id in self.results or node.id in busy:
                continue
            needed = [edge.source for edge in self.graph.into(node.id)]
            if stopped:
                self._end(NodeRun(node.id, node.type.name, CANCELLED, error="the run was cancelled"))
            elif lost := self._lost(needed):
                self._end(NodeRun(node.id, node.type.name, SKIPPED, error=f"it needs {', '.join(lost)}"))
            elif out_of_time:
                self._end(NodeRun(node.id, node.type.name, FAILED, error=f"the run's {self.limits.run_s:.0f} s were over"))
            elif all(source in self.results for source in needed) and len(self.out) < self.limits.workers:
                self.out[pool.submit(self.in_thread, self._call(node))] = (node, time.monotonic())
        return bool(self.out)

    def _lost(self, needed: Sequence[str]) -> list[str]:
        return [source for source in dict.fromkeys(needed) if source in self.results and self.results[source].status != DONE]

    def _call(self, node: Node) -> Callable[[], Mapping[str, Any]]:
        inputs: dict[str, list[Any]] = {port.name: [] for port in node.type.inputs}
        for edge in self.graph.into(node.id):
            inputs[edge.input] += self.results[edge.source].outputs.get(edge.output, ())
        call, act = Call(node.id, node.settings, inputs, self.context), node.type.run
        assert act is not None
        return lambda: act(call)

    def _collect(self) -> None:
        """Take what has ended; what has outlasted its time is given up."""
        now = time.monotonic()
        until = min((since + self.limits.node_s for _, since in self.out.values()), default=now)
        ready, _ = wait(self.out, timeout=max(0.0, min(until, self.began + self.limits.run_s) - now), return_when=FIRST_COMPLETED)
        for future in [future for future in self.out if future in ready]:
            node, since = self.out.pop(future)
            self._end(self._result(node, future, since))
        now = time.monotonic()
        over = now - self.began > self.limits.run_s
        for future, (node, since) in list(self.out.items()):
            if over or now - since > self.limits.node_s:
                del self.out[future]
                limit = f"the run's {self.limits.run_s:.0f} s" if over else f"its {self.limits.node_s:.0f} s"
                self._end(self._run_of(node, FAILED, since, error=f"{limit} were over"))

    def _result(self, node: Node, future: Future[Mapping[str, Any]], since: float) -> NodeRun:
        try:
            return self._run_of(node, DONE, since, outputs=future.result())
        except NodeFailed as error:
            return replace(self._run_of(node, FAILED, since, error=str(error)[:1000]), is_shared=error.is_shared)
        except Exception as error:  # a node's own fault is its own failure, and told
            return self._run_of(node, FAILED, since, error=f"{type(error).__name__}: {error}"[:1000])

    def _run_of(self, node: Node, status: str, since: float, *, outputs: Mapping[str, Any] | None = None, error: str = "") -> NodeRun:
        began, ms = int((since - self.began) * 1000), int((time.monotonic() - since) * 1000)
        return NodeRun(node.id, node.type.name, status, outputs or {}, error, began_ms=began, ms=ms)

    def _end(self, result: NodeRun) -> None:
        self.results[result.node] = result
        self.ended(result)
