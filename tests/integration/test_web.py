"""Webhook, pages, admin and health, over Django's own client."""

from __future__ import annotations

import json

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from monitoring import intake
from monitoring.models import AuditLog, Candle, Heartbeat, Signal, Trader, User, WorkflowRun, WorkflowSchedule
from tests.support.clocks import SteppingClock
from tests.support.factories import make_schedule, make_trader, make_user
from tests.support.trading import TradingDesk

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_user(is_superuser=True))
    return client


class TestWebhook:
    @pytest.fixture
    def url(self) -> str:
        token, digest = intake.new_webhook_token()
        self.trader = make_trader(webhook_token_hash=digest, symbols=["BTCUSDT", "ETHUSDT"])
        return f"/api/v1/signals/{token}/"

    def post(self, client: Client, url: str, body: object, content_type: str = "application/json"):
        data = body if isinstance(body, str | bytes) else json.dumps(body)
        return client.post(url, data=data, content_type=content_type)

    def test_a_signal_is_taken_and_answered_at_once(self, client: Client, url: str) -> None:
        answer = self.post(client, url, {"symbol": "ETHUSDT", "price": "3100.5", "id": "x1", "note": "hello"})
        assert answer.status_code == 201
        signal = Signal.objects.get()
        assert (str(signal.id), signal.symbol, signal.source, signal.external_id) == (answer.json()["id"], "ETHUSDT", "webhook", "x1")
        assert signal.metadata == {"note": "hello"}

    def test_a_replay_answers_200_with_the_first_id(self, client: Client, url: str) -> None:
        first = self.post(client, url, {"symbol": "ETHUSDT", "id": "x1"})
        again = self.post(client, url, {"symbol": "ETHUSDT", "id": "x1"})
        assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])

    def test_what_tradingview_sends_is_understood_whatever_its_label(self, client: Client, url: str) -> None:
        body = {
            "secret": "hush",
            "ticker": "BTCUSDT.P",
            "exchange": "BINANCE",
            "interval": "5",
            "action": "buy",
            "price": "64000.1",
            "time": "2026-08-27T09:56:00Z",
            "timenow": "2026-08-27T10:00:01Z",
            "market_position": "long",
        }
        for _ in range(2):
            answer = self.post(client, url, body, content_type="text/plain")
        assert answer.status_code == 200, "a resend is a replay"
        signal = Signal.objects.get()
        assert (signal.symbol, signal.side, signal.external_id) == ("BTCUSDT", "long", "BTCUSDT-2026-08-27T10:00:01Z")
        assert "secret" not in signal.metadata

    @pytest.mark.parametrize(
        ("body", "status", "field"),
        [
            ("not json", 400, "body"),
            (b"\xff\xfe", 400, "body"),
            ([], 400, "body"),
            ("[" * 10_000, 400, "body"),
            ({}, 400, "symbol"),
            ({"symbol": 5}, 400, "symbol"),
            ({"symbol": "BTCUSDT", "side": "up"}, 400, "side"),
            ({"symbol": "BTCUSDT", "price": "NaN"}, 400, "price"),
            ({"symbol": "BTCUSDT", "price": -1}, 400, "price"),
            ({"symbol": "BTCUSDT", "price": True}, 400, "price"),
            ('{"symbol": "BTCUSDT", "price": NaN}', 400, "body"),
            ({"symbol": "BTCUSDT", "id": ["x"]}, 400, "id"),
            ({"symbol": "NOPE"}, 422, "symbol"),
            ({"symbol": "BTCUSDT", "side": "sell"}, 422, "side"),
            ({"symbol": "BTCUSDT", "note": "x" * 20_000}, 413, "body"),
        ],
    )
    def test_a_wrong_body_is_refused_by_field_and_leaves_nothing(
        self, client: Client, url: str, body: object, status: int, field: str
    ) -> None:
        answer = self.post(client, url, body)
        assert answer.status_code == status
        assert answer.json()["error"].startswith(field)
        assert not Signal.objects.exists()

    def test_a_wrong_token_and_a_paused_trader_are_refused(self, client: Client, url: str) -> None:
        assert self.post(client, "/api/v1/signals/nonsense/", {"symbol": "BTCUSDT"}).status_code == 404
        Trader.objects.update(state="paused")
        assert self.post(client, url, {"symbol": "BTCUSDT"}).status_code == 409
        assert client.get(url).status_code == 405
        assert not Signal.objects.exists()


class TestPages:
    def test_the_desk_is_for_staff_only(self, client: Client) -> None:
        assert client.get("/").status_code == 302
        client.force_login(make_user(is_staff=False))
        assert client.get("/").status_code == 302

    def test_the_desk_shows_text_from_outside_as_text(self, operator: Client) -> None:
        make_trader(name="<img src=x onerror=alert(1)>")
        page = operator.get("/").content.decode()
        assert "<img" not in page
        assert "&lt;img" in page

    def test_every_answer_has_a_strict_policy(self, operator: Client) -> None:
        for path in ("/", "/admin/", "/healthz", "/nowhere"):
            policy = operator.get(path).headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy
            assert "unsafe" not in policy

    def test_health(self, client: Client) -> None:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").status_code == 503
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO heartbeats (kind, instance, started_at, beat_at) VALUES ('listener', 'x', now(), now())")
        assert client.get("/readyz").status_code == 200
        assert b"candle_desk_queue_depth 0" in client.get("/metrics").content
        assert Heartbeat.objects.count() == 1


