"""Signals: taken once, judged once, raised by screening exactly when they should be."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from monitoring import closes, controls, first_analysis, intake, intervals, screening, sweeps
from monitoring.audit import Actor
from monitoring.handlers import Close
from monitoring.intake import NewSignal
from monitoring.models import Event, ScreeningCheck, Signal, SignalAnalysis, Trader, WorkflowSchedule
from tests.support.clocks import START_MS, SteppingClock
from tests.support.factories import ALWAYS, NEVER, candle, flat_window, make_trader, make_user, simulated
from tests.support.queue import run_all, waiting

LENGTH = intervals.length_ms("5m")
OLGA = Actor("olga", "cli")
pytestmark = pytest.mark.django_db


def new(trader: Trader, **over) -> NewSignal:
    return NewSignal(**{"trader": trader, "symbol": "BTCUSDT", "source": "webhook", "external_id": "a-1", **over})


def history(clock: SteppingClock, *, flat: bool = False) -> None:
    window = (
        flat_window(until=START_MS - LENGTH)
        if flat
        else simulated(seed=1, symbol="BTCUSDT", interval="5m", start=START_MS - 300 * LENGTH, count=300)
    )
    closes.record(fetched=window, now=clock.now)


class TestIntake:
    def test_a_signal_comes_with_its_event_and_its_job(self, clock: SteppingClock) -> None:
        signal, created = intake.record(new(make_trader(), price=Decimal("64000.5")), now=clock.now)
        assert created
        assert (signal.status, signal.initial_price) == ("new", Decimal("64000.5"))
        assert Event.objects.get(kind="signal_created").signal_id == signal.id
        assert waiting() == ["monitoring.tasks.analyze_signals"]

    def test_a_replay_gives_the_first_one(self, clock: SteppingClock) -> None:
        trader = make_trader()
        first, _ = intake.record(new(trader), now=clock.now)
        again, created = intake.record(new(trader, price=Decimal(1)), now=clock.now)
        assert (again.id, created) == (first.id, False)
        assert len(waiting()) == Event.objects.count() == 1

    def test_without_an_id_every_arrival_is_new(self, clock: SteppingClock) -> None:
        trader = make_trader()
        for _ in range(2):
            intake.record(new(trader, external_id=None), now=clock.now)
        assert Signal.objects.count() == 2

    def test_refuses_what_the_trader_does_not_trade(self, clock: SteppingClock) -> None:
        with pytest.raises(intake.NotOfTrader, match="NOPE"):
            intake.record(new(make_trader(), symbol="NOPE"), now=clock.now)
        with pytest.raises(intake.NotOfTrader, match="short"):
            intake.record(new(make_trader(), side="short"), now=clock.now)
        with pytest.raises(intake.TraderPaused):
            intake.record(new(make_trader(state="paused")), now=clock.now)
        assert not Signal.objects.exists()


class TestFirstAnalysis:
    def judge(self, clock: SteppingClock, **trader) -> Signal:
        history(clock)
        signal, _ = intake.record(new(make_trader(**trader)), now=clock.now)
        first_analysis.run()
        signal.refresh_from_db()
        return signal

    def test_wait_starts_a_workflow(self, clock: SteppingClock) -> None:
        signal = self.judge(clock, conditions=NEVER)
        assert (signal.status, signal.monitoring_started_at) == ("monitoring", clock.now)
        schedule = WorkflowSchedule.objects.get(entity_id=signal.id)
        assert (schedule.is_active, schedule.started_at, schedule.symbol) == (True, clock.now, "BTCUSDT")
        started = Event.objects.get(kind="monitoring_started")
        assert started.data["monitoring_interval"] == "5m"

    def test_bad_setup_expires_with_the_reason(self, clock: SteppingClock) -> None:
        signal = self.judge(clock, conditions=NEVER, invalidation_conditions=ALWAYS)
        assert signal.status == "expired"
        assert signal.close_reason.startswith("bad setup: Invalidated")

    def test_enter_trade_makes_it_ready(self, clock: SteppingClock) -> None:
        signal = self.judge(clock, stop_atr_multiple="0.2", target_r=1)
        assert signal.status == "ready"
        assert "positions.tasks.open_position" in waiting()

    def test_an_enter_without_enough_confidence_waits(self, clock: SteppingClock) -> None:
        signal = self.judge(clock, stop_atr_multiple="0.2", target_r=1, min_confidence_to_enter=Decimal(1))
        assert signal.status == "monitoring"

    def test_is_asked_once(self, clock: SteppingClock) -> None:
        self.judge(clock, conditions=NEVER)
        assert first_analysis.run() == 0
        assert SignalAnalysis.objects.filter(kind="initial").count() == 1

    def test_no_decision_is_never_a_wait(self, clock: SteppingClock) -> None:
        signal = self.judge(clock, analyst="llm")
        assert (signal.status, signal.close_reason) == ("expired", "no decision: unavailable")
        assert SignalAnalysis.objects.get().decision is None

    def test_without_candles_it_says_so(self, clock: SteppingClock) -> None:
        signal, _ = intake.record(new(make_trader()), now=clock.now)
        first_analysis.run()
        signal.refresh_from_db()
        assert signal.close_reason.startswith("no market data")

    def test_is_not_asked_when_halted_late_or_not_wanted(self, clock: SteppingClock) -> None:
        history(clock)
        by_hand, _ = intake.record(new(make_trader(auto_analyze_signals=False)), now=clock.now)
        late, _ = intake.record(new(make_trader()), now=clock.now - timedelta(minutes=6))
        halted, _ = intake.record(new(make_trader()), now=clock.now)
        controls.halt(scope=f"trader:{halted.trader_id}", state="halted", reason="test", actor=OLGA, now=clock.now, wait_s=0)
        first_analysis.run()
        for signal, status, reason in ((by_hand, "new", ""), (late, "expired", "late"), (halted, "expired", "halted")):
            signal.refresh_from_db()
            assert (signal.status, signal.close_reason[: len(reason)]) == (status, reason)

    def test_a_row_inserted_by_sql_is_found_by_the_sweep(self, clock: SteppingClock) -> None:
        history(clock)
        trader = make_trader(conditions=NEVER)
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO signals (trader_id, user_id, symbol, interval, created_at) VALUES (%s, %s, 'BTCUSDT', '5m', %s)",
                [trader.id, trader.user_id, clock.now],
            )
        run_all()  # what the history enqueued; while jobs wait, no sweep adds to them
        assert sweeps.run(now=clock.now) == 0
        clock.forward(seconds=6)
        assert sweeps.run(now=clock.now) == 1
        run_all()
        signal = Signal.objects.get()
        assert (signal.status, signal.source) == ("monitoring", "sql")


class TestScreening:
    CROSSES = ({"field": "close", "operator": "gt", "value": 105},)

    def screen(self, clock: SteppingClock, closes_at: list[str]) -> list[str]:
        """The outcomes of checks on candles that close at these prices, after a flat history at 100."""
        outcomes = []
        for number, price in enumerate(closes_at):
            opened = START_MS + number * LENGTH
            clock.to(opened + LENGTH + 100)
            closes.record(streamed=[candle(open_time=opened, close=price)], now=clock.now)
            screening.run(Close("binance", "5m", opened, ("BTCUSDT",)), now=clock.now)
            outcomes.append(ScreeningCheck.objects.get(candle_time=opened).status)
        return outcomes

    def test_fires_when_the_conditions_begin_to_hold(self, clock: SteppingClock) -> None:
        history(clock, flat=True)
        make_trader(conditions=list(self.CROSSES), screened_since=clock.now)
        assert self.screen(clock, ["100", "110", "111", "100", "112"]) == ["no_match", "fired", "still_matching", "no_match", "fired"]
        assert Signal.objects.count() == 2
        signal = Signal.objects.order_by("created_at").first()
        assert signal is not None
        assert signal.initial_price == Decimal(110)
        assert signal.matched_conditions[0]["text"] == "close gt 105.0"
        assert ScreeningCheck.objects.filter(signal=signal).count() == 1

    def test_running_it_twice_raises_one_signal(self, clock: SteppingClock) -> None:
        history(clock, flat=True)
        make_trader(conditions=list(self.CROSSES), screened_since=clock.now)
        self.screen(clock, ["110"])
        ScreeningCheck.objects.update(status="due")
        screening.run(Close("binance", "5m", START_MS, ("BTCUSDT",)), now=clock.now)
        assert Signal.objects.count() == 1

    def test_each_check_that_is_not_carried_out_says_why(self, clock: SteppingClock) -> None:
        history(clock, flat=True)
        make_trader(conditions=list(self.CROSSES), screened_since=clock.now, name="halted", user=make_user())
        broken = make_trader(conditions=[{"field": "magic", "operator": "gt", "value": 1}], screened_since=clock.now)
        halted = Trader.objects.get(name="halted")
        controls.halt(scope=f"trader:{halted.id}", state="reducing", reason="test", actor=OLGA, now=clock.now, wait_s=0)
        opened = START_MS
        clock.to(opened + LENGTH + 100)
        closes.record(streamed=[candle(open_time=opened, close="110")], now=clock.now)
        screening.run(Close("binance", "5m", opened, ("BTCUSDT",)), now=clock.now)
        assert ScreeningCheck.objects.get(trader=halted).reason == "halted"
        assert "magic" in ScreeningCheck.objects.get(trader=broken).reason
        assert not Signal.objects.exists()

    def test_paused_traders_are_not_owed_checks(self, clock: SteppingClock) -> None:
        make_trader(state="paused", screened_since=clock.now)
        make_trader(symbols=["ETHUSDT"], screened_since=clock.now)
        clock.forward(seconds=301)
        closes.record(streamed=[candle(open_time=START_MS)], now=clock.now)
        assert not ScreeningCheck.objects.exists()

    def test_changing_a_trader_begins_its_screening_anew(self) -> None:
        trader = make_trader()
        before = Trader.objects.get(id=trader.id).screened_since
        trader.name = "renamed"
        trader.save()
        assert Trader.objects.get(id=trader.id).screened_since == before
        Trader.objects.filter(id=trader.id).update(state="paused")
        assert Trader.objects.get(id=trader.id).screened_since > before


def test_a_trader_is_checked_before_it_is_saved() -> None:
    trader = make_trader(symbols=[], conditions=[{"field": "magic"}], indicators=["nope"], side="short")
    with pytest.raises(ValidationError) as error:
        trader.full_clean()
    assert {"symbols", "conditions", "indicators", "side"} <= set(error.value.message_dict)
