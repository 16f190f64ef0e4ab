"""The REST API: who gets in, whose rows come out, and what programs are told when something is wrong."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
import pytest
from django.test import Client

from desk import tokens
from desk.api import api
from monitoring.audit import Actor
from monitoring.models import AuditLog, Halt, Signal, User
from tests.support.clocks import SteppingClock
from tests.support.factories import make_schedule, make_trader, make_user
from tests.support.sessions import graph_of, make_session
from workflows import executions, library, rows
from workflows.models import WorkflowExecution, WorkflowSession

pytestmark = pytest.mark.django_db
BY = Actor("test", "cli")


class Program:
    """A client with a token."""

    def __init__(self, user: User, clock: SteppingClock) -> None:
        self.user, self.client = user, Client()
        self.token = tokens.make(user=user, name=f"program {uuid.uuid4()}", actor=BY, now=clock.now)

    def __call__(self, method: str, path: str, data: Any = None, *, status: int = 200, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = self.client.generic(
            method, f"/api/v1{path}", b"" if data is None else _json(data), "application/json", headers=headers, **more
        )
        assert answer.status_code == status, answer.content[:2000]
        return answer.json() if answer.content else None


@pytest.fixture
def ann(clock: SteppingClock) -> Program:
    return Program(make_user(username="ann", is_superuser=True), clock)


@pytest.fixture
def bob(clock: SteppingClock) -> Program:
    return Program(make_user(username="bob", is_superuser=True), clock)


class TestAccess:
    def test_nobody_gets_in_without_a_token_or_a_login(self, client: Client) -> None:
        for path in ("/sessions", "/executions", "/signals", "/schedules", "/switches"):
            answer = client.get(f"/api/v1{path}")
            assert (answer.status_code, answer.json()["error"]) == (401, "a token or a login is needed")
            assert client.get(f"/api/v1{path}", headers={"Authorization": "Bearer desk_guess"}).status_code == 401

    def test_a_login_needs_the_pages_token_to_change_anything(self, clock: SteppingClock) -> None:
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(make_user(is_superuser=True))
        assert strict.get("/api/v1/sessions").status_code == 200
        assert strict.post("/api/v1/sessions", {"name": "x"}, content_type="application/json").status_code == 403

    def test_a_login_that_is_not_staff_does_not_count(self, client: Client) -> None:
        client.force_login(make_user(is_staff=False, is_superuser=True))
        assert client.get("/api/v1/sessions").status_code == 401

    def test_a_revoked_token_and_one_of_a_person_who_left_open_nothing(self, ann: Program, bob: Program, clock: SteppingClock) -> None:
        tokens.revoke(ann.user.api_tokens.get(), actor=BY, now=clock.now)
        ann("GET", "/sessions", status=401)
        User.objects.filter(id=bob.user.id).update(is_active=False)
        bob("GET", "/sessions", status=401)
        assert set(AuditLog.objects.values_list("action", flat=True)) == {"api_token_made", "api_token_revoked"}

    def test_what_one_may_not_is_refused(self, clock: SteppingClock) -> None:
        nobody = Program(make_user(), clock)
        for method, path in (("GET", "/sessions"), ("POST", "/switches"), ("GET", "/schedules"), ("GET", "/signals")):
            data = {"action": "halt", "reason": "because"} if method == "POST" else None
            assert nobody(method, path, data, status=403)["error"]

    def test_everything_is_described(self, client: Client) -> None:
        paths = api.get_openapi_schema()["paths"]
        assert len(paths) >= 23
        for methods in paths.values():
            for described in methods.values():
                assert described["summary"]
                assert described["security"]


class TestSessions:
    def test_the_life_of_a_session(self, ann: Program) -> None:
        made = ann("POST", "/sessions", {"name": "Mine", **graph_of(), "tags": ["x"]}, status=201)
        root = made["id"]
        assert (made["version"], made["status"], made["problems"], made["is_own"]) == (1, "draft", [], True)
        ann("PATCH", f"/sessions/{root}", {"version": 1, "revision": 1, "folder": "F"})
        ann("PUT", f"/sessions/{root}/favorite?favorite=true", status=204)
        [line] = ann("GET", "/sessions?text=min&tag=x&favorite=true&folder=F")["items"]
        assert (line["id"], "nodes" in line) == (root, False)
        second = ann("POST", f"/sessions/{root}/versions", {"version": 1, **graph_of(above=5), "note": "higher"})
        assert second["version"] == 2
        said = ann("POST", f"/sessions/{root}/versions", {"version": 1, **graph_of(above=6)}, status=409)
        assert "v2 was saved by ann" in said["error"]
        [change] = ann("GET", f"/sessions/{root}/versions/1/difference")
        assert (change["kind"], list(change["fields"])) == ("changed", ["data.settings.conditions"])
        assert ann("POST", f"/sessions/{root}/versions/1/restore", {"base": 2})["version"] == 3
        assert [found["version"] for found in ann("GET", f"/sessions/{root}/versions")] == [3, 2, 1]
        assert ann("PUT", f"/sessions/{root}/status", {"status": "active"})["status"] == "active"
        ann("DELETE", f"/sessions/{root}", status=422)
        ann("PUT", f"/sessions/{root}/status", {"status": "paused", "reason": "enough"})
        run = ann("POST", f"/sessions/{root}/executions", {}, status=202)
        assert (run["status"], run["is_trial"], run["trigger"]) == ("running", True, "api")
        assert ann("POST", f"/executions/{run['id']}/cancel")["status"] == "cancelled"
        assert ann("GET", f"/executions/{run['id']}")["outputs"] == {}
        assert ann("GET", f"/sessions/{root}/statistics")["runs"] == 1
        assert len(ann("GET", f"/executions?session={root}")) == 1
        assert ann("GET", "/executions/slow?over_ms=100000") == []
        copy = ann("POST", f"/sessions/{root}/duplicate", {}, status=201)
        assert copy["name"] == "Mine (copy)"
        ann("DELETE", f"/sessions/{root}", status=204)
        ann("GET", f"/sessions/{root}", status=404)

    def test_templates_and_node_types(self, ann: Program) -> None:
        assert len([found for found in ann("GET", "/sessions/templates") if found["is_shipped"]]) >= 6
        assert ann("POST", "/sessions/templates/oversold_bounce/use", {}, status=201)["name"] == "Oversold bounce"
        kinds = {found["name"]: found for found in ann("GET", "/sessions/node-types")}
        assert kinds["filter"]["outputs"][0]["name"] == "passed"
        assert ann("POST", "/sessions/check", {"nodes": [{"id": "a", "type": "filter"}], "edges": []})["problems"][0]["node"] == "a"

    @pytest.mark.parametrize(
        ("method", "path", "data", "status"),
        [
            ("POST", "/sessions", {"name": ""}, 422),
            ("POST", "/sessions", {"name": "x", "nodes": [{"no": "id"}]}, 422),
            ("POST", "/sessions", b"not json", 400),
            ("GET", "/sessions?limit=1000", None, 422),
            ("GET", "/sessions?order=size", None, 422),
            ("GET", "/sessions/not-a-uuid", None, 422),
        ],
    )
    def test_junk_is_refused_with_the_reason(self, ann: Program, method: str, path: str, data: Any, status: int) -> None:
        assert ann(method, path, data, status=status)["error"]

    def test_a_broken_graph_names_node_and_field(self, ann: Program) -> None:
        made = ann("POST", "/sessions", {"name": "x", "nodes": [{"id": "a", "type": "filter"}]}, status=201)
        said = ann("PUT", f"/sessions/{made['id']}/status", {"status": "active"}, status=422)
        assert said["problems"][0] == {"node": "a", "field": "conditions", "text": "Field required"}


class TestOthersRows:
    """Every route by which another's row could be reached, with its right id."""

    @pytest.fixture
    def hers(self, ann: Program) -> dict[str, Any]:
        session = make_session(ann.user, graph=graph_of())
        execution = executions.start(user=ann.user, root=session.root_id)
        return {"root": session.root_id, "execution": execution.id}

    def test_no_route_leads_to_them(self, bob: Program, hers: dict[str, Any]) -> None:
        described = api.get_openapi_schema()["paths"]
        bodies = {
            "patch": {"version": 1, "name": "mine now"},
            "/versions": {"version": 1, "nodes": [], "edges": []},
            "/restore": {"base": 1},
            "/status": {"status": "paused"},
        }
        tried = 0
        for path, methods in described.items():
            if "{root}" not in path and "{execution_id}" not in path:
                continue
            url = path.removeprefix("/api/v1").replace("{root}", str(hers["root"])).replace("{execution_id}", str(hers["execution"]))
            url = url.replace("{version}", "1")
            for method in methods:
                ending = next((body for end, body in bodies.items() if url.endswith(end) or method == end), {})
                query = {"/favorite": "?favorite=true", "/versions": "?keep=1"}.get(url[url.rfind("/") :], "")
                answer = bob.client.generic(
                    method.upper(),
                    f"/api/v1{url}{query}",
                    _json(ending),
                    "application/json",
                    headers={"Authorization": f"Bearer {bob.token}"},
                )
                tried += 1
                if answer.status_code == 200:
                    figures = answer.json()
                    assert figures == [] or figures.get("runs") == 0, (method, url, figures)
                else:
                    assert answer.status_code == 404, (method, url, answer.content)
        assert tried >= 15
        with rows.system():
            [session], [execution] = WorkflowSession.objects.all(), WorkflowExecution.objects.all()
        assert (session.name, session.version, session.status, execution.status) == ("A session", 1, "draft", "running")

    def test_lists_hold_ones_own(self, bob: Program, hers: dict[str, Any]) -> None:
        assert bob("GET", "/sessions") == {"items": [], "total": 0}
        assert bob("GET", "/executions") == []
        assert bob("GET", f"/executions?session={hers['root']}") == []

    def test_even_an_administrators_page_shows_no_editor_of_anothers(self, bob: Program, hers: dict[str, Any]) -> None:
        bob.client.force_login(bob.user)
        assert bob.client.get(f"/sessions/{hers['root']}/edit/").status_code == 404


