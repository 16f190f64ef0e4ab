"""The library of sessions: its service layer, and that PostgreSQL itself keeps one user's rows from another's."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from monitoring.audit import Actor
from monitoring.models import AuditLog, User
from tests.support.clocks import SteppingClock
from tests.support.factories import make_trader, make_user
from tests.support.sessions import edge, graph_of, make_session, node
from workflows import executions, library, rows, sessions, templates, versions
from workflows.graph import BadGraph
from workflows.library import Wanted
from workflows.models import WorkflowExecution, WorkflowSession
from workflows.sessions import Base, Conflict, NotFound, Refused

pytestmark = pytest.mark.django_db
OLGA = Actor("olga", "web")


@pytest.fixture
def ann() -> User:
    return make_user(username="ann")


@pytest.fixture
def bob() -> User:
    return make_user(username="bob")


class TestLibrary:
    def test_what_is_saved_is_what_comes_back_unknown_keys_and_all(self, ann: User) -> None:
        graph = graph_of()
        graph["nodes"][0]["data"]["somebody_elses"] = {"x": [1, None, "ü"]}
        graph["nodes"].append({"id": "odd", "type": "from_elsewhere", "measured": {"width": 3}})
        made = make_session(ann, graph=graph, tags=["a", "a", " b "], folder="Mine")
        found = sessions.get(user=ann, root=made.root_id)
        assert (found.nodes, found.edges) == (graph["nodes"], graph["edges"])
        assert (found.version, found.revision, found.status, found.tags, found.saved_by) == (1, 1, "draft", ["a", "b"], "ann")

    def test_lists_are_filtered_ordered_and_paged(self, ann: User) -> None:
        for name, details in (
            ("Breakout", {"tags": ["trend", "x"], "folder": "Ideas"}),
            ("Oversold bounce", {"tags": ["x"], "is_favorite": True, "description": "buys weakness"}),
            ("Squeeze", {"is_template": True}),
        ):
            make_session(ann, name=name, **details)

        def names(**wanted: Any) -> list[str]:
            return [found.name for found in library.find(user=ann, wanted=Wanted(order="name", **wanted)).sessions]

        assert names() == ["Breakout", "Oversold bounce", "Squeeze"]
        assert names(tags=["x"]) == ["Breakout", "Oversold bounce"]
        assert names(tags=["x", "trend"]) == ["Breakout"]
        assert names(folder="Ideas") == ["Breakout"]
        assert names(favorite=True) == ["Oversold bounce"]
        assert names(template=True) == ["Squeeze"]
        assert names(text="over") == ["Oversold bounce"], "a word that is just begun"
        assert names(text="weakness bounce") == ["Oversold bounce"]
        assert names(text="weakness breakout") == []
        assert names(text="high") == ["Breakout", "Oversold bounce", "Squeeze"], "labels of nodes"
        assert names(text="'; DROP TABLE -- & | ! :*") == []
        page = library.find(user=ann, wanted=Wanted(order="name"), limit=1, offset=1)
        assert ([found.name for found in page.sessions], page.total) == (["Oversold bounce"], 3)
        assert library.folders(user=ann) == ["Ideas"]
        assert library.tags(user=ann) == ["trend", "x"]
        with pytest.raises(Refused, match="order"):
            names_by_size = Wanted(order="size")
            library.find(user=ann, wanted=names_by_size)

    def test_archived_ones_show_only_when_asked_for(self, ann: User, clock: SteppingClock) -> None:
        made = make_session(ann)
        sessions.set_status(user=ann, root=made.root_id, status="archived", reason="done", now=clock.now, actor=OLGA)
        assert library.find(user=ann).total == 0
        assert library.find(user=ann, wanted=Wanted(status="archived")).total == 1

    @pytest.mark.parametrize(
        ("changes", "wrong"),
        [
            ({"name": " "}, "name"),
            ({"name": "x" * 201}, "name"),
            ({"name": "a\x00"}, "NUL"),
            ({"tags": ["x" * 41]}, "tags"),
            ({"user": 1}, "user"),
            ({"status": "active"}, "status"),
            ({"trigger_settings": {"grace_s": 1e9}}, "grace_s"),
        ],
    )
    def test_what_can_not_be_is_refused(self, ann: User, changes: dict[str, Any], wrong: str) -> None:
        made = make_session(ann)
        with pytest.raises(Refused, match=wrong):
            sessions.update(user=ann, root=made.root_id, base=Base(1, 1), changes=changes)

    def test_a_copy_is_a_session_of_its_own(self, ann: User) -> None:
        made = make_session(ann)
        copy = sessions.duplicate(user=ann, root=made.root_id)
        sessions.update(user=ann, root=copy.root_id, base=Base(1, 1), changes={"name": "Mine"})
        assert sessions.get(user=ann, root=made.root_id).name == "A session"

    def test_active_ones_are_not_deleted_and_deleting_takes_everything_along(self, ann: User, clock: SteppingClock) -> None:
        made = make_session(ann)
        sessions.activate(user=ann, root=made.root_id, now=clock.now, actor=OLGA)
        executions.start(user=ann, root=made.root_id)
        versions.create(user=ann, root=made.root_id, base=Base(1), **graph_of(above=1))
        with pytest.raises(Refused, match="pause it"):
            sessions.delete(user=ann, root=made.root_id, now=clock.now, actor=OLGA)
        sessions.set_status(user=ann, root=made.root_id, status="paused", reason="enough", now=clock.now, actor=OLGA)
        sessions.delete(user=ann, root=made.root_id, now=clock.now, actor=OLGA)
        with rows.system():
            assert (WorkflowSession.objects.count(), WorkflowExecution.objects.count()) == (0, 0)
        changes = AuditLog.objects.filter(action="session_status").order_by("id").values_list("after__status", flat=True)
        assert list(changes) == ["active", "paused", "deleted"]

    def test_only_what_can_run_and_is_started_by_a_close_can_be_active(self, ann: User, clock: SteppingClock) -> None:
        broken = make_session(ann, graph={"nodes": [node("f", "filter")], "edges": []})
        with pytest.raises(BadGraph, match="node f, conditions"):
            sessions.activate(user=ann, root=broken.root_id, now=clock.now, actor=OLGA)
        manual = make_session(ann, graph={"nodes": [node("m", "manual", symbols=["BTCUSDT"])], "edges": []})
        with pytest.raises(Refused, match="no close starts it"):
            sessions.activate(user=ann, root=manual.root_id, now=clock.now, actor=OLGA)


class TestVersions:
    def test_every_save_is_a_version_and_the_same_graph_again_is_none(self, ann: User) -> None:
        root = make_session(ann).root_id
        second = versions.create(user=ann, root=root, base=Base(1), note="higher", **graph_of(above=5))
        assert (second.version, second.parent_id, second.note) == (2, root, "higher")
        assert versions.create(user=ann, root=root, base=Base(2), **graph_of(above=5)).version == 2
        assert [found.version for found in versions.history(user=ann, root=root)] == [2, 1]
        assert sessions.get(user=ann, root=root).version == 2
        assert sessions.get(user=ann, root=root, version=1).nodes == graph_of()["nodes"]

    def test_nobody_overwrites_what_somebody_saved_meanwhile(self, ann: User) -> None:
        root = make_session(ann).root_id
        versions.create(user=ann, root=root, base=Base(1), **graph_of(above=5))
        with pytest.raises(Conflict, match="v2 was saved by ann"):
            versions.create(user=ann, root=root, base=Base(1), **graph_of(above=6))
        sessions.update(user=ann, root=root, base=Base(2, 1), changes={"name": "B"})
        with pytest.raises(Conflict, match="nothing was overwritten"):
            sessions.update(user=ann, root=root, base=Base(2, 1), changes={"name": "C"})
        assert sessions.get(user=ann, root=root).name == "B"

    def test_an_old_version_is_restored_as_a_new_one(self, ann: User) -> None:
        root = make_session(ann).root_id
        versions.create(user=ann, root=root, base=Base(1), **graph_of(above=5))
        third = versions.restore(user=ann, root=root, version=1, base=Base(2))
        assert (third.version, third.nodes, third.note) == (3, graph_of()["nodes"], "restored from v1")

    def test_an_active_session_keeps_running_on_its_new_version_and_refuses_a_broken_one(self, ann: User, clock: SteppingClock) -> None:
        root = make_session(ann).root_id
        sessions.activate(user=ann, root=root, now=clock.now, actor=OLGA)
        new = versions.create(user=ann, root=root, base=Base(1), **graph_of(symbols=("BTCUSDT", "ETHUSDT")))
        assert (new.status, new.trigger_symbols) == ("active", ["BTCUSDT", "ETHUSDT"])
        assert sessions.get(user=ann, root=root, version=1).status == "draft"
        with pytest.raises(BadGraph):
            versions.create(user=ann, root=root, base=Base(2), nodes=[node("x", "filter")], edges=[])
        assert sessions.get(user=ann, root=root).version == 2

    def test_differences_name_what_a_node_does_not_where_it_stands(self) -> None:
        before, after = graph_of(), graph_of(above=5)
        after["nodes"][0]["position"] = {"x": 9, "y": 9}
        after["nodes"].append(node("n", "note"))
        after["edges"] = [edge("close", "n")]
        found = versions.difference(WorkflowSession(**before), WorkflowSession(**after))
        told = {(change.what, change.id, change.kind) for change in found}
        assert told == {
            ("node", "close", "moved"), ("node", "high", "changed"), ("node", "n", "added"),
            ("edge", "close-high", "removed"), ("edge", "close-n", "added"),
        }  # fmt: skip
        [changed] = [change for change in found if change.kind == "changed"]
        [(field, (was, now))] = changed.fields.items()
        assert (field, was[0]["value"], now[0]["value"]) == ("data.settings.conditions", 0.0, 5)

    def test_old_versions_go_but_not_those_that_ran(self, ann: User) -> None:
        root = make_session(ann).root_id
        for above in range(1, 6):
            versions.create(user=ann, root=root, base=Base(above), **graph_of(above=above))
        executions.start(user=ann, root=root, version=3)
        assert versions.keep_last(user=ann, root=root, count=2) == 2
        assert [found.version for found in versions.history(user=ann, root=root)] == [6, 5, 3, 1]


class TestExecutions:
    def test_figures_of_a_session(self, ann: User, clock: SteppingClock) -> None:
        root = make_session(ann).root_id
        for seconds, status in ((1, "completed"), (3, "completed"), (8, "failed")):
            _ended(
                ann, root, clock, seconds, status, node_runs={"a": {"status": "done", "ms": 5}, "b": {"status": "done", "ms": 50 * seconds}}
            )
        found = executions.statistics(user=ann, root=root)
        assert (found.runs, found.completed, found.failed, found.mean_ms) == (3, 2, 1, 4000)
        assert found.success_rate == pytest.approx(2 / 3)
        assert (found.slowest_node, found.slowest_ms) == ("b", 200)
        assert executions.of_many(user=ann, roots=[root])[root] == executions.Short(3, 1, 4000)
        [slow] = executions.slow(user=ann, over=timedelta(seconds=5))
        assert slow.duration == timedelta(seconds=8)
        assert [row.status for row in executions.find(user=ann, root=root, status="failed")] == ["failed"]
        assert executions.clear(user=ann, root=root, before=clock.at_hours_ago(-1)) == 3

    def test_a_broken_graph_is_not_started(self, ann: User) -> None:
        root = make_session(ann, graph={"nodes": [], "edges": []}).root_id
        with pytest.raises(BadGraph):
            executions.start(user=ann, root=root)

    def test_a_run_is_cancelled_once(self, ann: User, clock: SteppingClock) -> None:
        execution = executions.start(user=ann, root=make_session(ann).root_id)
        assert executions.cancel(user=ann, execution_id=execution.id, now=clock.now) is True
        assert executions.cancel(user=ann, execution_id=execution.id, now=clock.now) is False


class TestTemplates:
    def test_a_shipped_one_becomes_a_session_with_the_trader_put_in(self, ann: User) -> None:
        trader = make_trader(user=ann, symbols=["ETHUSDT"], interval="15m")
        made = templates.use(user=ann, key="oversold_bounce", trader_id=trader.id)
        [signal] = [found for found in made.nodes if found["type"] == "create_signal"]
        assert signal["data"]["settings"]["trader"] == str(trader.id)
        assert made.nodes[0]["data"]["settings"] == {"market": "binance", "symbols": ["ETHUSDT"], "interval": "15m"}
        assert len(templates.shipped()) >= 6
        with pytest.raises(NotFound):
            templates.use(user=ann, key="../settings")

    def test_a_shared_one_is_read_and_copied_by_all_and_written_by_its_owner(self, ann: User, bob: User) -> None:
        root = make_session(ann, name="Shared", is_template=True).root_id
        assert [found.name for found in templates.shared(user=bob)] == ["Shared"]
        copy = templates.use(user=bob, key=str(root))
        assert (copy.user_id, copy.is_template) == (bob.id, False)
        with pytest.raises(NotFound):
            sessions.update(user=bob, root=root, base=Base(1), changes={"name": "Mine now"})
        with pytest.raises(Refused, match="somebody else's"):
            executions.start(user=bob, root=root)


INSERT_SESSION = """
INSERT INTO workflow_sessions (id, root_id, user_id, name) VALUES (%(new)s, %(root)s, %(user)s, 'x')
"""
INSERT_EXECUTION = """
INSERT INTO workflow_executions (id, session_id, root_id, user_id, version) VALUES (%(new)s, %(session)s, %(session)s, %(user)s, 1)
"""


class TestRowLevelSecurity:
    """By raw SQL under each role: what forgets a filter must find nothing."""

    @pytest.fixture
    def world(self, ann: User, bob: User) -> dict[str, Any]:
        session = make_session(ann)
        execution = executions.start(user=ann, root=session.root_id)
        return {"ann": ann.id, "bob": bob.id, "session": session.id, "execution": execution.id}

    @pytest.mark.parametrize("table", ["workflow_sessions", "workflow_executions"])
    @pytest.mark.parametrize(
        "statement",
        ["SELECT id FROM {}", "SELECT id FROM {} WHERE id = %(id)s", "UPDATE {} SET version = 9 RETURNING id",
         "UPDATE {} SET user_id = %(bob)s WHERE id = %(id)s RETURNING id", "DELETE FROM {} RETURNING id",
         "SELECT id FROM {} FOR UPDATE", "DELETE FROM {} WHERE id = %(id)s RETURNING id"],
    )  # fmt: skip
    @pytest.mark.parametrize("who", ["another", "nobody", "owner_of_the_table"])
    def test_anothers_rows_are_out_of_reach(self, world: dict[str, Any], table: str, statement: str, who: str) -> None:
        values = {**world, "id": world["session" if table == "workflow_sessions" else "execution"]}
        block: Callable[[], Any] = {
            "another": lambda: rows.of(world["bob"]),
            "nobody": lambda: rows.of("00000000-0000-0000-0000-000000000000"),  # type: ignore[arg-type]
            "owner_of_the_table": nullcontext,
        }[who]
        with block():
            assert _sql(statement.format(table), values) == []
        with rows.of(world["ann"]):
            assert _sql(f"SELECT id, version FROM {table}", {}) == [(values["id"], 1)]

    def test_the_owner_reaches_their_own(self, world: dict[str, Any]) -> None:
        with rows.of(world["ann"]):
            assert _sql("UPDATE workflow_sessions SET folder = 'f' RETURNING id", {}) == [(world["session"],)]
            assert _sql("DELETE FROM workflow_executions RETURNING id", {}) == [(world["execution"],)]

    @pytest.mark.parametrize(
        ("statement", "over"),
        [
            (INSERT_SESSION, {"user": "ann", "root": "new"}),  # in another's name
            (INSERT_SESSION, {"user": "bob", "root": "session"}),  # a version of another's session
            (INSERT_EXECUTION, {"user": "ann"}),
            (INSERT_EXECUTION, {"user": "bob"}),  # a run of another's session
            ("UPDATE workflow_sessions SET user_id = %(user)s", {"user": "ann"}),  # given away
        ],
    )
    def test_nothing_is_written_in_anothers_name_or_onto_anothers_rows(
        self, world: dict[str, Any], bob: User, statement: str, over: dict[str, str]
    ) -> None:
        make_session(bob)
        new = uuid.uuid4()
        values = {**world, **{key: new if name == "new" else world[name] for key, name in over.items()}, "new": new}
        with pytest.raises(DatabaseError), transaction.atomic(), rows.of(world["bob"]):
            _sql(statement, values)

    def test_a_key_that_is_taken_by_another_shows_no_more_than_one_that_is_not(self, world: dict[str, Any]) -> None:
        """Guessing ids: another's root and one that nobody has are refused by the same constraint."""
        said = []
        for root in (world["session"], uuid.uuid4()):
            with pytest.raises(DatabaseError) as caught, transaction.atomic(), rows.of(world["bob"]):
                _sql(INSERT_SESSION, {"new": uuid.uuid4(), "root": root, "user": world["bob"]})
            said.append(caught.value.__cause__.diag.constraint_name)  # type: ignore[union-attr]
        assert said == ["session_root_of_the_same_user"] * 2

    def test_other_tables_are_out_of_the_web_roles_reach(self, ann: User) -> None:
        for table in ("users", "orders", "exchange_accounts", "signal_analyses", "django_session"):
            with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic(), rows.of(ann.id):
                _sql(f"SELECT 1 FROM {table}", {})

    def test_the_reader_reads_all_and_writes_nothing(self, world: dict[str, Any]) -> None:
        with rows.reader():
            assert _sql("SELECT id FROM workflow_sessions", {}) == [(world["session"],)]
        with pytest.raises(DatabaseError, match="permission denied"), transaction.atomic(), rows.reader():
            _sql("UPDATE workflow_sessions SET name = 'x'", {})

    def test_a_role_ends_with_its_block_also_by_an_error(self, ann: User) -> None:
        with pytest.raises(RuntimeError), rows.of(ann.id):
            raise RuntimeError
        with rows.of(ann.id), rows.system():
            pass
        assert _sql("SELECT current_user, current_setting('app.user_id', true)", {})[0][0] not in ("desk_web", "desk_jobs")

    def test_templates_are_read_by_all_and_changed_by_nobody_else(self, ann: User, bob: User) -> None:
        session = make_session(ann, is_template=True)
        with rows.of(bob.id):
            assert _sql("SELECT id FROM workflow_sessions", {}) == [(session.id,)]
            assert _sql("UPDATE workflow_sessions SET name = 'x' RETURNING id", {}) == []
            assert _sql("DELETE FROM workflow_sessions RETURNING id", {}) == []


def _sql(statement: str, values: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def _ended(user: User, root: uuid.UUID, clock: SteppingClock, seconds: int, status: str, **more: Any) -> None:
    with rows.of(user.id):
        WorkflowExecution.objects.create(
            session_id=root, root_id=root, user_id=user.id, version=1, status=status,
            started_at=clock.now, finished_at=clock.now + timedelta(seconds=seconds), **more,
        )  # fmt: skip
