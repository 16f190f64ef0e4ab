"""
What following a stream costs: CPU per message of ours beside a bare reader and the known clients, in alternated runs,
and how soon after a close the ledger's rows are there for everybody.
"""

from __future__ import annotations

import collections
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from django.conf import settings
from django.db import connection

from monitoring import clock
from monitoring.connections import Connections
from monitoring.feed.contract import ClosedCandle
from monitoring.models import Signal, Trader, User, WorkflowSchedule

HERE = Path(__file__).parent
OWN = ("ours", "bare", "websocket-client")
PEERS = ("cryptofeed", "unicorn", "python-binance", "ccxt.pro")
PEER_PACKAGES = ("cryptofeed", "unicorn-binance-websocket-api", "python-binance", "ccxt")
RATE = 4_000
MINUTE = 60_000
SPEED = 6  # a candle of a minute closes every 10 s


@dataclass(frozen=True)
class Cost:
    """CPU microseconds per message, of each round, and the messages of all rounds."""

    client: str
    us: list[float]
    messages: int

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.us)


def install_peers(*, into: Path) -> Path:
    """A virtual environment with the clients to compare with; returns its Python."""
    python = into / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(into)], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEER_PACKAGES], check=True)
    return python


def costs(*, rate: int, rounds: int, seconds: float, peers: Path | None) -> list[Cost]:
    """Every client in turn, round after round, over TLS; at a rate, or as fast as it goes (0)."""
    clients = dict.fromkeys(OWN, sys.executable) | ({name: str(peers) for name in PEERS} if peers else {})
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in clients}
    with _stream(rate) as (address, certificate):
        for _ in range(rounds):
            for name, python in clients.items():
                command = [python, str(HERE / "stream_clients.py"), name, address, str(seconds), certificate]
                environment = {**os.environ, "PYTHONPATH": str(settings.BASE_DIR) if name in OWN else ""}
                done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60 + seconds, check=False)
                if done.returncode or not done.stdout:
                    raise RuntimeError(f"{name}: {done.stderr[-500:]}")
                us, count = done.stdout.split()[-2:]
                found[name].append((float(us), int(count)))
    return [Cost(name, [us for us, _ in runs], sum(count for _, count in runs)) for name, runs in found.items()]


@contextlib.contextmanager
def _stream(rate: int) -> Iterator[tuple[str, str]]:
    """The local stream's address and its certificate."""
    folder = Path(tempfile.mkdtemp())
    port, files = _free_port(), (folder / "certificate.pem", folder / "key.pem")
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-out", str(files[0]), "-keyout", str(files[1])]
    subprocess.run([*make, *subject], check=True, capture_output=True)
    server = subprocess.Popen([sys.executable, str(HERE / "stream_server.py"), str(port), str(rate), *map(str, files)])
    try:
        _wait_for(port)
        yield f"wss://127.0.0.1:{port}", str(files[0])
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(folder)


def churn(*, minutes: float) -> Iterator[tuple[float, float, int, int]]:
    """
    Follow a stream while its symbols change every second and its connection is made anew every few.

    Yields now and then: minutes so far, memory in MiB, messages received, connections made again.
    """
    names = [f"S{n:03}USDT" for n in range(100)]
    closes: collections.deque[ClosedCandle] = collections.deque(maxlen=1)
    with _stream(RATE) as (address, certificate):
        os.environ["SSL_CERT_FILE"] = certificate
        settings.MARKETS = {**settings.MARKETS, "binance": {"ws": address, "rest": "http://127.0.0.1:1"}}
        connections = Connections(market="binance", on_close=closes.append)
        began, step = time.monotonic(), 0
        while (passed := (time.monotonic() - began) / 60) < minutes:
            wanted = [(name, "1m") for place, name in enumerate(names) if (place + step) % 3]
            connections.want(wanted)
            connections.maintain()
            if step % 5 == 4:
                connections.renew(wanted[0])
            if step % 60 == 30:
                totals = connections.totals()
                yield passed, psutil.Process().memory_info().rss / 2**20, totals["frames"], totals["reconnects"]
            step += 1
            time.sleep(1)
        connections.close()


def close_to_row(*, symbols: int, closes: int, database_url: str) -> list[float]:
    """
    For every ledger row of some closes, ms from the close until the row was there for another connection to see.

    A real listener and a simulated exchange, which closes all symbols at the same moment.
    """
    names = [f"SIM{n:04}USDT" for n in range(symbols)]
    port, epoch = _free_port(), int(clock.now().timestamp())
    _prepare(names)
    address = f"127.0.0.1:{port}"
    environment = {**os.environ, "DATABASE_URL": database_url, "CLOCK_SPEED": str(SPEED), "CLOCK_EPOCH": str(epoch), "LOG_LEVEL": "WARNING"}
    environment |= {"MARKET_WS_URL": f"ws://{address}", "MARKET_REST_URL": f"http://{address}"}
    commands = (["run_simulated_exchange", "--port", str(port), "--more-symbols", str(symbols)], ["run_candle_listener"])
    manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
    processes = [subprocess.Popen([*manage, *command], env=environment, start_new_session=True) for command in commands]
    try:
        return [ms for _ in range(closes) for ms in _watch_close(symbols, epoch)]
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(10)


def _watch_close(symbols: int, epoch: int) -> Iterator[float]:
    """The latencies of the next close before which all workflows were up to date."""
    while True:
        now = clock.now().timestamp()
        app_ms = int((epoch + (now - epoch) * SPEED) * 1000)
        opened = app_ms - app_ms % MINUTE
        before = _rows(opened - MINUTE)
        due = epoch + ((opened + MINUTE) / 1000 - epoch) / SPEED
        time.sleep(max(0.0, due - clock.now().timestamp()))
        if before == symbols:
            break
    seen = 0
    while seen < symbols:
        count = _rows(opened)
        yield from [(clock.now().timestamp() - due) * 1000] * (count - seen)
        seen = count
        time.sleep(0.001)


def _rows(open_time: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM workflow_runs WHERE candle_time = %s", [open_time])
        return int(cursor.fetchone()[0])


def _prepare(symbols: Sequence[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE users, candles, django_q_ormq, events, installation CASCADE")
        cursor.execute("CREATE INDEX ON workflow_runs (candle_time)")  # for counting while it runs
    user = User.objects.create(username="benchmark")
    trader = Trader.objects.create(user=user, name="benchmark", symbols=list(symbols), interval="1m")
    Trader.objects.update(state="paused")
    now = clock.now()
    for symbol in symbols:
        signal = Signal.objects.create(
            trader=trader, user=user, symbol=symbol, interval="1m", status="monitoring", monitoring_started_at=now
        )
        WorkflowSchedule.objects.create(
            workflow_type="signal_monitoring", entity_id=signal.id, trader=trader, user=user, market="binance", symbol=symbol,
            interval="1m", started_at=now,
        )  # fmt: skip


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(port: int) -> None:
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
