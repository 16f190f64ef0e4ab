"""The kill switches over HTTP, and who may do and see what."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from monitoring import controls
from monitoring.models import AuditLog, Halt, User
from positions.models import ExchangeAccount, Order
from tests.support.clocks import SteppingClock
from tests.support.factories import make_signal, make_trader, make_user
from tests.support.trading import TradingDesk

pytestmark = pytest.mark.django_db
JSON = {"HTTP_ACCEPT": "application/json"}


def member(role: str, **over: object) -> User:
    user = make_user(**over)
    user.groups.add(Group.objects.get(name=role))
    return user


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(member("operator", username="olga"))
    return client


def move(client: Client, **form: str):
    return client.post("/switches/", {"scope": "all", "reason": "a drill", **form}, **JSON)


class TestMoving:
    def test_a_halt_is_recorded_with_who_why_and_from_where(self, operator: Client) -> None:
        answer = move(operator, action="halt")
        assert (answer.status_code, answer.json()) == (200, {"text": "all is halted", "in_flight": []})
        halt = Halt.objects.get()
        assert (halt.state, halt.halted_by, halt.reason, halt.source) == ("halted", "olga", "a drill", "web")
        log = AuditLog.objects.get()
        assert (log.actor, log.address, log.before, log.after) == ("olga", "127.0.0.1", {"state": "running"}, {"state": "halted"})
        assert move(operator, action="halt").json()["text"] == "all is halted (it was before)"
        assert move(operator, action="resume").status_code == 200
        assert controls.open_halts() == {}

    @pytest.mark.parametrize(
        ("form", "why"),
        [
            ({"action": "halt", "reason": " a "}, "reason"),
            ({"action": "halt", "scope": "galaxy"}, "scope"),
            ({"action": "halt", "scope": "trader:" + "-" * 36}, "scope"),
            ({"action": "explode"}, "action"),
            ({"action": "flatten"}, "FLATTEN"),
            ({"action": "flatten", "word": "flatten"}, "FLATTEN"),
            ({"action": "resume"}, "not halted"),
        ],
    )
    def test_what_is_not_asked_properly_is_refused(self, operator: Client, form: dict[str, str], why: str) -> None:
        answer = move(operator, **form)
        assert answer.status_code == 400
        assert why in answer.json()["error"]
        assert not Halt.objects.exists()

    def test_flatten_reduces_at_once_and_leaves_the_rest_to_a_job(self, operator: Client, clock: SteppingClock) -> None:
        assert "one after the other" in move(operator, action="flatten", word="FLATTEN").json()["text"]
        assert controls.open_halts()["all"].state == "reducing"

    def test_without_script_the_page_does_it(self, operator: Client) -> None:
        answer = operator.post("/switches/", {"action": "reduce", "scope": "symbol:BTCUSDT", "reason": "a drill"}, follow=True)
        assert b"symbol:BTCUSDT is reducing" in answer.content
        assert operator.post("/switches/", {"action": "reduce", "reason": ""}, follow=True).content.count(b"note-error") == 1

    def test_a_post_without_its_token_is_refused(self) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(member("operator"))
        assert move(client, action="halt").status_code == 403
        assert not Halt.objects.exists()


class TestFacts:
    def test_they_tell_what_is_held_and_working(self, clock: SteppingClock, operator: Client) -> None:
        desk = TradingDesk(clock)
        desk.open()
        found = operator.get("/switches/facts/?scope=all").json()
        assert (found["state"], found["positions"], found["symbols"]) == ("running", 1, ["BTCUSDT"])
        assert found["orders"] == 2, "stop and target"
        assert (found["adding"], found["managed"], found["unprotected"], found["may_move"]) == (0, 1, [], True)
        assert (found["unclear"], found["drifted"]) == (0, []), "a resume would be clean"
        Order.objects.filter(leg="stop").update(status="unknown")
        ExchangeAccount.objects.update(reconcile_problem="it holds more than we know")
        found = operator.get("/switches/facts/?scope=all").json()
        assert (found["unclear"], len(found["drifted"])) == (1, 1)
        assert {"all", f"trader:{desk.trader.id}", "symbol:BTCUSDT"} <= {entry["scope"] for entry in found["scopes"]}
        assert operator.get("/switches/facts/?scope=symbol:ETHUSDT").json()["positions"] == 0
        assert operator.get("/switches/facts/?scope=nonsense").status_code == 400


class TestRoles:
    @pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("trader-owner", 403), ("operator", 200), ("administrator", 200)])
    def test_who_may_move_a_switch(self, client: Client, role: str, status: int) -> None:
        client.force_login(member(role))
        assert move(client, action="halt").status_code == status
        page = client.get("/switches/")
        assert (b"needs a permission" in page.content) == (status == 403)

    def test_nobody_else_gets_in(self, client: Client) -> None:
        assert client.get("/switches/").status_code == 302
        client.force_login(make_user(is_staff=False, is_superuser=False))
        assert client.get("/switches/facts/").status_code == 302
        assert move(client, action="halt").status_code == 302
        assert not Halt.objects.exists()

    def test_a_trader_owner_sees_own_rows_only(self, client: Client) -> None:
        owner = member("trader-owner")
        own, other = make_trader(user=owner, name="mine"), make_trader(name="theirs")
        signals = [make_signal(trader) for trader in (own, other)]
        client.force_login(owner)
        traders = client.get("/admin/monitoring/trader/")
        assert b"mine" in traders.content
        assert b"theirs" not in traders.content
        assert client.get(f"/admin/monitoring/signal/{signals[0].id}/change/").status_code == 200
        assert client.get(f"/admin/monitoring/signal/{signals[1].id}/change/").status_code == 302, "as if it did not exist"
        assert client.get("/admin/monitoring/auditlog/").status_code == 403
        form = client.get(f"/admin/monitoring/trader/{own.id}/change/").content
        assert b'name="strategy"' in form
        assert b'name="user"' not in form, "a trader can't be given away"

    def test_a_viewer_sees_all_and_changes_nothing(self, client: Client) -> None:
        trader = make_trader(name="theirs")
        client.force_login(member("viewer"))
        assert b"theirs" in client.get("/admin/monitoring/trader/").content
        page = client.get(f"/admin/monitoring/trader/{trader.id}/change/")
        assert page.status_code == 200
        assert b'name="_save"' not in page.content
