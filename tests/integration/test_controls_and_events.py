"""Switches that hold (P5), and events in commit order."""

from __future__ import annotations

import threading
import time

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from monitoring import controls, events
from monitoring.audit import Actor
from monitoring.events import KINDS, NewEvent
from monitoring.models import AuditLog, Event, Halt
from tests.support.clocks import SteppingClock

OLGA = Actor("olga", "web")


def halt(clock: SteppingClock, state: str = "halted", scope: str = "all", **over) -> controls.Halted:
    return controls.halt(**{"scope": scope, "state": state, "reason": "testing", "actor": OLGA, "now": clock.now, **over})


def note(text: str) -> NewEvent:
    data = {"scope": "all", "before": "", "after": "", "reason": "", "by": "", "source": ""}
    return NewEvent("switch_changed", text, data)


@pytest.mark.django_db
class TestSwitches:
    def test_a_stricter_state_replaces_an_open_one(self, clock: SteppingClock) -> None:
        assert halt(clock, "reducing").changed
        assert halt(clock, "halted").changed
        assert [(row.state, row.resumed_at is None) for row in Halt.objects.order_by("state")] == [("halted", True), ("reducing", False)]

    @pytest.mark.parametrize("state", ["reducing", "halted"])
    def test_the_same_or_a_milder_state_changes_nothing(self, clock: SteppingClock, state: str) -> None:
        first = halt(clock)
        again = halt(clock, state)
        assert (again.changed, again.halt.id) == (False, first.halt.id)
        assert Event.objects.count() == 1

    def test_the_strictest_scope_wins(self, clock: SteppingClock) -> None:
        halt(clock, "reducing")
        halt(clock, "halted", "symbol:BTCUSDT")
        halts = controls.open_halts()
        assert controls.strictest(halts, ["all", "symbol:BTCUSDT"]) == Halt.objects.get(scope="symbol:BTCUSDT")
        assert controls.strictest(halts, ["all", "symbol:ETHUSDT"]) == Halt.objects.get(scope="all")
        assert controls.strictest(halts, ["symbol:ETHUSDT"]) is None

    def test_every_change_says_who_when_why_and_from_where(self, clock: SteppingClock) -> None:
        halt(clock)
        controls.resume(scope="all", reason="all clear", actor=OLGA, now=clock.now)
        row = Halt.objects.get()
        assert (row.halted_by, row.reason, row.source, row.resumed_by, row.resume_reason) == ("olga", "testing", "web", "olga", "all clear")
        assert [(entry.before["state"], entry.after["state"]) for entry in AuditLog.objects.order_by("id")] == [
            ("running", "halted"),
            ("halted", "running"),
        ]
        with pytest.raises(controls.NotHalted):
            controls.resume(scope="all", reason="again", actor=OLGA, now=clock.now)

    @pytest.mark.parametrize(
        "scope", ["", "everything", "trader:", "trader:5", "symbol:", "symbol:a b", "workflow:x", "symbol:" + "x" * 200]
    )
    def test_an_unknown_scope_is_refused(self, clock: SteppingClock, scope: str) -> None:
        with pytest.raises(controls.UnknownScope):
            halt(clock, scope=scope)

    def test_a_reason_is_needed(self, clock: SteppingClock) -> None:
        with pytest.raises(controls.ReasonMissing):
            halt(clock, reason=" x ")

    def test_the_shell_has_the_same_switches(self, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("trading", "halt", "--scope", "symbol:BTCUSDT", "--reason", "from the shell")
        call_command("trading", "status")
        out = capsys.readouterr().out
        assert "symbol:BTCUSDT is halted" in out
        assert "from the shell" in out
        assert Halt.objects.get().source == "cli"
        call_command("trading", "resume", "--scope", "symbol:BTCUSDT", "--reason", "over")
        with pytest.raises(CommandError, match="reason"):
            call_command("trading", "halt")


@pytest.mark.django_db(transaction=True)
class TestSenders:
    def hold(self, until: threading.Event, holding: threading.Event) -> None:
        try:
            with controls.sending_exposure(["all"]) as standing:
                assert standing is None
                holding.set()
                until.wait(5)
        finally:
            connection.close()

    def sender(self) -> tuple[threading.Thread, threading.Event]:
        until, holding = threading.Event(), threading.Event()
        thread = threading.Thread(target=self.hold, args=(until, holding))
        thread.start()
        assert holding.wait(5)
        return thread, until

    def test_a_halt_waits_for_who_read_the_switch_before_it(self, clock: SteppingClock) -> None:
        thread, until = self.sender()
        threading.Timer(0.1, until.set).start()
        began = time.monotonic()
        halt(clock, wait_s=3)
        assert 0.05 < time.monotonic() - began < 2
        thread.join()

    def test_it_gives_up_and_lists_what_is_in_flight(self, clock: SteppingClock) -> None:
        thread, until = self.sender()
        controls.report_in_flight(in_flight_for_test)
        try:
            assert {"client_order_id": "for-test"} in halt(clock, wait_s=0.05).in_flight
        finally:
            controls._in_flight_reporters.remove(in_flight_for_test)
            until.set()
            thread.join()

    def test_who_reads_the_switch_after_it_is_denied(self, clock: SteppingClock) -> None:
        halt(clock)
        with controls.sending_exposure(["all"]) as standing:
            assert standing is not None

    def test_senders_do_not_wait_for_each_other(self) -> None:
        one, first = self.sender()
        two, second = self.sender()
        for event, thread in ((first, one), (second, two)):
            event.set()
            thread.join()


def in_flight_for_test() -> list[dict[str, str]]:
    return [{"client_order_id": "for-test"}]


class TestKinds:
    def test_an_undeclared_kind_or_key_is_refused(self) -> None:
        with pytest.raises(events.UnknownEvent, match="nonsense"):
            NewEvent("nonsense", "", {})
        with pytest.raises(events.UnknownEvent, match="switch_changed"):
            NewEvent("switch_changed", "", {"scope": "all"})

    def test_the_feed_has_a_word_for_every_kind(self) -> None:
        shown = (settings.BASE_DIR / "static" / "desk" / "feed.js").read_text()
        assert [kind for kind in KINDS if f"  {kind}: [" not in shown] == []

    def test_the_kinds_that_others_rely_on_are_declared_with_their_keys(self) -> None:
        assert KINDS["monitoring_started"] >= {"monitoring_interval", "max_monitoring_duration"}
        assert KINDS["monitoring_decision"] >= {
            "decision",
            "confidence",
            "reasoning",
            "price_at_decision",
            "indicators",
            "time_in_monitoring",
        }
        assert KINDS["management_action"] >= {"action", "previous_sl", "new_sl", "reasoning", "current_pnl", "current_pnl_pct"}
        assert {"signal_status_changed", "position_opened", "position_closed", "workflow_disabled"} <= set(KINDS)


@pytest.mark.django_db(transaction=True)
class TestOrder:
    def test_places_are_given_in_commit_order_not_in_identity_order(self, clock: SteppingClock) -> None:
        inserted, committed = threading.Event(), threading.Event()

        def slow() -> None:
            try:
                with transaction.atomic():
                    events.record_many([note("slow"), note("slow too")], now=clock.now)
                    inserted.set()
                    committed.wait(5)
            finally:
                connection.close()

        thread = threading.Thread(target=slow)
        thread.start()
        assert inserted.wait(5)
        events.record(note("quick"), now=clock.now)
        committed.set()
        thread.join()
        assert list(Event.objects.order_by("id").values_list("text", flat=True)) == ["slow", "slow too", "quick"]
        assert list(Event.objects.order_by("seq").values_list("text", flat=True)) == ["quick", "slow", "slow too"]

    def test_a_rollback_leaves_no_place_that_a_reader_waits_for(self, clock: SteppingClock) -> None:
        with pytest.raises(RuntimeError), transaction.atomic():
            events.record(note("never"), now=clock.now)
            raise RuntimeError
        events.record(note("after"), now=clock.now)
        assert Event.objects.get().seq is not None

    def test_it_is_told_at_commit(self, clock: SteppingClock) -> None:
        with connection.cursor() as cursor:
            cursor.execute("LISTEN events")
        with transaction.atomic():
            events.record_many([note(str(n)) for n in range(3)], now=clock.now)
            assert list(connection.connection.notifies(timeout=0.05)) == []
        assert len(list(connection.connection.notifies(timeout=0.5, stop_after=1))) == 1

    def test_nothing_is_rewritten(self, clock: SteppingClock) -> None:
        events.record(note("as it was"), now=clock.now)
        with pytest.raises(DatabaseError, match="append-only"):
            Event.objects.update(text="as it never was")
        halt(clock)
        with pytest.raises(DatabaseError, match="append-only"):
            AuditLog.objects.update(actor="nobody")
