"""Notifications: who is told, in how many messages, when, and what happens when the target does not answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.utils import timezone

from monitoring import controls, delivery, events, notifications
from monitoring.audit import Actor
from monitoring.events import NewEvent
from monitoring.models import Event, NotificationDelivery, NotificationTarget, User
from tests.support import queue
from tests.support.clocks import SteppingClock
from tests.support.factories import make_user

pytestmark = pytest.mark.django_db
OLGA = Actor("olga", "cli")


class Inbox:
    """What a target was sent, and how it answers."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.status = 200
        self.url = ""


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    box = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if box.status == 200:
                box.messages.append(body)
            self.send_response(box.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    box.url = f"json://127.0.0.1:{server.server_port}/"
    yield box
    server.shutdown()
    thread.join()
    server.server_close()


def target(user: User, inbox: Inbox, **over: Any) -> NotificationTarget:
    return NotificationTarget.objects.create(user=user, **{"name": "phone", "url": inbox.url, "min_level": "warning", **over})


def tell(user: User, text: str = "something", *, level: str = "warning", kind: str = "position_unprotected") -> None:
    data = {"symbol": "BTCUSDT", "reason": "test"} if kind == "position_unprotected" else {}
    event = events.record(NewEvent(kind, text, data, level=level, user_id=user.id), now=timezone.now())
    notifications.notify([event])


def make_due() -> None:
    """As if the waiting were over."""
    NotificationDelivery.objects.filter(status="pending").update(next_attempt_at=timezone.now() - timedelta(seconds=1))


class TestDelivery:
    def test_an_event_reaches_its_owners_target_once(self, inbox: Inbox) -> None:
        user, other = make_user(), make_user()
        target(user, inbox)
        target(other, inbox)
        tell(user, "BTCUSDT has no stop")
        queue.run_all()
        [message] = inbox.messages
        assert "BTCUSDT has no stop" in message["message"]
        assert message["title"] == "Candle Desk: position unprotected"
        row = NotificationDelivery.objects.get()
        assert (row.status, row.attempts) == ("sent", 1)
        assert delivery.deliver() == 0

    def test_a_burst_becomes_one_message(self, inbox: Inbox) -> None:
        user = make_user()
        target(user, inbox)
        for number in range(30):
            tell(user, f"event {number}")
        queue.run_all()
        [message] = inbox.messages
        assert message["title"] == "Candle Desk: 30 events, warning"
        assert message["message"].count("event ") == 20
        assert "10 more" in message["message"]

    def test_what_comes_soon_after_a_message_waits_unless_it_is_critical(self, inbox: Inbox) -> None:
        user = make_user()
        target(user, inbox)
        tell(user, "first")
        queue.run_all()
        tell(user, "second")
        queue.run_all()
        assert len(inbox.messages) == 1
        tell(user, "third", level="critical")
        queue.run_all()
        assert len(inbox.messages) == 2
        make_due()
        assert delivery.deliver() == 0, "the third was a moment ago"
        NotificationDelivery.objects.filter(status="sent").update(sent_at=timezone.now() - timedelta(minutes=1))
        make_due()
        assert delivery.deliver() == 1
        assert "second" in inbox.messages[2]["message"]

    def test_quiet_hours_hold_all_but_the_critical(self, inbox: Inbox) -> None:
        user, now = make_user(), timezone.now()
        around = (now - timedelta(hours=1)).time().replace(microsecond=0), (now + timedelta(hours=1)).time().replace(microsecond=0)
        target(user, inbox, quiet_from=around[0], quiet_until=around[1])
        tell(user, "may wait")
        queue.run_all()
        assert inbox.messages == []
        waits = NotificationDelivery.objects.get().next_attempt_at - timezone.now()
        assert timedelta(minutes=58) < waits <= timedelta(hours=1)
        tell(user, "may not", level="critical")
        queue.run_all()
        assert len(inbox.messages) == 1

    @pytest.mark.parametrize(("hour", "quiet"), [(23, True), (3, True), (7, False), (12, False)])
    def test_quiet_hours_may_span_midnight(self, hour: int, quiet: bool) -> None:
        night = NotificationTarget(quiet_from=time(22), quiet_until=time(7))
        at = timezone.now().replace(hour=hour, minute=0, second=0, microsecond=0)
        until = delivery._quiet_until(night, at)
        assert (until is not None) == quiet
        if until:
            assert (until.hour, until > at, until - at < timedelta(days=1)) == (7, True, True)

    def test_a_target_that_fails_is_tried_again_later_each_time_and_given_up(self, inbox: Inbox) -> None:
        user = make_user()
        target(user, inbox)
        inbox.status = 500
        tell(user)
        pauses = []
        for _ in range(delivery.MOST_ATTEMPTS):
            queue.run_all()
            delivery.deliver()
            row = NotificationDelivery.objects.get()
            pauses.append((row.next_attempt_at - timezone.now()).total_seconds())
            make_due()
        assert pauses[0] == pytest.approx(10, abs=2)
        assert pauses[3] == pytest.approx(80, abs=2)
        assert (row.status, row.attempts) == ("failed", delivery.MOST_ATTEMPTS)
        assert row.error

    def test_a_retry_is_found_by_the_sweep(self, inbox: Inbox) -> None:
        user = make_user()
        target(user, inbox)
        inbox.status = 500
        tell(user)
        queue.run_all()
        assert delivery.requeue(timezone.now()) == 0
        make_due()
        inbox.status = 200
        assert delivery.requeue(timezone.now()) == 1
        queue.run_all()
        assert len(inbox.messages) == 1


class TestWhoIsTold:
    def test_a_switch_is_told_to_those_who_see_everything(self, inbox: Inbox, clock: SteppingClock) -> None:
        seeing, owner = make_user(), make_user()
        seeing.groups.add(Group.objects.get(name="operator"))
        owner.groups.add(Group.objects.get(name="trader-owner"))
        for user in (seeing, owner):
            target(user, inbox)
        controls.halt(scope="all", state="halted", reason="a drill", actor=OLGA, now=clock.now)
        assert [row.user for row in NotificationDelivery.objects.all()] == [seeing]
        queue.run_all()
        assert "running → halted: a drill" in inbox.messages[0]["message"]

    def test_kinds_and_levels_are_chosen(self, inbox: Inbox) -> None:
        user = make_user()
        target(user, inbox, kinds=["workflow_disabled"])
        target(user, inbox, min_level="critical")
        target(user, inbox, is_active=False)
        tell(user)
        assert NotificationDelivery.objects.get().status == "shown"


class TestAdmin:
    @pytest.fixture
    def operator(self, client: Client) -> Client:
        client.force_login(make_user(is_superuser=True, username="olga"))
        return client

    def test_only_addresses_that_apprise_knows_and_kinds_that_exist(self, operator: Client, inbox: Inbox) -> None:
        user = User.objects.get(username="olga")
        form = {"user": str(user.id), "name": "x", "min_level": "info", "is_active": "on"}
        url = "/admin/monitoring/notificationtarget/add/"
        assert b"no address that Apprise knows" in operator.post(url, {**form, "url": "nonsense", "kinds": "[]"}).content
        assert b"unknown kinds" in operator.post(url, {**form, "url": inbox.url, "kinds": '["dance"]'}).content
        assert operator.post(url, {**form, "url": inbox.url, "kinds": '["switch_changed"]'}).status_code == 302

    def test_a_test_is_sent_whatever_the_target_wants(self, operator: Client, inbox: Inbox) -> None:
        chosen = target(User.objects.get(username="olga"), inbox, min_level="critical")
        form = {"action": "send_test", "_selected_action": [str(chosen.id)]}
        operator.post("/admin/monitoring/notificationtarget/", form)
        queue.run_all()
        assert "a test, asked for by olga" in inbox.messages[0]["message"]
        assert Event.objects.filter(kind="notification_test").count() == 1


def test_two_workers_never_send_the_same(inbox: Inbox) -> None:
    user = make_user()
    target(user, inbox)
    tell(user)
    with connection.cursor() as cursor:
        cursor.execute(delivery.CLAIM, {"lease": 120, "batch": 10})
        assert len(cursor.fetchall()) == 1
        cursor.execute(delivery.CLAIM, {"lease": 120, "batch": 10})
        assert cursor.fetchall() == []
