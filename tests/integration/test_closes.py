"""Closes into ledger rows, exactly once (P1, P2, P3)."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from monitoring import closes, intervals, ledger, schedules
from monitoring.audit import Actor
from monitoring.models import Candle, Event, ScreeningCheck, WorkflowRun, WorkflowSchedule
from tests.support.clocks import START_MS, SteppingClock
from tests.support.factories import NEVER, candle, flat_window, make_schedule, make_trader
from tests.support.queue import waiting

LENGTH = intervals.length_ms("5m")
OPERATOR = Actor("olga", "web")
pytestmark = pytest.mark.django_db


def rows(schedule) -> list[tuple[int, str, str]]:
    return list(WorkflowRun.objects.filter(schedule=schedule).order_by("candle_time").values_list("candle_time", "status", "reason"))


class TestRecord:
    def test_one_transaction_makes_candle_run_screening_and_job(self, clock: SteppingClock) -> None:
        trader = make_trader(screened_since=clock.now, conditions=NEVER)
        schedule = make_schedule(trader, started_at=clock.now)
        clock.forward(seconds=301)
        closes.record(streamed=[candle(open_time=START_MS)], now=clock.now)
        assert rows(schedule) == [(START_MS, "due", "")]
        assert ScreeningCheck.objects.get().candle_time == START_MS
        assert waiting() == ["monitoring.tasks.handle_closes"]

    def test_a_repeated_close_owes_nothing(self, clock: SteppingClock) -> None:
        schedule = make_schedule(make_trader(), started_at=clock.now)
        clock.forward(seconds=301)
        for _ in range(3):
            closes.record(streamed=[candle(open_time=START_MS)], now=clock.now)
        assert len(rows(schedule)) == 1
        assert len(waiting()) == 1

    def test_owed_from_the_first_close_after_the_start(self, clock: SteppingClock) -> None:
        schedule = make_schedule(make_trader(), started_at=clock.now)
        closes.record(fetched=flat_window(until=START_MS - LENGTH), now=clock.now)
        assert rows(schedule) == []
        clock.forward(seconds=300)
        closes.record(streamed=[candle(open_time=START_MS)], now=clock.now)
        assert rows(schedule) == [(START_MS, "due", "")]

    def test_after_an_outage_only_the_newest_is_due(self, clock: SteppingClock) -> None:
        schedule = make_schedule(make_trader(), started_at=clock.now)
        clock.forward(seconds=300 * 4)
        closes.record(fetched=flat_window(until=START_MS + 3 * LENGTH, count=4), now=clock.now)
        assert [(status, reason) for _, status, reason in rows(schedule)] == [("skipped", "superseded")] * 3 + [("due", "")]

    def test_a_newer_close_supersedes_one_that_nobody_claimed(self, clock: SteppingClock) -> None:
        schedule = make_schedule(make_trader(), started_at=clock.now)
        for number in range(2):
            clock.forward(seconds=300)
            closes.record(streamed=[candle(open_time=START_MS + number * LENGTH)], now=clock.now)
        assert rows(schedule) == [(START_MS, "skipped", "superseded"), (START_MS + LENGTH, "due", "")]

    def test_an_older_close_that_comes_late_is_accounted_for_and_not_judged(self, clock: SteppingClock) -> None:
        schedule = make_schedule(make_trader(), started_at=clock.now)
        clock.forward(seconds=600)
        for number in (1, 0):
            closes.record(streamed=[candle(open_time=START_MS + number * LENGTH)], now=clock.now)
        assert rows(schedule) == [(START_MS, "skipped", "superseded"), (START_MS + LENGTH, "due", "")]

    def test_a_revised_close_is_told_and_never_judged_again(self, clock: SteppingClock) -> None:
        schedule = make_schedule(make_trader(), started_at=clock.now)
        clock.forward(seconds=301)
        closes.record(streamed=[candle(open_time=START_MS)], now=clock.now)
        closes.record(streamed=[candle(open_time=START_MS, close="101")], now=clock.now)
        assert len(rows(schedule)) == len(waiting()) == 1
        assert Candle.objects.get().close == 100
        event = Event.objects.get(kind="candle_revised")
        assert (event.data["close"], event.data["revised_close"]) == ("100", "101")

    @pytest.mark.parametrize(("why", "reason"), [("position_closed", "ended"), ("operator", "disabled")])
    def test_who_stopped_after_the_close_and_before_its_arrival_was_owed_it(self, clock: SteppingClock, why: str, reason: str) -> None:
        schedule = make_schedule(make_trader(), started_at=clock.now)
        stopped_at = clock.forward(seconds=302)
        WorkflowSchedule.objects.update(is_active=False, stopped_at=stopped_at, stop_reason=why)
        clock.forward(seconds=600)
        closes.record(fetched=[candle(open_time=START_MS), candle(open_time=START_MS + LENGTH)], now=clock.now)
        assert rows(schedule) == [(START_MS, "skipped", reason)]

    def test_what_the_exchange_lacks_is_declared(self, clock: SteppingClock) -> None:
        schedule = make_schedule(make_trader(), started_at=clock.now)
        clock.forward(seconds=600)
        closes.record(streamed=[candle(open_time=START_MS + LENGTH)], now=clock.now)
        closes.record_absent([closes.CandleKey("binance", "BTCUSDT", "5m", START_MS)], now=clock.now)
        assert rows(schedule)[0] == (START_MS, "skipped", "absent")

    def test_statements_do_not_grow_with_the_workflows(self, clock: SteppingClock) -> None:
        trader, counts = make_trader(), []
        for number in range(2):
            for _ in range(2 if number == 0 else 40):
                make_schedule(trader, started_at=clock.now)
            clock.forward(seconds=300)
            with CaptureQueriesContext(connection) as queries:
                closes.record(streamed=[candle(open_time=START_MS + number * LENGTH)], now=clock.now)
            counts.append(len(queries))
        assert WorkflowRun.objects.count() == 2 + 42
        assert counts[0] == counts[1]


class TestSettle:
    def test_finds_a_close_that_slipped_between(self, clock: SteppingClock) -> None:
        trader = make_trader()
        clock.forward(seconds=300)
        closes.record(streamed=[candle(open_time=START_MS)], now=clock.now)
        schedule = make_schedule(trader, started_at=clock.now - timedelta(seconds=1))
        assert closes.settle(now=clock.now, stranded_before=clock.now - timedelta(seconds=9)) == 1
        assert rows(schedule) == [(START_MS, "due", "")]

    def test_enqueues_again_what_no_job_is_left_for(self, clock: SteppingClock) -> None:
        make_schedule(make_trader(), started_at=clock.now)
        clock.forward(seconds=301)
        closes.record(streamed=[candle(open_time=START_MS)], now=clock.now)
        assert closes.settle(now=clock.now, stranded_before=clock.now) == 0
        clock.forward(seconds=10)
        assert closes.settle(now=clock.now, stranded_before=clock.now) == 1
        assert len(waiting()) == 2


class TestDisabling:
    def test_closes_while_disabled_are_skipped_when_enabled_again(self, clock: SteppingClock) -> None:
        schedule = make_schedule(make_trader(), started_at=clock.now)
        clock.forward(seconds=300)
        closes.record(streamed=[candle(open_time=START_MS)], now=clock.now)
        schedules.disable(schedule_id=schedule.id, reason="maintenance", actor=OPERATOR, now=clock.now)
        clock.forward(seconds=900)
        closes.record(streamed=[candle(open_time=START_MS + LENGTH)], now=clock.now)
        assert len(rows(schedule)) == 1
        assert schedules.enable(schedule_id=schedule.id, reason="done", actor=OPERATOR, now=clock.now) == 3
        assert [(status, reason) for _, status, reason in rows(schedule)[1:]] == [("skipped", "disabled")] * 3
        assert closes.settle(now=clock.now, stranded_before=clock.now - timedelta(days=1)) == 0

    @pytest.mark.parametrize("reason", ["", "  ", "no"])
    def test_needs_a_reason(self, clock: SteppingClock, reason: str) -> None:
        schedule = make_schedule(make_trader(), started_at=clock.now)
        with pytest.raises(schedules.ReasonMissing):
            schedules.disable(schedule_id=schedule.id, reason=reason, actor=OPERATOR, now=clock.now)

    def test_a_second_schedule_of_the_same_entity_stays_off(self, clock: SteppingClock) -> None:
        trader = make_trader()
        first = make_schedule(trader, started_at=clock.now)
        schedules.disable(schedule_id=first.id, reason="maintenance", actor=OPERATOR, now=clock.now)
        make_schedule(trader, entity_id=first.entity_id, started_at=clock.now)
        with pytest.raises(schedules.AlreadyActive):
            schedules.enable(schedule_id=first.id, reason="again", actor=OPERATOR, now=clock.now)


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def test_two_listeners_record_the_same_closes_once(self, clock: SteppingClock) -> None:
        make_schedule(make_trader(), started_at=clock.now)
        clock.forward(seconds=300 * 50)
        arriving = flat_window(until=START_MS + 49 * LENGTH, count=50)
        fresh: list[int] = []

        def listen(order: list) -> None:
            try:
                fresh.append(sum(len(closes.record(streamed=[c], now=clock.now)) for c in order))
            finally:
                connection.close()

        threads = [threading.Thread(target=listen, args=(order,)) for order in (arriving, arriving, arriving[::-1])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(fresh) == 50 == Candle.objects.count() == WorkflowRun.objects.count()

    def test_workers_claim_each_run_once(self, clock: SteppingClock) -> None:
        trader = make_trader()
        for _ in range(40):
            make_schedule(trader, started_at=clock.now)
        clock.forward(seconds=301)
        closes.record(streamed=[candle(open_time=START_MS)], now=clock.now)
        claimed: list = []

        def work(token) -> None:
            try:
                arguments = {"market": "binance", "interval": "5m", "open_time": START_MS, "symbols": ["BTCUSDT"], "limit": 3}
                while runs := ledger.claim(**arguments, token=token, now=clock.now):
                    claimed.extend(run.id for run in runs)
            finally:
                connection.close()

        threads = [threading.Thread(target=work, args=(f"00000000-0000-0000-0000-00000000000{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(claimed) == len(set(claimed)) == 40
