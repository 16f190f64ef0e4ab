"""Runs of sessions: at closes, once each, kept as they go; what fails, who is told, and what a dead worker leaves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.db.models.functions import Now

from monitoring import closes as market_closes
from monitoring import watchlist
from monitoring.audit import Actor
from monitoring.handlers import Close
from monitoring.models import Event, NotificationDelivery, Signal, SignalAnalysis, Trader, User
from tests.support import queue
from tests.support.clocks import START_MS, SteppingClock
from tests.support.factories import candle, flat_window, make_trader, make_user
from tests.support.processes import wait_until
from tests.support.sessions import edge, graph_of, make_session, node
from workflows import closes, execute, executions, rows, sessions, versions
from workflows.models import WorkflowExecution, WorkflowSession
from workflows.nodes import create_signal
from workflows.nodes.contract import NodeFailed
from workflows.sessions import Base

pytestmark = pytest.mark.django_db(transaction=True)  # nodes run in threads with connections of their own
OLGA = Actor("olga", "web")
LENGTH = 300_000


@pytest.fixture
def ann(clock: SteppingClock) -> Iterator[User]:
    return make_user(username="ann")


def activate(user: User, clock: SteppingClock, **graph: Any) -> WorkflowSession:
    made = make_session(user, graph=graph_of(**graph))
    return sessions.activate(user=user, root=made.root_id, now=clock.now, actor=OLGA)


def closed(clock: SteppingClock, *symbols: str, number: int = 1, price: str = "100", run: bool = True) -> int:
    """The candle `number` of these symbols closes, and the hook sees it; its open time."""
    opened = START_MS + (number - 1) * LENGTH
    clock.to(START_MS + number * LENGTH + 500)
    market_closes.record(streamed=[candle(open_time=opened, close=price, symbol=symbol) for symbol in symbols], now=clock.now)
    queue.forget()
    closes.on_close(Close("binance", "5m", opened, symbols), clock.now)
    if run:
        queue.run_all()
    return opened


def all_executions() -> list[WorkflowExecution]:
    with rows.system():
        return list(WorkflowExecution.objects.order_by("started_at", "id"))


def current(session: WorkflowSession) -> WorkflowSession:
    with rows.system():
        return WorkflowSession.objects.get(root_id=session.root_id, is_current_version=True)


class TestAtCloses:
    def test_a_close_becomes_a_signal(self, ann: User, clock: SteppingClock) -> None:
        trader = make_trader(user=ann, conditions=[], screened_since=clock.now)
        session = activate(ann, clock, above=99, trader=trader)
        opened = closed(clock, "BTCUSDT", run=False)
        assert queue.waiting() == ["workflows.tasks.run_session"]
        queue.run_all()
        [run] = all_executions()
        assert (run.status, run.trigger, run.candle_time, run.nodes_executed, run.is_trial) == ("completed", "close", opened, 3, False)
        assert run.outputs["high"]["passed"]["items"][0]["values"]["close"] == 100
        [signal] = Signal.objects.all()
        assert (signal.source, signal.trader, signal.symbol, signal.side) == ("session", trader, "BTCUSDT", "long")
        assert signal.metadata["reasons"] == "BTCUSDT at 100"
        assert signal.metadata["session"] == str(session.root_id)
        assert run.outputs["signal"]["signals"]["items"][0]["id"] == str(signal.id)

    def test_what_lasts_is_raised_once_until_it_comes_anew(self, ann: User, clock: SteppingClock) -> None:
        trader = make_trader(user=ann, conditions=[], screened_since=clock.now)
        activate(ann, clock, above=99, trader=trader)
        counts = []
        for number, price in enumerate(("100", "101", "102", "98", "100"), start=1):
            closed(clock, "BTCUSDT", number=number, price=price)
            counts.append(Signal.objects.count())
        assert counts == [1, 1, 1, 1, 2]
        held = all_executions()[1].outputs["signal"]["signals"]["items"]
        assert held == [{"symbol": "BTCUSDT", "side": "long", "id": "", "note": create_signal.STILL}]

    def test_or_at_every_close_if_it_is_to_be(self, ann: User, clock: SteppingClock) -> None:
        trader = make_trader(user=ann, conditions=[], screened_since=clock.now)
        graph = graph_of(above=99, trader=trader)
        graph["nodes"][-1]["data"]["settings"]["again"] = True
        made = make_session(ann, graph=graph)
        sessions.activate(user=ann, root=made.root_id, now=clock.now, actor=OLGA)
        for number in (1, 2, 3):
            closed(clock, "BTCUSDT", number=number)
        assert Signal.objects.count() == 3

    def test_whatever_is_delivered_twice_runs_once(self, ann: User, clock: SteppingClock) -> None:
        trader = make_trader(user=ann, conditions=[], screened_since=clock.now)
        activate(ann, clock, above=99, trader=trader)
        opened = closed(clock, "BTCUSDT", run=False)
        for _ in range(3):
            closes.on_close(Close("binance", "5m", opened, ("BTCUSDT",)), clock.now)
        closes.sweep(clock.now)
        [_job] = queue.waiting()
        queue.run_all()
        [run] = all_executions()
        execute.execute(run.id)
        assert Signal.objects.count() == 1

    def test_it_waits_for_all_its_symbols(self, ann: User, clock: SteppingClock) -> None:
        activate(ann, clock, symbols=("BTCUSDT", "ETHUSDT"))
        opened = closed(clock, "BTCUSDT")
        assert all_executions() == []
        market_closes.record(streamed=[candle(open_time=opened, symbol="ETHUSDT")], now=clock.now)
        closes.on_close(Close("binance", "5m", opened, ("ETHUSDT",)), clock.now)
        queue.run_all()
        [run] = all_executions()
        assert (run.missing, run.outputs["close"]["rows"]["count"]) == ([], 2)

    def test_after_its_grace_it_runs_with_the_missing_ones_named(self, ann: User, clock: SteppingClock) -> None:
        activate(ann, clock, symbols=("BTCUSDT", "ETHUSDT"))
        closed(clock, "BTCUSDT")
        assert closes.sweep(clock.now) == 0
        clock.forward(seconds=11)
        assert closes.sweep(clock.now) == 1
        assert closes.sweep(clock.now) == 0
        queue.run_all()
        [run] = all_executions()
        assert (run.status, run.missing, run.outputs["close"]["rows"]["count"]) == ("completed", ["ETHUSDT"], 1)

    def test_closes_before_it_was_active_and_of_others_are_none_of_its(self, ann: User, clock: SteppingClock) -> None:
        make_session(ann)
        clock.to(START_MS + LENGTH + 1)
        activate(ann, clock)
        closed(clock, "BTCUSDT", number=1)
        closed(clock, "ETHUSDT", number=2)
        assert all_executions() == []
        closed(clock, "BTCUSDT", number=2)
        assert len(all_executions()) == 1

    def test_paused_is_paused(self, ann: User, clock: SteppingClock) -> None:
        session = activate(ann, clock)
        sessions.set_status(user=ann, root=session.root_id, status="paused", reason="enough", now=clock.now, actor=OLGA)
        closed(clock, "BTCUSDT")
        assert all_executions() == []
        assert not any(key[1] == "BTCUSDT" for key in closes.watched())

    def test_a_new_version_takes_over_at_the_next_close(self, ann: User, clock: SteppingClock) -> None:
        session = activate(ann, clock)
        closed(clock, "BTCUSDT")
        versions.create(user=ann, root=session.root_id, base=Base(1), **graph_of(above=5))
        closed(clock, "BTCUSDT", number=2)
        assert [run.version for run in all_executions()] == [1, 2]

    def test_the_listener_watches_what_it_needs_other_intervals_included(self, ann: User, clock: SteppingClock) -> None:
        graph = graph_of()
        graph["nodes"].append(node("hour", "indicators", names=["ema_20"], interval="1h"))
        graph["edges"].append(edge("high", "hour", "passed"))
        made = make_session(ann, graph=graph)
        sessions.activate(user=ann, root=made.root_id, now=clock.now, actor=OLGA)
        assert set(watchlist.wanted()["binance"]) == {("BTCUSDT", "5m"), ("BTCUSDT", "1h")}


class TestFailures:
    def fail(self, monkeypatch: pytest.MonkeyPatch, *, is_shared: bool) -> None:
        def broken(*_: Any, **__: Any) -> Any:
            raise NodeFailed("it broke", is_shared=is_shared)

        monkeypatch.setattr(execute.Live, "windows", broken)

    def test_five_in_a_row_pause_it_and_tell_its_owner(self, ann: User, clock: SteppingClock, monkeypatch: pytest.MonkeyPatch) -> None:
        session = activate(ann, clock)
        self.fail(monkeypatch, is_shared=False)
        for number in range(1, 8):
            closed(clock, "BTCUSDT", number=number)
        assert [run.status for run in all_executions()] == ["failed"] * 5
        found = current(session)
        assert (found.status, found.consecutive_errors) == ("paused", 5)
        assert "it broke" in found.status_reason
        [event] = Event.objects.filter(kind="session_paused")
        assert event.user_id == ann.id
        assert NotificationDelivery.objects.filter(event=event).exists()
        [error] = all_executions()[0].errors
        assert (error["node_id"], error["type"], error["message"]) == ("close", "candle_close", "it broke")

    def test_a_success_resets_and_shared_causes_never_count(self, ann: User, clock: SteppingClock, monkeypatch: pytest.MonkeyPatch) -> None:
        session = activate(ann, clock)
        with monkeypatch.context() as patch:
            self.fail(patch, is_shared=False)
            closed(clock, "BTCUSDT", number=1)
            assert current(session).consecutive_errors == 1
        with monkeypatch.context() as patch:
            self.fail(patch, is_shared=True)
            closed(clock, "BTCUSDT", number=2)
            assert current(session).consecutive_errors == 1
        closed(clock, "BTCUSDT", number=3)
        assert current(session).consecutive_errors == 0

    def test_a_run_whose_worker_died_fails_with_what_it_had(self, ann: User, clock: SteppingClock) -> None:
        trader = make_trader(user=ann, conditions=[], screened_since=clock.now)
        activate(ann, clock, trader=trader)
        closed(clock, "BTCUSDT", run=False)
        [run] = all_executions()
        execute._claim(run.id)
        execute._keep(run.id, execute.NodeRun("close", "candle_close", "done", {"rows": []}))
        with rows.system():
            WorkflowExecution.objects.update(lease_until="2000-01-01T00:00Z")
        execute.sweep(clock.now)
        [run] = all_executions()
        assert (run.status, run.nodes_executed, list(run.outputs)) == ("failed", 1, ["close"])
        assert "the worker died" in run.error_message
        queue.run_all()
        assert Signal.objects.count() == 0, "nobody takes it up again"

    def test_kill_9_in_the_middle_of_a_run_leaves_it_failed_with_what_had_ended(self, ann: User, clock: SteppingClock) -> None:
        trader = make_trader(user=ann, conditions=[], screened_since=clock.now)
        activate(ann, clock, trader=trader)
        closed(clock, "BTCUSDT", run=False)
        [run] = all_executions()
        command = [sys.executable, "-m", "tests.support.dying_run", connection.settings_dict["NAME"], str(run.id), "high"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout
            assert worker.stdout.readline() == "reached\n"
            worker.kill()
        assert execute.sweep(clock.now) == 0, "its lease has not run out yet"
        assert all_executions()[0].status == "running"
        wait_until(lambda: _lease_is_over(run.id), seconds=10, what="the lease to run out")
        queue.run_all()
        execute.sweep(clock.now)
        [run] = all_executions()
        assert (run.status, list(run.outputs), run.nodes_executed) == ("failed", ["close"], 1)
        assert run.outputs["close"]["rows"]["items"][0]["values"]["close"] == 100
        assert Signal.objects.count() == 0

    def test_a_run_whose_job_is_gone_is_enqueued_again(self, ann: User, clock: SteppingClock) -> None:
        activate(ann, clock)
        closed(clock, "BTCUSDT", run=False)
        queue.forget()
        assert execute.sweep(clock.forward(seconds=10)) == 1
        queue.run_all()
        assert [run.status for run in all_executions()] == ["completed"]

    def test_a_cancelled_run_stays_cancelled(self, ann: User, clock: SteppingClock) -> None:
        session = make_session(ann)
        market_closes.record(fetched=flat_window(until=START_MS - LENGTH, count=3), now=clock.now)
        run = executions.start(user=ann, root=session.root_id)
        executions.cancel(user=ann, execution_id=run.id, now=clock.now)
        queue.run_all()
        assert executions.get(user=ann, execution_id=run.id).status == "cancelled"


class TestByHand:
    def test_a_trial_shows_what_it_would_do_and_does_nothing(self, ann: User, clock: SteppingClock) -> None:
        trader = make_trader(user=ann)
        graph = graph_of(trader=trader)
        graph["nodes"].append(node("tell", "notify", text="{symbol}"))
        graph["edges"].append(edge("high", "tell", "passed"))
        session = make_session(ann, graph=graph)
        market_closes.record(fetched=flat_window(until=START_MS - LENGTH, count=30), now=clock.now)
        run = executions.start(user=ann, root=session.root_id)
        queue.run_all()
        found = executions.get(user=ann, execution_id=run.id)
        assert (found.status, found.error_message) == ("completed", "")
        [shown] = found.outputs["signal"]["signals"]["items"]
        assert shown == {"symbol": "BTCUSDT", "side": "long", "id": "", "note": "a trial: none was raised"}
        assert Signal.objects.count() == 0
        assert not Event.objects.filter(kind="session_note").exists()

    def test_a_real_run_tells_and_raises_once_for_a_close(self, ann: User, clock: SteppingClock) -> None:
        trader = make_trader(user=ann)
        graph = graph_of(trader=trader)
        graph["nodes"].append(node("tell", "notify", text="{symbol} closed at {close}", level="warning"))
        graph["edges"].append(edge("high", "tell", "passed"))
        session = make_session(ann, graph=graph)
        market_closes.record(fetched=flat_window(until=START_MS - LENGTH, count=30), now=clock.now)
        for _ in range(2):
            executions.start(user=ann, root=session.root_id, is_trial=False)
        queue.run_all()
        assert Signal.objects.filter(source="session").count() == 1
        assert [event.text for event in Event.objects.filter(kind="session_note")] == ["A session: BTCUSDT closed at 100"] * 2

    def test_a_trader_of_somebody_elses_gets_no_signal(self, ann: User, clock: SteppingClock) -> None:
        session = make_session(ann, graph=graph_of(trader=make_trader()))
        market_closes.record(fetched=flat_window(until=START_MS - LENGTH, count=30), now=clock.now)
        run = executions.start(user=ann, root=session.root_id, is_trial=False)
        queue.run_all()
        found = executions.get(user=ann, execution_id=run.id)
        assert (found.status, Signal.objects.count()) == ("failed", 0)
        assert "not one of this session's owner's" in found.error_message

    def test_a_paused_traders_signal_is_refused_and_said(self, ann: User, clock: SteppingClock) -> None:
        trader = make_trader(user=ann, state=Trader.State.PAUSED)
        session = make_session(ann, graph=graph_of(trader=trader))
        market_closes.record(fetched=flat_window(until=START_MS - LENGTH, count=30), now=clock.now)
        run = executions.start(user=ann, root=session.root_id, is_trial=False)
        queue.run_all()
        assert "is paused" in executions.get(user=ann, execution_id=run.id).error_message

    def test_the_analyst_answers_and_leaves_its_evidence(self, ann: User, clock: SteppingClock) -> None:
        graph = graph_of()
        fields = [{"name": "decision", "type": "choice", "choices": ["enter_trade", "bad_setup", "wait"]}]
        graph["nodes"].append(node("ask", "analyst_question", question="Worth it?", fields=fields))
        graph["edges"].append(edge("high", "ask", "passed"))
        session = make_session(ann, graph=graph)
        market_closes.record(fetched=flat_window(until=START_MS - LENGTH, count=300), now=clock.now)
        run = executions.start(user=ann, root=session.root_id)
        queue.run_all()
        found = executions.get(user=ann, execution_id=run.id)
        assert found.status == "completed", found.error_message
        [row] = found.outputs["ask"]["rows"]["items"]
        [analysis] = SignalAnalysis.objects.all()
        assert (analysis.kind, analysis.decision, analysis.user_id, analysis.trader_id) == ("custom", "answered", ann.id, None)
        assert row["texts"]["decision"] == analysis.answer["details"]["decision"]
        assert row["texts"]["analysis"] == str(analysis.id)
        assert str(session.root_id) in analysis.asked_by

    def test_outputs_are_cut_to_a_size(self) -> None:
        from workflows.nodes.contract import Row

        kept = execute.cut({"rows": [Row("m", f"S{number}", texts={"t": "x" * 5000}) for number in range(100)]})
        assert kept["rows"]["count"] == 100
        assert 10 < len(kept["rows"]["items"]) < 13


def _lease_is_over(execution_id: UUID) -> bool:
    with rows.system():
        return WorkflowExecution.objects.filter(id=execution_id, lease_until__lt=Now()).exists()
