"""Fixtures of all tests; the embedded server is stopped when the last of them is done."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings

from config import embedded_postgres
from tests.support.clocks import SteppingClock


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        embedded_postgres.stop(settings.EMBEDDED_DATA_DIR)


@pytest.fixture
def clock() -> Iterator[SteppingClock]:
    """A clock that stands still until a test moves it."""
    with SteppingClock.installed() as stepping:
        yield stepping
