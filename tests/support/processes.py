"""The desk's real processes, started and killed as an operator would see them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg

from config import embedded_postgres

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_until(condition: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """The first true value of a condition, or a failure that says what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.1)


class RunningDesk:
    """`manage.py run_desk --demo` in a data directory of its own."""

    def __init__(self, data: Path, *, speed: int, **environment: str) -> None:
        self.data, self.speed, self.more = data, speed, environment
        self.port, self.exchange_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.lines: list[str] = []
        self.process: subprocess.Popen[str] | None = None
        self.pgdata = embedded_postgres.data_directory(data)
        self.started_at = 0.0

    @property
    def environment(self) -> dict[str, str]:
        """As in a shell that knows nothing of the tests."""
        unwanted = ("MARKET", "CLOCK", "DJANGO", "DATABASE", "PYTEST", "DESK")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        return {**clean, "DATA_DIR": str(self.data), "WEB_PORT": str(self.port), "QUEUE_WORKERS": "2", **self.more}

    def start(self) -> None:
        """Start everything; returns once the page answers."""
        command = [
            sys.executable,
            "manage.py",
            "run_desk",
            "--demo",
            "--speed",
            str(self.speed),
            "--exchange-port",
            str(self.exchange_port),
        ]
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()
        wait_until(lambda: any("Candle Desk is at" in line for line in self.lines), seconds=60, what=f"the desk to start: {self.tail()}")

    def stop(self, number: int = signal.SIGINT) -> float:
        """Stop it as Ctrl-C does; returns how many seconds that took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(30)
        return time.monotonic() - began

    def manage(self, *arguments: str) -> str:
        """Run a management command beside it, as an operator would."""
        environment = {**self.environment, **self._clock()}
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows from its database; an empty list while that is away."""
        try:
            sockets = str(embedded_postgres.socket_directory(self.pgdata))
            with psycopg.connect(host=sockets, user="app", dbname="app", connect_timeout=3, autocommit=True) as connection:
                return connection.execute(sql, parameters).fetchall()  # type: ignore[arg-type]
        except psycopg.Error:
            return []

    def one(self, sql: str, *parameters: Any) -> Any:
        """The first value of the first row, or None."""
        rows = self.ask(sql, *parameters)
        return rows[0][0] if rows else None

    def password(self) -> str:
        """The operator's password, printed once."""
        return next(found[1] for line in self.lines if (found := re.search(r"password: (\S+)", line)))

    def pids(self, pattern: str) -> list[int]:
        """Its own processes whose command line has a pattern."""
        assert self.process is not None
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if pattern in " ".join(child.cmdline()):
                        found.append(child.pid)
        return found

    def tail(self) -> str:
        return "\n".join(self.lines[-30:])

    def leftovers(self) -> list[str]:
        """Living processes that still work in its data directory or listen on its ports."""
        found = []
        for process in psutil.process_iter(["cmdline", "status", "environ"]):
            with contextlib.suppress(psutil.Error):
                if process.info["status"] != psutil.STATUS_ZOMBIE and (process.info["environ"] or {}).get("DATA_DIR") == str(self.data):
                    found.append(" ".join(process.info["cmdline"] or []))
        return found

    def _clock(self) -> dict[str, str]:
        row = self.ask("SELECT clock_speed, clock_epoch FROM installation")[0]
        address = f"127.0.0.1:{self.exchange_port}"
        return {
            "CLOCK_SPEED": str(row[0]),
            "CLOCK_EPOCH": str(row[1]),
            "MARKET_WS_URL": f"ws://{address}",
            "MARKET_REST_URL": f"http://{address}",
            **{f"{kind}_TRADING_URL": f"http://{address}" for kind in ("BINANCE", "BYBIT", "OKX")},
        }

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip())


@contextlib.contextmanager
def running_desk(data: Path, *, speed: int, **environment: str) -> Iterator[RunningDesk]:
    """A desk that is running, and is gone afterwards whatever happened."""
    desk = RunningDesk(data, speed=speed, **environment)
    try:
        desk.start()
        yield desk
    finally:
        if desk.process is not None and desk.process.poll() is None:
            desk.process.send_signal(signal.SIGINT)
            try:
                desk.process.wait(30)
            except subprocess.TimeoutExpired:
                desk.process.kill()
        embedded_postgres.stop(desk.pgdata)
        shutil.rmtree(desk.pgdata.parent, ignore_errors=True)
