"""The audit log as a page: filtered, in pages, for those who may."""

from __future__ import annotations

import pytest
from django.test import Client

from monitoring import audit
from monitoring.audit import Actor
from monitoring.models import AuditLog
from tests.support.clocks import SteppingClock
from tests.support.factories import make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(make_user(is_superuser=True))
    return client


def record(clock: SteppingClock, *, who: str = "olga", action: str = "switch", reason: str = "a drill", source: str = "web") -> AuditLog:
    before, after = {"state": "running", "same": 1}, {"state": "halted", "same": 1}
    return audit.record(
        action=action, subject=("switch", "all"), actor=Actor(who, source), now=clock.now, reason=reason, before=before, after=after
    )


class TestPage:
    def test_it_shows_what_changed(self, staff: Client, clock: SteppingClock) -> None:
        record(clock, reason="<script>alert(1)</script>")
        page = staff.get("/audit/").content.decode()
        assert "<b>state</b> running → halted" in page
        assert "<b>same</b>" not in page
        assert "<script>alert" not in page

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("", 3),
            ("actor=olga", 2),
            ("action=pause", 1),
            ("source=cli", 1),
            ("text=DRILL", 2),
            ("since=2100-01-01", 0),
            ("until=2100-01-01", 3),
        ],
    )
    def test_it_is_filtered(self, staff: Client, clock: SteppingClock, query: str, found: int) -> None:
        record(clock)
        record(clock, action="pause", reason="too many losses")
        record(clock, who="bob", source="cli")
        assert len(staff.get(f"/audit/?{query}").context["rows"]) == found

    def test_it_goes_on_by_key(self, staff: Client, clock: SteppingClock) -> None:
        ids = [record(clock).id for _ in range(150)]
        first = staff.get("/audit/?actor=olga")
        assert [row["entry"].id for row in first.context["rows"]] == ids[:49:-1]
        older = staff.get(f"/audit/?actor=olga&before={first.context['older']}")
        assert [row["entry"].id for row in older.context["rows"]] == ids[49::-1]
        assert older.context["older"] is None

    @pytest.mark.parametrize("query", ["before=x", "before=99999999999999999999", "since=yesterday", "until=2026-13-40"])
    def test_junk_is_refused(self, staff: Client, query: str) -> None:
        assert staff.get(f"/audit/?{query}").status_code == 400

    def test_who_may_not_sees_nothing(self, client: Client) -> None:
        assert client.get("/audit/").status_code == 302
        client.force_login(make_user())
        assert client.get("/audit/").status_code == 403
