"""Admin lists of tables that only grow: what they show, how far back they look, and that an index serves each."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from monitoring.admin import logs
from monitoring.admin.base import LogAdmin
from monitoring.models import AuditLog, Event, SignalAnalysis, User
from tests.support.clocks import SteppingClock
from tests.support.factories import make_signal, make_trader

pytestmark = pytest.mark.django_db

LOGS = {model: registered for model, registered in admin.site._registry.items() if isinstance(registered, LogAdmin)}


@pytest.fixture
def administrator(client: Client, clock: SteppingClock) -> Client:
    client.force_login(User.objects.create_superuser("root"))
    return client


def entries(clock: SteppingClock, *days_ago: int, reason: str = "a reason") -> None:
    for days in days_ago:
        at = clock.now - timedelta(days=days)
        AuditLog.objects.create(at=at, actor="ann", source="web", action="halt", subject_type="trader", subject_id=f"{days}", reason=reason)


def subjects(answer: object) -> list[str]:
    return [entry.subject_id for entry in answer.context["cl"].result_list]  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", LOGS, ids=lambda model: model.__name__)
def test_an_index_has_the_order_of_each(model: type) -> None:
    options = model._meta  # type: ignore[attr-defined]
    first = {index.fields[0].lstrip("-") for index in options.indexes if index.condition is None}
    assert LOGS[model].log_field in first


@pytest.mark.parametrize("model", admin.site._registry, ids=lambda model: model.__name__)
def test_every_list_opens_with_each_of_its_filters(administrator: Client, model: type) -> None:
    options = model._meta  # type: ignore[attr-defined]
    address = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
    answer = administrator.get(address)
    assert answer.status_code == 200
    for spec in answer.context["cl"].filter_specs:
        for choice in list(spec.choices(answer.context["cl"]))[:3]:
            assert administrator.get(address + choice["query_string"]).status_code == 200


class TestHowFarBack:
    def test_a_search_looks_at_the_newest_and_says_so(
        self, administrator: Client, clock: SteppingClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entries(clock, 90, reason="the old one")
        entries(clock, 5, 4, 3, 2, 1)
        monkeypatch.setattr(logs, "WINDOW", 3)
        address = reverse("admin:monitoring_auditlog_changelist")
        answer = administrator.get(address, {"q": "the old one"})
        assert subjects(answer) == []
        assert "Looked at the newest only, back to" in answer.content.decode()
        old = clock.now - timedelta(days=90)
        for when in (f"{old:%Y-%m}", f"{old:%Y-%m-%d}"):
            assert subjects(administrator.get(address, {"q": "the old one", "when": when})) == ["90"]
        assert subjects(administrator.get(address, {"q": "a reason"})) == ["1", "2", "3", "4"]

    def test_without_a_filter_everything_is_there(
        self, administrator: Client, clock: SteppingClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entries(clock, 90, 5, 4, 3, 2, 1)
        monkeypatch.setattr(logs, "WINDOW", 3)
        answer = administrator.get(reverse("admin:monitoring_auditlog_changelist"))
        assert subjects(answer) == ["1", "2", "3", "4", "5", "90"]
        assert "looked-back" not in answer.content.decode()

    def test_a_key_is_followed_however_old(self, administrator: Client, clock: SteppingClock, monkeypatch: pytest.MonkeyPatch) -> None:
        trader = make_trader()
        old, *_ = signals = [make_signal(trader) for _ in range(6)]
        for days, signal in zip((90, 5, 4, 3, 2, 1), signals, strict=True):
            SignalAnalysis.objects.create(
                kind="initial", signal=signal, trader=trader, user=trader.user, analyst="rules", decision="wait",
                created_at=clock.now - timedelta(days=days),
            )  # fmt: skip
        monkeypatch.setattr(logs, "WINDOW", 3)
        address = reverse("admin:monitoring_signalanalysis_changelist")
        found = administrator.get(address, {"signal__id__exact": str(old.id)}).context["cl"].result_list
        assert [row.signal_id for row in found] == [old.id]
        assert administrator.get(address, {"decision": "wait"}).context["cl"].result_count == 4

    def test_pages_reach_the_newest_rows(self, administrator: Client, clock: SteppingClock, monkeypatch: pytest.MonkeyPatch) -> None:
        Event.objects.bulk_create(Event(at=clock.now, kind="decision", text=f"{number}", seq=number) for number in range(260))
        monkeypatch.setattr(logs, "REACHED", 200)
        monkeypatch.setattr(logs, "WINDOW", 100)
        answer = administrator.get(reverse("admin:monitoring_event_changelist"), {"q": "1"})
        assert answer.context["cl"].paginator.num_pages <= 4
        everything = administrator.get(reverse("admin:monitoring_event_changelist"))
        assert (everything.context["cl"].result_count, everything.context["cl"].paginator.num_pages) == (260, 4)
        assert "Pages end after 200 rows" in everything.content.decode()
        assert administrator.get(reverse("admin:monitoring_event_changelist"), {"p": "99"}).status_code == 302


@pytest.mark.parametrize("when", ["junk", "2026-13", "2026-02-30", "0000-01", "2026-01-01-01", "9999-12", "9999-12-31", "\x00"])
def test_a_wrong_month_or_day_is_refused(administrator: Client, when: str) -> None:
    answer = administrator.get(reverse("admin:monitoring_auditlog_changelist"), {"when": when})
    assert answer.status_code in (302, 400)


def test_the_chosen_month_offers_its_days(administrator: Client, clock: SteppingClock) -> None:
    month = clock.now - timedelta(days=40)
    text = administrator.get(reverse("admin:monitoring_auditlog_changelist"), {"when": f"{month:%Y-%m}"}).content.decode()
    assert f"when={month:%Y-%m}-15" in text
    assert f"{month:%B %Y}" in text
