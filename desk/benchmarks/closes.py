"""
How long a close takes from its record to the last decision, in one worker cluster.

Two ways over the same candles, traders and analyst: ours (a job per close, judged in sets) and the usual one (a queue
task per workflow, ORM row by row), each with the rules analyst and with a model that answers after a fixed latency.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import psutil
from django.conf import settings
from django.db import connection

from desk.benchmarks.endpoint import LATENCY_VARIABLE
from monitoring import clock, closes, intervals, jobs
from monitoring.feed.contract import ClosedCandle
from monitoring.models import Candle, Signal, Trader, User, WorkflowRun, WorkflowSchedule

INTERVAL = "1h"
LENGTH = intervals.length_ms(INTERVAL)
SYMBOLS = 20
MODEL = "stub"
LONGEST_S = 900


@dataclass(frozen=True)
class Timing:
    """Seconds of wall time and of CPU (workers and PostgreSQL) until the last of `workflows` was decided."""

    way: str
    analyst: str
    workflows: int
    wall_s: float
    workers_cpu_s: float
    postgres_cpu_s: float


def run(*, counts: Sequence[int], latency_s: float, workers: int, database_url: str) -> Iterator[Timing]:
    """Yield a timing for every combination, alternating the ways."""
    with serving(latency_s) as address:
        environment = {**os.environ, "DATABASE_URL": database_url, "QUEUE_WORKERS": str(workers), "LOG_LEVEL": "WARNING"}
        environment |= {"LLM_BASE_URL": address, "LLM_MODEL": MODEL, "LLM_MAX_CONCURRENCY": "5000"}
        environment["LLM_MODELS_FILE"] = str(settings.BASE_DIR / "desk" / "benchmarks" / "models.toml")
        for workflows in counts:
            for analyst in ("rules", "llm"):
                _prepare(workflows, analyst)
                with _cluster(environment) as cluster:
                    for way in ("ours", "task per workflow"):
                        for warm in (False, True):
                            timing = _measure(way, analyst, workflows, cluster)
                            if warm:
                                yield timing


def _prepare(workflows: int, analyst: str) -> None:
    """Waiting setups spread over the symbols, with full windows; the closes to come lie ahead, so that none is late."""
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE users, candles, django_q_ormq, events CASCADE")
    user = User.objects.create(username="benchmark")
    never = [{"field": "close", "operator": "lt", "value": 0}]
    trader = Trader.objects.create(
        user=user, name="benchmark", symbols=_symbols(), interval=INTERVAL, conditions=never, invalidation_conditions=never,
        analyst=analyst, max_reanalyses=1_000_000, decision_deadline_pct=100,
    )  # fmt: skip
    Trader.objects.update(state="paused")  # no screening: only the workflows are measured
    now = clock.now()
    begun = now - timedelta(days=30)
    signals = Signal.objects.bulk_create(
        Signal(trader=trader, user=user, symbol=_symbols()[n % SYMBOLS], interval=INTERVAL, status="monitoring", monitoring_started_at=now)
        for n in range(workflows)
    )
    WorkflowSchedule.objects.bulk_create(
        WorkflowSchedule(
            workflow_type="signal_monitoring", entity_id=s.id, trader=trader, user=user, market="binance", symbol=s.symbol,
            interval=INTERVAL, started_at=begun, is_active=False, stopped_at=begun,
        )
        for s in signals
    )  # fmt: skip
    newest = intervals.newest_closed(at_ms=clock.to_ms(now), interval=INTERVAL)
    history = [_candle(symbol, newest - back * LENGTH) for symbol in _symbols() for back in range(306)]
    closes.record(fetched=history, now=now, announce=False)
    WorkflowSchedule.objects.update(is_active=True, stopped_at=None)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _measure(way: str, analyst: str, workflows: int, cluster: psutil.Process) -> Timing:
    """Let one close of all symbols arrive, and wait until every workflow has its outcome."""
    newest = Candle.objects.order_by("-open_time").values_list("open_time", flat=True)[0]
    opened = newest + LENGTH
    before = _cpu(cluster), _postgres_cpu()
    began = time.perf_counter()
    if way == "ours":
        closes.record(streamed=[_candle(symbol, opened) for symbol in _symbols()], now=clock.now())
    else:
        closes.record(streamed=[_candle(symbol, opened) for symbol in _symbols()], now=clock.now(), announce=False)
        for run_id in WorkflowRun.objects.filter(candle_time=opened).values_list("id", flat=True):
            jobs.enqueue(jobs.Job.BENCHMARK_ONE, run_id=str(run_id))
    while WorkflowRun.objects.filter(candle_time=opened, status=WorkflowRun.Status.DECIDED).count() < workflows:
        if time.perf_counter() - began > LONGEST_S:
            raise TimeoutError(f"{way} with {workflows} workflows was not done after {LONGEST_S} s")
        time.sleep(0.005)
    wall = time.perf_counter() - began
    return Timing(way, analyst, workflows, wall, _cpu(cluster) - before[0], _postgres_cpu() - before[1])


def _symbols() -> list[str]:
    return [f"BENCH{n:02}USDT" for n in range(SYMBOLS)]


def _candle(symbol: str, opened: int) -> ClosedCandle:
    wave = Decimal(100 + opened // LENGTH % 17) + Decimal(opened // LENGTH % 5) / 10
    return ClosedCandle("binance", symbol, INTERVAL, opened, wave, wave + 1, wave - 1, wave, Decimal(10), wave * 10, 5)


@contextlib.contextmanager
def _cluster(environment: dict[str, str]) -> Iterator[psutil.Process]:
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py"), "qcluster"]
    process = subprocess.Popen(manage, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)


@contextlib.contextmanager
def serving(latency_s: float) -> Iterator[str]:
    """The stub model in a process of its own; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "desk.benchmarks.endpoint:application", "--port", str(port), "--lifespan", "off"]
    environment = {**os.environ, LATENCY_VARIABLE: str(latency_s)}
    process = subprocess.Popen([*command, "--log-level", "error", "--backlog", "8192"], env=environment, cwd=settings.BASE_DIR)
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(10)


def _cpu(cluster: psutil.Process) -> float:
    return sum(_own_cpu(process) for process in (cluster, *cluster.children(recursive=True)))


def _postgres_cpu() -> float:
    return sum(_own_cpu(process) for process in psutil.process_iter(["name"]) if process.info["name"] == "postgres")


def _own_cpu(process: psutil.Process) -> Any:
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        # Workers are recycled and connections close: what ended counts with the process that reaped it.
        return times.user + times.system + times.children_user + times.children_system
    return 0.0
