"""Listeners, workers and a simulated exchange as processes of their own, started and killed one by one."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from config import embedded_postgres
from tests.support.processes import ROOT, free_port

UNWANTED = ("MARKET", "CLOCK", "DJANGO", "DATABASE", "DESK", "PYTEST")


class Rig:
    """
    Processes in a data directory of its own.

    `commands` names each process with the arguments of its management command; `{port}` in them is the exchange's.
    """

    def __init__(self, data: Path, *, speed: int, commands: dict[str, list[str]], **environment: str) -> None:
        self.data, self.speed = data, speed
        self.pgdata = embedded_postgres.data_directory(data)
        port = free_port()
        self.commands = {name: [part.format(port=port) for part in command] for name, command in commands.items()}
        clean = {name: value for name, value in os.environ.items() if not name.startswith(UNWANTED)}
        self.environment = clean | {
            "DATA_DIR": str(data),
            "CLOCK_SPEED": str(speed),
            "CLOCK_EPOCH": str(int(time.time())),
            "MARKET_WS_URL": f"ws://127.0.0.1:{port}",
            "MARKET_REST_URL": f"http://127.0.0.1:{port}",
            "QUEUE_WORKERS": "1",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            **environment,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def python(self, *arguments: str) -> None:
        """Run Python with the settings of the rig, to its end."""
        subprocess.run([sys.executable, *arguments], cwd=ROOT, env=self.environment, check=True)

    def start(self, *names: str) -> None:
        for name in names or self.commands:
            with (self.data / f"{name}.log").open("ab") as log:
                command = [sys.executable, "manage.py", *self.commands[name]]
                self.processes[name] = subprocess.Popen(
                    command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
                )

    def kill(self, name: str) -> None:
        """SIGKILL to a process and its children, or to the postmaster."""
        if name != "PostgreSQL":
            os.killpg(self.processes[name].pid, signal.SIGKILL)
            self.processes[name].wait()
        elif (pid_file := self.pgdata / "postmaster.pid").exists():
            os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGKILL)

    def keep_running(self) -> None:
        """Start again what has ended."""
        for name in [name for name, process in self.processes.items() if process.poll() is not None]:
            self.start(name)

    def ask(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows; none while the server is away."""
        try:
            sockets = str(embedded_postgres.socket_directory(self.pgdata))
            with psycopg.connect(host=sockets, user="app", dbname="app", connect_timeout=3, autocommit=True) as connection:
                return connection.execute(sql, parameters).fetchall()  # type: ignore[arg-type]
        except psycopg.OperationalError:
            return []

    def app_ms(self) -> int:
        """The time of its clock."""
        epoch = float(self.environment["CLOCK_EPOCH"])
        return int((epoch + (time.time() - epoch) * self.speed) * 1000)

    def stop(self) -> None:
        for name in sorted(self.processes, key=lambda name: name == "exchange"):
            self.processes[name].terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        embedded_postgres.stop(self.pgdata)


@contextlib.contextmanager
def cleaned_up(rig: Rig, *, keep: bool = False) -> Iterator[Rig]:
    """Stop it whatever happens, and remove what it leaves."""
    try:
        yield rig
    finally:
        rig.stop()
        if not keep:
            shutil.rmtree(rig.pgdata.parent, ignore_errors=True)
            shutil.rmtree(rig.data, ignore_errors=True)
