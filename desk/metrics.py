"""The desk's numbers for Prometheus, read from the database when they are asked for: any web process can answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from desk import health
from monitoring import heartbeats

PREFIX = "candle_desk_"
# What a listener says of each market it follows: name, key of its state, what it means.
MARKET_GAUGES = (
    ("connections", "connections", "Connections to the stream that are up."),
    ("streams", "streams", "Symbols and intervals followed."),
    ("last_frame_age_seconds", "last_frame_age_s", "Since the stream sent anything."),
    ("clock_offset_ms", "offset_ms", "The exchange's clock less ours."),
    ("rest_quiet_seconds", "quiet_s", "How long the REST API still has to be left alone."),
)
MARKET_COUNTERS = (
    ("frames", "frames", "Messages received."),
    ("closes", "closes", "Closing frames received."),
    ("reconnects", "reconnects", "Connections made again after a loss."),
    ("replaced_connections", "replaced", "Connections replaced before the exchange cut them."),
    ("bad_frames", "bad_frames", "Messages that were not as documented."),
)


def text() -> bytes:
    """All of them in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Desk())
    return generate_latest(registry)


class _Desk(Collector):
    def collect(self) -> Iterator[Metric]:
        seen = health.overview()
        nan = float("nan")
        for name, meaning, value in (
            ("queue_depth", "Jobs that wait for a worker.", seen.queue_depth),
            (
                "listener_heartbeat_age_seconds",
                "Since any listener was last alive.",
                nan if seen.listener_age_s is None else seen.listener_age_s,
            ),
            ("active_workflows", "Workflows judged at every close.", seen.active_workflows),
            ("open_runs", "Ledger rows that are due or claimed.", seen.open_runs),
            ("open_positions", "Positions that are not closed.", seen.open_positions),
            ("last_event_seq", "Newest event.", seen.last_event_seq),
        ):
            yield GaugeMetricFamily(PREFIX + name, meaning, value=value)
        yield from _listeners(heartbeats.living(kind="listener"))


def _listeners(living: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[Metric]:
    labels = ["instance", "market"]
    gauges = {key: GaugeMetricFamily(f"{PREFIX}market_{name}", text, labels=labels) for name, key, text in MARKET_GAUGES}
    counters = {key: CounterMetricFamily(f"{PREFIX}market_{name}", text, labels=labels) for name, key, text in MARKET_COUNTERS}
    gaps = CounterMetricFamily(f"{PREFIX}market_gaps_filled", "Closes fetched over REST, by why.", labels=[*labels, "reason"])
    lag = GaugeMetricFamily(f"{PREFIX}listener_last_close_lag_seconds", "From the last close to its record.", labels=["instance"])
    for instance, state in living:
        if (last := state.get("last_close", {}).get("lag_s")) is not None:
            lag.add_metric([instance], last)
        for market, numbers in state.get("markets", {}).items():
            for key in {**gauges, **counters}:
                if (value := numbers.get(key)) is not None:
                    (gauges.get(key) or counters[key]).add_metric([instance, market], value)
            for reason, count in numbers.get("gaps", {}).items():
                gaps.add_metric([instance, market, reason], count)
    yield from (*gauges.values(), *counters.values(), gaps, lag)
