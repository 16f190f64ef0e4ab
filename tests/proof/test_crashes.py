"""P4 under kill -9: runs of the crash matrix, and stops that fail, against each exchange in another process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from tests.support.processes import ROOT

pytestmark = pytest.mark.proof


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """A database of its own: these runs fork, and what they write is seen by other connections."""
    data = tempfile.mkdtemp(prefix="crashes-")
    found = {**os.environ, "DATA_DIR": data, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    try:
        yield found
    finally:
        subprocess.run([sys.executable, "manage.py", "pg", "stop"], cwd=ROOT, env=found, capture_output=True, check=True)
        shutil.rmtree(data)


@pytest.mark.parametrize(
    "command",
    [
        ["tests.crashes", "--runs", "60"],
        ["tests.crashes", "--runs", "24", "--market", "bybit"],
        ["tests.crashes", "--runs", "24", "--market", "okx"],
        ["tests.stops", "--runs", "30", "--entries", "30"],
    ],
    ids=" ".join,
)
def test_nothing_is_ordered_twice_or_left_without_its_stop(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
