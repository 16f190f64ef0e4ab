"""Verifying, fetching by hand, and pruning."""

from __future__ import annotations

from datetime import timedelta

import pytest

from monitoring import closes, engine, retention, schedules, screening, verification
from monitoring.audit import Actor
from monitoring.handlers import Close
from monitoring.models import Candle, Event, ScreeningCheck, SignalAnalysis, WorkflowRun
from tests.support.clocks import START_MS, SteppingClock
from tests.support.factories import NEVER, candle, flat_window, make_schedule, make_trader
from tests.support.trading import LENGTH

pytestmark = pytest.mark.django_db
OLGA = Actor("olga", "cli")


class TestVerify:
    @pytest.fixture
    def day(self, clock: SteppingClock):
        trader = make_trader(conditions=NEVER, screened_since=clock.now, max_reanalyses=99)
        self.schedule = make_schedule(trader, started_at=clock.now)
        closes.record(fetched=flat_window(until=START_MS - LENGTH), now=clock.now)
        self.clock, self.theirs = clock, []
        for _ in range(6):
            self.close()

    def close(self, *, arrives: bool = True) -> None:
        opened = START_MS + len(self.theirs) * LENGTH
        self.clock.to(opened + LENGTH + 200)
        self.theirs.append(candle(open_time=opened))
        if arrives:
            closes.record(streamed=[candle(open_time=opened)], now=self.clock.now)
            engine.handle(Close("binance", "5m", opened, ("BTCUSDT",)))
            screening.run(Close("binance", "5m", opened, ("BTCUSDT",)), now=self.clock.now)

    def verify(self) -> verification.Findings:
        stream = {"market": "binance", "symbol": "BTCUSDT", "interval": "5m"}
        return verification.verify(**stream, start=START_MS, end=self.theirs[-1].open_time, at_exchange=self.theirs)

    def test_finds_nothing_when_nothing_is_missing(self, day) -> None:
        found = self.verify()
        assert found.unaccounted == 0
        assert found.undeclared_absent == found.different_candles == found.unknown_to_exchange == []
        assert verification.watched(market="binance", start=START_MS, end=self.clock.ms) == [("BTCUSDT", "5m")]

    def test_finds_a_close_that_never_arrived(self, day) -> None:
        self.close(arrives=False)
        found = self.verify()
        lost = START_MS + 6 * LENGTH
        assert found.missing_candles == [lost]
        assert found.missing_runs == [(lost, str(self.schedule.id))]
        assert [at for at, _ in found.missing_screenings] == [lost]

    def test_finds_a_row_that_is_gone(self, day) -> None:
        WorkflowRun.objects.filter(candle_time=START_MS, monitoring_decision=None).delete()
        ScreeningCheck.objects.filter(candle_time=START_MS).delete()
        assert self.verify().unaccounted == 1

    def test_periods_of_being_disabled_are_accounted_for(self, day) -> None:
        schedules.disable(schedule_id=self.schedule.id, reason="maintenance", actor=OLGA, now=self.clock.now)
        self.close()
        assert self.verify().unaccounted == 0, "off: nothing is owed"
        schedules.enable(schedule_id=self.schedule.id, reason="done", actor=OLGA, now=self.clock.now)
        self.close()
        found = self.verify()
        assert found.unaccounted == 0
        assert ("skipped", "disabled", 1) in found.outcomes

    def test_tells_absent_and_different_candles(self, day) -> None:
        del self.theirs[2]
        self.theirs[0] = candle(open_time=START_MS, close="101")
        found = self.verify()
        assert found.different_candles == [START_MS]
        assert found.undeclared_absent == found.unknown_to_exchange == [START_MS + 2 * LENGTH]


class TestPruning:
    def test_removes_what_is_old_and_keeps_the_window_of_the_next_decision(self, clock: SteppingClock) -> None:
        closes.record(fetched=flat_window(until=START_MS, count=500), now=clock.now)
        assert retention.prune("candles", before=clock.now + timedelta(days=1), now=clock.now) == 500 - retention.KEPT_CANDLES - 1
        assert Candle.objects.filter(open_time=START_MS).exists()
        assert retention.prune("candles", before=clock.now - timedelta(days=1), now=clock.now) == 0

    def test_keeps_what_led_to_a_question(self, clock: SteppingClock) -> None:
        schedule = make_schedule(make_trader(conditions=NEVER, screened_since=clock.now), started_at=clock.now)
        closes.record(fetched=flat_window(until=START_MS - LENGTH), now=clock.now)
        for number in (0, 1, 3):  # the close in between never comes: its successor can't be judged
            opened = START_MS + number * LENGTH
            clock.to(opened + LENGTH)
            closes.record(streamed=[candle(open_time=opened)], now=clock.now)
            engine.handle(Close("binance", "5m", opened, ("BTCUSDT",)))
            screening.run(Close("binance", "5m", opened, ("BTCUSDT",)), now=clock.now)
        assert [run.status for run in schedule.runs.order_by("candle_time")][-1] == "failed"
        for what in retention.STATEMENTS:
            retention.prune(what, before=clock.now + timedelta(days=1), now=clock.now)
        assert not ScreeningCheck.objects.exists()
        assert not Event.objects.exists()
        assert set(WorkflowRun.objects.values_list("status", flat=True)) == {"decided"}
        assert SignalAnalysis.objects.exists()
