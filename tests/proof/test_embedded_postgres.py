"""The embedded server: started by whoever comes first, and healed after any kill."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest

from config import embedded_postgres

pytestmark = pytest.mark.proof
ROOT = Path(__file__).parents[2]
START = "import sys; from pathlib import Path; from config import embedded_postgres as e; e.ensure_running(Path(sys.argv[1]))"


@pytest.fixture
def pgdata(tmp_path: Path) -> Iterator[Path]:
    found = embedded_postgres.data_directory(tmp_path / "var")
    yield found
    embedded_postgres.stop(found)
    shutil.rmtree(found.parent)


def ask(pgdata: Path, sql: str) -> list[tuple]:
    sockets = str(embedded_postgres.socket_directory(pgdata))
    with psycopg.connect(host=sockets, user="app", dbname="app", autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def servers(pgdata: Path) -> list[int]:
    return embedded_postgres._server_processes(pgdata)


def test_many_processes_start_it_once(pgdata: Path) -> None:
    def start(_: int) -> int:
        return subprocess.run([sys.executable, "-c", START, str(pgdata)], cwd=ROOT, check=False).returncode

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(start, range(6))) == [0] * 6
    assert ask(pgdata, "SELECT 1") == [(1,)]
    assert ask(pgdata, "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user") == [(False, False)]


@pytest.mark.parametrize("victims", ["postmaster", "all", "backend"])
def test_it_is_healed_after_a_kill_and_keeps_what_was_committed(pgdata: Path, victims: str) -> None:
    embedded_postgres.ensure_running(pgdata)
    ask(pgdata, "CREATE TABLE kept (n int)")
    for round_number in range(2):
        ask(pgdata, f"INSERT INTO kept VALUES ({round_number})")
        postmaster = int((pgdata / "postmaster.pid").read_text().splitlines()[0])
        if victims == "backend":
            doomed = [child.pid for child in psutil.Process(postmaster).children()][:1]
        else:
            doomed = servers(pgdata) if victims == "all" else [postmaster]
        for pid in doomed:
            os.kill(pid, signal.SIGKILL)
        embedded_postgres.ensure_running(pgdata)
    # A killed backend makes the server restart by itself; connections are refused for a moment.
    embedded_postgres.ensure_running(pgdata)
    assert ask(pgdata, "SELECT count(*) FROM kept") == [(2,)]


def test_a_pid_file_that_names_another_living_process_is_cleared(pgdata: Path) -> None:
    embedded_postgres.ensure_running(pgdata)
    embedded_postgres.stop(pgdata)
    (pgdata / "postmaster.pid").write_text(f"{os.getpid()}\n{pgdata}\n0\n5432\n{pgdata}\n\n")
    embedded_postgres.ensure_running(pgdata)
    assert ask(pgdata, "SELECT 1") == [(1,)]


def test_a_long_path_gets_a_private_socket_directory() -> None:
    base = Path(tempfile.mkdtemp())
    base.chmod(0o755)  # as root, the server's own user has to get in
    pgdata = base / ("x" * 100) / "postgres"
    try:
        embedded_postgres.ensure_running(pgdata)
        sockets = embedded_postgres.socket_directory(pgdata)
        assert sockets != pgdata
        assert sockets.stat().st_mode & 0o077 == 0
        assert ask(pgdata, "SELECT 1") == [(1,)]
    finally:
        embedded_postgres.stop(pgdata)
        shutil.rmtree(base)


def test_it_never_runs_as_root_and_changes_no_mode(pgdata: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mode for path in (tmp_path, *tmp_path.parents)}
    embedded_postgres.ensure_running(pgdata)
    postmaster = int((pgdata / "postmaster.pid").read_text().splitlines()[0])
    assert psutil.Process(postmaster).uids().real != 0
    assert {path: path.stat().st_mode for path in before} == before
