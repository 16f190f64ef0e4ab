"""Fixtures of all tests; the embedded server is stopped when the last of them is done."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest
from django.conf import settings

from config import embedded_postgres
from tests.support.clocks import SteppingClock


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--strict-skips", action="store_true", help="a skipped test fails the run")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and item.config.getoption("--strict-skips"):
        report.outcome = "failed"
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        embedded_postgres.stop(settings.EMBEDDED_DATA_DIR)


@pytest.fixture
def clock() -> Iterator[SteppingClock]:
    """A clock that stands still until a test moves it."""
    with SteppingClock.installed() as stepping:
        yield stepping