class TestOperations:
    def test_signals_are_raised_once_and_listed(self, ann: Program) -> None:
        trader = make_trader(user=ann.user)
        asked = {"trader": str(trader.id), "symbol": "BTCUSDT", "external_id": "a-1", "price": "100.5"}
        first = ann("POST", "/signals", asked, status=201)
        assert ann("POST", "/signals", asked)["id"] == first["id"]
        assert [found["id"] for found in ann("GET", f"/signals?trader={trader.id}&symbol=BTCUSDT")] == [first["id"]]
        assert "is not traded by" in ann("POST", "/signals", {**asked, "symbol": "XXX"}, status=422)["error"]
        ann("POST", "/signals", {**asked, "trader": str(uuid.uuid4())}, status=404)
        assert Signal.objects.count() == 1

    def test_schedules_are_steered_with_a_reason(self, ann: Program) -> None:
        schedule = make_schedule(make_trader(user=ann.user))
        assert [found["id"] for found in ann("GET", "/schedules?active=true")] == [str(schedule.id)]
        assert ann("POST", f"/schedules/{schedule.id}/disable", {"reason": "too noisy"})["is_active"] is False
        assert ann("POST", f"/schedules/{schedule.id}/disable", {"reason": "too noisy"}, status=409)["error"]
        assert AuditLog.objects.filter(source="api").exists()

    def test_switches_are_moved_and_told(self, ann: Program) -> None:
        assert ann("POST", "/switches", {"action": "halt", "reason": "a drill"})["in_flight"] == []
        [found] = ann("GET", "/switches")
        assert (found["scope"], found["state"], found["reason"], found["halted_by"]) == ("all", "halted", "a drill", "ann")
        assert "FLATTEN" in ann("POST", "/switches", {"action": "flatten", "reason": "a drill"}, status=422)["error"]
        assert ann("GET", "/switches/facts")["state"] == "halted"
        ann("POST", "/switches", {"action": "resume", "reason": "over"})
        assert not Halt.objects.filter(resumed_at__isnull=True).exists()


