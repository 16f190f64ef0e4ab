"""Fixtures of all tests; the embedded server is stopped when the last of them is done."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

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


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """
    Keep PostgreSQL from taking the tables for empty.

    What tests write is rolled back and never seen by autovacuum: it notes that there are no rows, and a test with many then gets plans
    for none.
    """
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"ALTER TABLE {connection.ops.quote_name(table)} SET (autovacuum_enabled = off)")


@pytest.fixture
def clock() -> Iterator[SteppingClock]:
    """A clock that stands still until a test moves it."""
    with SteppingClock.installed() as stepping:
        yield stepping