MODELS = [model for model in admin.site._registry if model._meta.app_label in ("monitoring", "positions")]


class TestAdmin:
    @pytest.fixture
    def filled(self, clock: SteppingClock) -> TradingDesk:
        desk = TradingDesk(clock)
        desk.open()
        desk.close()
        desk.close(low="97", close="97.5")
        return desk

    @pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
    def test_every_list_and_record_opens(self, operator: Client, filled: TradingDesk, model) -> None:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        page = operator.get(reverse(f"{name}_changelist"), {"q": "x"} if admin.site._registry[model].search_fields else {})
        assert page.status_code == 200
        if model._meta.managed and (row := model._default_manager.first()):
            assert operator.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200

    @pytest.mark.parametrize("name", ["workflowschedule", "workflowrun", "signal", "monitoringdecision", "signalanalysis", "candle"])
    def test_a_list_does_not_ask_per_row(self, operator: Client, filled: TradingDesk, name: str) -> None:
        url = reverse(f"admin:monitoring_{name}_changelist")
        counts = []
        for more in (1, 20):
            for _ in range(more):
                schedule = make_schedule(filled.trader, started_at=filled.clock.now)
                WorkflowRun.objects.create(schedule=schedule, candle_time=filled.clock.ms)
            operator.get(url)
            with CaptureQueriesContext(connection) as queries:
                operator.get(url)
            counts.append(len(queries))
        assert counts[1] <= counts[0] + 1

    def test_evidence_can_not_be_changed(self, operator: Client, filled: TradingDesk) -> None:
        row = Candle.objects.first()
        assert row is not None
        url = reverse("admin:monitoring_candle_change", args=[row.pk])
        assert operator.post(url, {"close": "1"}).status_code == 403
        assert operator.post(reverse("admin:monitoring_candle_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
        assert operator.get(reverse("admin:monitoring_candle_add")).status_code == 403

    def action(self, operator: Client, schedule: WorkflowSchedule, action: str, **more: str):
        data = {"action": action, "_selected_action": [str(schedule.pk)], **more}
        return operator.post(reverse("admin:monitoring_workflowschedule_changelist"), data)

    def test_disabling_asks_why_and_records_who(self, operator: Client, clock: SteppingClock) -> None:
        schedule = make_schedule(make_trader(), started_at=clock.now)
        assert b"Reason" in self.action(operator, schedule, "disable").content
        schedule.refresh_from_db()
        assert schedule.is_active, "nothing happens before the reason is given"
        self.action(operator, schedule, "disable", confirmed="1", reason="x")
        schedule.refresh_from_db()
        assert schedule.is_active, "the reason is too short"
        self.action(operator, schedule, "disable", confirmed="1", reason="maintenance")
        schedule.refresh_from_db()
        assert (schedule.is_active, schedule.stop_reason) == (False, "operator")
        entry = AuditLog.objects.get()
        assert (entry.action, entry.reason, entry.user) == ("disable", "maintenance", User.objects.filter(is_superuser=True).get())
        self.action(operator, schedule, "enable", confirmed="1", reason="done")
        schedule.refresh_from_db()
        assert schedule.is_active

    def test_a_viewer_may_not_disable(self, client: Client, clock: SteppingClock) -> None:
        from django.contrib.auth.models import Permission

        viewer = make_user()
        viewer.user_permissions.add(Permission.objects.get(codename="view_workflowschedule"))
        client.force_login(viewer)
        schedule = make_schedule(make_trader(), started_at=clock.now)
        self.action(client, schedule, "disable", confirmed="1", reason="maintenance")
        schedule.refresh_from_db()
        assert schedule.is_active

    def test_a_signal_can_be_raised_by_hand(self, operator: Client, clock: SteppingClock) -> None:
        trader = make_trader()
        url = reverse("admin:monitoring_signal_add")
        wrong = operator.post(url, {"trader": trader.pk, "symbol": "NOPE", "side": "long"})
        assert b"BTCUSDT" in wrong.content
        assert operator.post(url, {"trader": trader.pk, "symbol": "BTCUSDT", "side": "long"}).status_code == 302
        signal = Signal.objects.get()
        assert (signal.source, signal.status, signal.interval) == ("admin", "new", "5m")

    def test_a_webhook_token_is_shown_once(self, operator: Client) -> None:
        trader = make_trader()
        data = {"action": "new_webhook_token", "_selected_action": [str(trader.pk)]}
        page = operator.post(reverse("admin:monitoring_trader_changelist"), data, follow=True).content.decode()
        token = page.split("/api/v1/signals/")[1].split("/")[0]
        assert intake.trader_of_token(token) == trader
        assert token not in json.dumps(list(Trader.objects.values()), default=str)
