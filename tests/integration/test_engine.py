"""What a close comes to for waiting setups (P3, P6, P7, P8, P9)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from monitoring import closes, controls, engine, handlers, intervals, ledger
from monitoring.audit import Actor
from monitoring.models import (
    Event,
    MonitoringDecision,
    NotificationDelivery,
    Signal,
    SignalAnalysis,
    WorkflowRun,
    WorkflowSchedule,
)
from tests.support.analysts import StubEndpoint, completion, entering, verdict
from tests.support.clocks import START_MS, SteppingClock
from tests.support.factories import ALWAYS, NEVER, make_schedule, make_signal, make_trader, simulated
from tests.support.queue import waiting

LENGTH = intervals.length_ms("5m")
pytestmark = pytest.mark.django_db


@pytest.fixture
def stub(settings) -> Iterator[StubEndpoint]:
    endpoint = StubEndpoint(lambda _: completion(verdict("continue")))
    with endpoint.running():
        settings.LLM_BASE_URL, settings.LLM_MODEL, settings.LLM_MAX_ATTEMPTS = endpoint.url, "stub-1", 1
        yield endpoint


class Desk:
    """A trader with a waiting signal on simulated candles, and a clock to close them with."""

    def __init__(self, clock: SteppingClock, *, symbol: str = "BTCUSDT", **trader: Any) -> None:
        self.clock, self.symbol = clock, symbol
        values = {"conditions": NEVER, "symbols": [symbol], "max_reanalyses": 99}
        self.trader = make_trader(**{**values, **trader})
        self.signal = make_signal(self.trader, status=Signal.Status.MONITORING, monitoring_started_at=clock.now)
        self.schedule = make_schedule(self.trader, self.signal, started_at=clock.now)
        history = simulated(seed=1, symbol=symbol, interval="5m", start=START_MS - 300 * LENGTH, count=300)
        closes.record(fetched=history, now=clock.now)
        self.number = 0

    def close(self, *, delay_s: float = 0.5, handle: bool = True) -> WorkflowRun | None:
        opened = START_MS + self.number * LENGTH
        self.number += 1
        self.clock.to(opened + LENGTH + int(delay_s * 1000))
        closes.record(streamed=simulated(seed=1, symbol=self.symbol, interval="5m", start=opened, count=1), now=self.clock.now)
        if handle:
            self.handle()
        return WorkflowRun.objects.filter(schedule=self.schedule, candle_time=opened).first()

    def handle(self) -> int:
        opened = START_MS + (self.number - 1) * LENGTH
        done = engine.handle(handlers.Close("binance", "5m", opened, (self.symbol,)))
        self.schedule.refresh_from_db()
        self.signal.refresh_from_db()
        return done


class TestDecisions:
    def test_a_decision_hangs_together(self, clock: SteppingClock) -> None:
        desk = Desk(clock)
        run = desk.close()
        assert run is not None
        decision = MonitoringDecision.objects.get(run=run)
        assert (run.status, decision.decision) == ("decided", "continue")
        assert decision.timestamp == clock.now - timedelta(milliseconds=500)
        assert decision.analysis.snapshot["candle"]["close"] == float(decision.price)
        assert decision.analysis.run == run
        assert run.close_to_decision_ms == 500
        assert (desk.schedule.last_candle_time, desk.schedule.execution_count) == (START_MS, 1)
        event = Event.objects.get(kind="monitoring_decision")
        assert event.data["decision"] == "continue"

    def test_handling_a_close_twice_decides_once(self, clock: SteppingClock) -> None:
        desk = Desk(clock)
        desk.close()
        assert desk.handle() == 0
        assert MonitoringDecision.objects.count() == SignalAnalysis.objects.count() == 1

    def test_enter_makes_the_signal_ready_and_enqueues_the_position(self, clock: SteppingClock) -> None:
        desk = Desk(clock, conditions=ALWAYS, target_r=1, stop_atr_multiple="0.2")
        desk.close()
        decision = MonitoringDecision.objects.get()
        assert decision.decision == "enter"
        assert desk.signal.status == "ready"
        assert (desk.schedule.is_active, desk.schedule.stop_reason) == (False, "decision_changed")
        assert "positions.tasks.open_position" in waiting()

    def test_an_enter_without_enough_confidence_waits_on(self, clock: SteppingClock) -> None:
        desk = Desk(clock, conditions=ALWAYS, target_r=1, stop_atr_multiple="0.2", min_confidence_to_enter=Decimal(1))
        desk.close()
        assert MonitoringDecision.objects.get().outcome.startswith("denied: confidence")
        assert desk.signal.status == "monitoring"
        assert desk.schedule.is_active

    def test_abandon_expires_the_signal(self, clock: SteppingClock) -> None:
        desk = Desk(clock, invalidation_conditions=ALWAYS)
        desk.close()
        assert desk.signal.status == "expired"
        assert desk.signal.close_reason.startswith("abandoned")
        assert not desk.schedule.is_active

    def test_stops_after_max_reanalyses(self, clock: SteppingClock) -> None:
        desk = Desk(clock, max_reanalyses=2)
        desk.close()
        assert desk.schedule.is_active
        desk.close()
        assert (desk.schedule.stop_reason, desk.signal.status) == ("max_reanalyses", "expired")

    def test_stops_after_max_monitoring_duration(self, clock: SteppingClock) -> None:
        desk = Desk(clock, max_monitoring_duration=timedelta(minutes=7))
        desk.close()
        assert desk.schedule.is_active
        desk.close()
        assert (desk.schedule.stop_reason, desk.signal.close_reason) == ("max_duration", "max_duration")

    def test_a_close_that_moved_too_little_is_not_asked_about(self, clock: SteppingClock) -> None:
        desk = Desk(clock, min_price_move_pct=50)
        desk.signal.initial_price = Decimal(60_000)
        desk.signal.save()
        run = desk.close()
        assert run is not None
        assert (run.status, run.reason) == ("skipped", "price_move")
        assert not SignalAnalysis.objects.exists()

    def test_a_hole_in_the_window_is_never_judged(self, clock: SteppingClock) -> None:
        desk = Desk(clock)
        desk.number += 1
        run = desk.close()
        assert run is not None
        assert (run.status, run.reason) == ("failed", "incomplete_window")
        assert desk.schedule.consecutive_errors == 0, "it is nobody's own fault"


class TestDeadlines:
    def test_a_close_that_is_claimed_too_late_is_late(self, clock: SteppingClock) -> None:
        desk = Desk(clock)
        run = desk.close(delay_s=121)
        assert run is not None
        assert (run.status, run.reason) == ("late", "claimed_late")
        assert not MonitoringDecision.objects.exists()

    def test_an_answer_that_comes_too_late_is_kept_and_not_acted_on(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        desk = Desk(clock, analyst="llm")

        def answer(body: Any) -> Any:
            clock.forward(seconds=130)
            return completion(entering(body))

        stub.script = answer
        run = desk.close()
        assert run is not None
        assert (run.status, run.reason) == ("late", "answered_late")
        assert SignalAnalysis.objects.get().outcome == "late"
        assert desk.signal.status == "monitoring"


class TestSwitches:
    @pytest.mark.parametrize("state", ["reducing", "halted"])
    def test_setups_are_skipped_unasked(self, clock: SteppingClock, state: str) -> None:
        desk = Desk(clock)
        scope = f"trader:{desk.trader.id}"
        controls.halt(scope=scope, state=state, reason="testing", actor=Actor("olga", "cli"), now=clock.now, wait_s=0)
        run = desk.close()
        assert run is not None
        assert (run.status, run.reason) == ("skipped", "halted")
        assert not SignalAnalysis.objects.exists()

    def test_other_scopes_go_on(self, clock: SteppingClock) -> None:
        desk = Desk(clock)
        controls.halt(scope="symbol:ETHUSDT", state="halted", reason="testing", actor=Actor("olga", "cli"), now=clock.now, wait_s=0)
        run = desk.close()
        assert run is not None
        assert run.status == "decided"

    def test_a_workflow_disabled_before_its_close_is_claimed_is_not_asked_about(self, clock: SteppingClock) -> None:
        desk = Desk(clock)
        run = desk.close(handle=False)
        assert run is not None
        WorkflowSchedule.objects.update(is_active=False, stopped_at=clock.now, stop_reason="operator")
        desk.handle()
        run.refresh_from_db()
        assert (run.status, run.reason) == ("skipped", "disabled")

    @pytest.mark.django_db(transaction=True)
    def test_a_workflow_disabled_while_the_question_is_out_is_not_acted_on(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        desk = Desk(clock, analyst="llm")

        def answer(body: Any) -> Any:  # on the endpoint's own thread and connection
            WorkflowSchedule.objects.update(is_active=False, stopped_at=clock.now, stop_reason="operator")
            connection.close()
            return completion(entering(body))

        stub.script = answer
        run = desk.close()
        assert run is not None
        assert (run.status, run.reason) == ("skipped", "disabled")
        assert desk.signal.status == "monitoring"
        assert SignalAnalysis.objects.get().decision == "enter", "what was paid for is kept"


class TestFailures:
    def test_five_in_a_row_switch_the_workflow_off(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        desk = Desk(clock, analyst="llm")
        stub.script = lambda _: completion("this is not JSON")
        for number in range(1, 6):
            run = desk.close()
            assert run is not None
            assert (run.status, run.reason) == ("failed", "invalid")
            assert desk.schedule.consecutive_errors == number
            assert desk.schedule.is_active is (number < 5)
        assert desk.schedule.stop_reason == "error_limit_exceeded"
        event = Event.objects.get(kind="workflow_disabled")
        assert event.data["errors"] == 5
        assert NotificationDelivery.objects.get().event == event
        assert desk.signal.status == "monitoring"
        desk.close()
        assert WorkflowRun.objects.count() == 5, "nothing more is owed"

    def test_a_success_resets_the_count(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        desk = Desk(clock, analyst="llm")
        stub.script = lambda _: completion("nonsense")
        for _ in range(4):
            desk.close()
        stub.script = lambda _: completion(verdict("continue"))
        desk.close()
        assert (desk.schedule.consecutive_errors, desk.schedule.is_active) == (0, True)

    @pytest.mark.parametrize(("status", "reason"), [(503, "unavailable"), (429, "rate_limited")])
    def test_a_provider_that_is_down_never_counts(self, clock: SteppingClock, stub: StubEndpoint, status: int, reason: str) -> None:
        desk = Desk(clock, analyst="llm")
        stub.script = lambda _: (status, {"error": {"message": "down"}})
        for _ in range(6):
            run = desk.close()
            assert run is not None
            assert (run.status, run.reason) == ("failed", reason)
        assert (desk.schedule.consecutive_errors, desk.schedule.is_active) == (0, True)

    def test_lateness_and_halts_never_count(self, clock: SteppingClock) -> None:
        desk = Desk(clock)
        for _ in range(6):
            desk.close(delay_s=200)
        assert (desk.schedule.consecutive_errors, desk.schedule.is_active) == (0, True)

    def test_one_failing_workflow_hurts_nobody_else(self, clock: SteppingClock) -> None:
        desk = Desk(clock)
        broken = make_trader(conditions=[{"field": "magic", "operator": "gt", "value": 1}])
        other = make_schedule(broken, started_at=clock.now)
        for _ in range(5):
            run = desk.close()
            assert run is not None
            assert run.status == "decided"
        other.refresh_from_db()
        assert (other.is_active, other.stop_reason) == (False, "error_limit_exceeded")
        assert "magic" in other.last_error


class TestTakingOver:
    def claim(self, desk: Desk, token: uuid.UUID) -> list[ledger.Run]:
        arguments = {"market": "binance", "interval": "5m", "open_time": START_MS, "symbols": ["BTCUSDT"], "limit": 9}
        return ledger.claim(**arguments, token=token, now=desk.clock.now)

    def test_a_run_whose_worker_died_is_taken_over_after_its_lease(self, clock: SteppingClock) -> None:
        desk = Desk(clock)
        desk.close(handle=False)
        assert len(self.claim(desk, uuid.uuid4())) == 1
        assert desk.handle() == 0, "the lease holds"
        WorkflowRun.objects.update(lease_until="2000-01-01T00:00:00Z")
        assert desk.handle() == 1
        assert WorkflowRun.objects.get().attempt == 2

    def test_the_former_owner_writes_nothing_any_more(self, clock: SteppingClock) -> None:
        desk = Desk(clock)
        desk.close(handle=False)
        former = uuid.uuid4()
        [run] = self.claim(desk, former)
        WorkflowRun.objects.update(lease_until="2000-01-01T00:00:00Z")
        desk.handle()
        assert ledger.finish([ledger.Outcome(run, "failed", "late owner", "fault")], token=former, now=clock.now) == set()
        assert WorkflowRun.objects.get().status == "decided"

    def test_a_close_that_kills_its_workers_is_given_up(self, clock: SteppingClock) -> None:
        desk = Desk(clock)
        desk.close(handle=False)
        for _ in range(ledger.MAX_ATTEMPTS):
            assert self.claim(desk, uuid.uuid4())
            WorkflowRun.objects.update(lease_until="2000-01-01T00:00:00Z")
        desk.handle()
        run = WorkflowRun.objects.get()
        assert (run.status, run.reason) == ("failed", "attempts_exhausted")
        assert desk.schedule.consecutive_errors == 1


def test_statements_do_not_grow_with_the_workflows(clock: SteppingClock) -> None:
    desk, counts = Desk(clock), []
    for more in (1, 40):
        for _ in range(more):
            signal = make_signal(desk.trader, status=Signal.Status.MONITORING, monitoring_started_at=clock.now)
            make_schedule(desk.trader, signal, started_at=clock.now)
        desk.close(handle=False)
        with CaptureQueriesContext(connection) as queries:
            desk.handle()
        counts.append(len(queries))
    assert MonitoringDecision.objects.count() == 2 + 42
    assert counts[0] == counts[1]