class TestTokensInTheAdmin:
    def test_a_token_is_shown_once_and_works(self, client: Client) -> None:
        user = make_user(is_superuser=True)
        client.force_login(user)
        answer = client.post("/admin/desk/apitoken/add/", {"name": "my bot"}, follow=True)
        [text] = [str(message).rpartition(" ")[2] for message in answer.context["messages"] if "not shown again" in str(message)]
        assert Client().get("/api/v1/sessions", headers={"Authorization": f"Bearer {text}"}).status_code == 200
        again = client.post("/admin/desk/apitoken/add/", {"name": "my bot"})
        assert "you have a token of this name" in again.content.decode()
        assert text not in client.get("/admin/desk/apitoken/").content.decode()

    def test_sessions_in_the_admin_are_ones_own(self, client: Client, ann: Program) -> None:
        made = make_session(ann.user, name="Hers alone")
        library.find(user=ann.user)
        own = make_user()
        client.force_login(own)
        assert client.get("/admin/workflows/workflowsession/").status_code == 403
        client.force_login(ann.user)
        page = client.get("/admin/workflows/workflowsession/")
        assert "Hers alone" in page.content.decode()
        assert client.get(f"/admin/workflows/workflowsession/{made.id}/change/").status_code == 200
        assert client.get("/admin/workflows/workflowexecution/").status_code == 200


def _json(data: Any) -> bytes:
    return data if isinstance(data, bytes) else orjson.dumps(data)
