"""
Runs the desk's processes on one machine: starts, watches, restarts and stops them in order. Standard library only.

Each child leads a session of its own, so that Ctrl-C reaches only the supervisor. A signal goes to a child's main
process alone (a TERM to all of a cluster's processes hangs it); what outlives it is killed afterwards.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
LONGEST_PAUSE_S = 30.0
STEADY_AFTER_S = 60.0
Print = Callable[[str], None]


@dataclass
class Service:
    """One process to keep running. `grace_s` is how long it may take to stop."""

    name: str
    command: Sequence[str]
    grace_s: float
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    started_at: float = 0.0
    restart_at: float | None = None
    exit_code: int | None = field(default=None)

    @property
    def is_running(self) -> bool:
        """Whether its main process lives."""
        return self.process is not None and self.exit_code is None


class Supervisor:
    """Keeps services running until it is told to stop; stops them in the given order and starts them in the other."""

    def __init__(self, services: Sequence[Service], *, environment: Mapping[str, str], say: Print) -> None:
        self._services = services
        self._environment = dict(environment)
        self._say = say
        self._asked = 0

    def run(self, *, ready: Callable[[], None], unhealthy: Callable[[], str | None]) -> None:
        """
        Start everything, call `ready`, and watch until SIGINT or SIGTERM; a second one kills.

        `unhealthy` names a service that has to be restarted although it runs, or None.
        """
        _become_reaper()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)
        for service in reversed(self._services):
            self._start(service)
        threading.Thread(target=ready, name="ready", daemon=True).start()
        last_look = time.monotonic()
        while not self._asked:
            self._reap()
            for service in self._services:
                self._keep(service)
            if time.monotonic() - last_look > 5:
                last_look = time.monotonic()
                self._restart_if_wedged(unhealthy())
            time.sleep(0.1)
        self._stop_all()

    def _on_signal(self, *_: object) -> None:
        self._asked += 1

    def _start(self, service: Service) -> None:
        parent = os.getpid()

        def in_child() -> None:  # if the supervisor dies, even by SIGKILL, the child is told to stop
            _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

        service.exit_code, service.restart_at, service.started_at = None, None, time.monotonic()
        service.process = subprocess.Popen(
            service.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
            start_new_session=True,
            preexec_fn=in_child if sys.platform == "linux" else None,  # noqa: PLW1509 - it only makes two system calls
        )
        threading.Thread(target=self._pass_on, args=(service.name, service.process), daemon=True).start()

    def _pass_on(self, name: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._say(f"{name:9}| {line.decode(errors='replace').rstrip()}")

    def _keep(self, service: Service) -> None:
        """Restart a service that ended, whatever its exit code, later each time."""
        if service.exit_code is not None and service.restart_at is None:
            _kill_group(service)
            steady = time.monotonic() - service.started_at > STEADY_AFTER_S
            service.failures = 0 if steady else service.failures + 1
            pause = min(LONGEST_PAUSE_S, 0.5 * 2**service.failures)
            service.restart_at = time.monotonic() + pause
            self._say(f"{'desk':9}| {service.name} ended with {service.exit_code}; it starts again in {pause:.1f} s")
        elif service.restart_at is not None and time.monotonic() >= service.restart_at:
            self._start(service)

    def _restart_if_wedged(self, name: str | None) -> None:
        for service in self._services:
            if service.name == name and service.is_running:
                self._say(f"{'desk':9}| {service.name} takes jobs but does not do them; it is restarted")
                _kill_group(service)

    def _reap(self) -> None:
        """Collect every child that ended, orphans of our children among them."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for service in self._services:
                if service.process is not None and service.process.pid == pid:
                    service.exit_code = service.process.returncode = os.waitstatus_to_exitcode(status)

    def _stop_all(self) -> None:
        self._say(f"{'desk':9}| stopping; once more to kill")
        for service in self._services:
            if not service.is_running or service.process is None:
                continue
            service.process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + service.grace_s
            while service.is_running and time.monotonic() < deadline and self._asked < 2:
                self._reap()
                time.sleep(0.05)
            if service.is_running:
                self._say(f"{'desk':9}| {service.name} did not stop in {service.grace_s:.0f} s and is killed")
            _kill_group(service)
        deadline = time.monotonic() + 2
        while any(service.is_running for service in self._services) and time.monotonic() < deadline:
            self._reap()
            time.sleep(0.05)
        self._say(f"{'desk':9}| stopped")


def reap_orphans(*, seconds: float = 2.0) -> None:
    """Collect what is left after the last service: the embedded server's processes became ours when they were orphaned."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            time.sleep(0.02)


def _kill_group(service: Service) -> None:
    if service.process is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(service.process.pid, signal.SIGKILL)


def _become_reaper() -> None:
    """Orphans of our children come to us, so that they can be reaped; also what PID 1 of a container must do."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)
