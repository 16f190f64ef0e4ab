"""Questions over HTTP: every outcome by name, retries, fallbacks, shared limits, money (P6, P7, P9)."""

from __future__ import annotations

import socket
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.utils.module_loading import import_string

from monitoring import controls
from monitoring.analyst.catalog import Endpoint
from monitoring.analyst.contract import Answer, Kind, Outcome, Question
from monitoring.analyst.courier import Courier, Letter
from monitoring.asking import ask, checks, permits
from monitoring.asking.permits import Health, Settled, Wish
from monitoring.audit import Actor
from monitoring.models import AnalystEndpoint, BudgetReservation, DailySpend, Event, WaitingAsker
from tests.support.analysts import StubEndpoint, completion, entering, verdict
from tests.support.clocks import SteppingClock
from tests.support.factories import make_trader
from tests.support.replies import view

pytestmark = pytest.mark.django_db
OLGA = Actor("olga", "web")


@pytest.fixture
def stub(settings) -> Iterator[StubEndpoint]:
    with StubEndpoint(lambda _: completion(verdict("continue"))).running() as endpoint:
        settings.LLM_BASE_URL, settings.LLM_MODEL = endpoint.url, "stub-1"
        settings.LLM_TIMEOUT_SECONDS = 5
        yield endpoint


def question(clock: SteppingClock, *, seconds: float = 30, **over: Any) -> Question:
    values = {"kind": Kind.MONITORING, "snapshot": view("BTCUSDT", 0), "analyst": "llm", "model": "stub-1"}
    return Question(id=uuid.uuid4(), deadline=clock.now + timedelta(seconds=seconds), **{**values, **over})  # type: ignore[arg-type]


def put(clock: SteppingClock, **over: Any) -> Answer:
    asked = question(clock, **over)
    return ask.ask_all([asked], now=clock.now)[asked.id]


def scripted(stub: StubEndpoint, *replies: Any) -> None:
    """One reply after the other, the last one for ever."""
    left = list(replies)
    stub.script = lambda _: left.pop(0) if len(left) > 1 else left[0]


class TestOutcomes:
    @pytest.mark.parametrize(
        ("reply", "outcome"),
        [
            (completion(verdict("continue")), Outcome.OK),
            (completion("{", finish_reason="length"), Outcome.TRUNCATED),
            (completion(verdict("continue"), finish_reason="content_filter"), Outcome.FILTERED),
            (completion("", message={"role": "assistant", "content": None, "refusal": "no"}), Outcome.REFUSED),
            (completion("not json"), Outcome.INVALID),
            (completion(verdict("enter_trade")), Outcome.INVALID),
            (completion(verdict("enter")), Outcome.INVALID),
            ((200, []), Outcome.INVALID),
            ((200, b"<html>gateway</html>"), Outcome.INVALID),
            ((200, {"error": {"code": 401, "message": "key"}}), Outcome.UNAVAILABLE),
            ((429, {"error": {"message": "slow down"}}, {"Retry-After": "3600"}), Outcome.RATE_LIMITED),
            ((404, {"error": {"message": "no such model"}}), Outcome.UNAVAILABLE),
            ((301, b"", {"Location": "http://127.0.0.1:1/"}), Outcome.UNAVAILABLE),
        ],
    )
    def test_every_reply_has_one_outcome(self, clock: SteppingClock, stub: StubEndpoint, reply: Any, outcome: Outcome) -> None:
        scripted(stub, reply)
        answer = put(clock)
        assert answer.outcome is outcome, answer.error
        assert (answer.verdict is not None) is (outcome is Outcome.OK)
        assert answer.attempts[-1].outcome is outcome

    def test_an_entry_with_true_numbers_is_taken_and_one_with_made_up_numbers_is_not(
        self, clock: SteppingClock, stub: StubEndpoint
    ) -> None:
        stub.script = lambda body: completion(entering(body, reasoning="The close is what the data says."))
        assert put(clock).outcome is Outcome.OK
        stub.script = lambda body: completion(entering(body, reasoning="RSI(14) is 12.3, which is very low."))
        answer = put(clock)
        assert (answer.outcome, answer.ungrounded) == (Outcome.UNGROUNDED, ("12.3",))

    def test_made_up_numbers_in_an_answer_that_adds_no_risk_are_only_noted(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        scripted(stub, completion(verdict("abandon", reasoning="RSI(14) is 12.3, which is very low.")))
        answer = put(clock)
        assert (answer.outcome, answer.ungrounded) == (Outcome.OK, ("12.3",))

    def test_a_stop_on_the_wrong_side_is_invalid(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        close = view("BTCUSDT", 0)["candle"]["close"]
        plan = {"entry": close, "stopLoss": close * 1.02, "takeProfit": close * 1.05, "positionSize": None, "timeframe": None}
        scripted(stub, completion(verdict("enter", tradePlan=plan)))
        answer = put(clock)
        assert answer.outcome is Outcome.INVALID
        assert "losing side" in answer.error

    def test_a_slow_reply_is_a_timeout_when_its_time_is_up(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        stub.delay_s = 0.6
        assert put(clock, seconds=0.2).outcome is Outcome.TIMEOUT

    def test_nobody_there_is_unavailable(self, clock: SteppingClock, settings: Any) -> None:
        settings.LLM_BASE_URL, settings.LLM_MAX_ATTEMPTS = "http://127.0.0.1:9/v1", 1
        assert put(clock).outcome is Outcome.UNAVAILABLE
        settings.LLM_BASE_URL = ""
        assert "LLM_BASE_URL" in put(clock).error

    def test_an_answer_that_drips_is_a_timeout(self, clock: SteppingClock, settings: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            settings.LLM_BASE_URL, settings.LLM_MAX_ATTEMPTS = f"http://127.0.0.1:{server.getsockname()[1]}/v1", 1
            began = time.monotonic()
            assert put(clock, seconds=0.5).outcome is Outcome.TIMEOUT
            assert time.monotonic() - began < 3

    def test_the_evidence_is_kept(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        status, body = completion(verdict("continue"))
        scripted(stub, (status, body, {"x-request-id": "abc", "x-secret": "no"}))
        answer = put(clock)
        assert (answer.prompt_tokens, answer.completion_tokens, answer.cost_usd) == (900, 120, Decimal("0.00042"))
        assert "stub" in answer.raw_response
        assert answer.request["messages"][0]["role"] == "system"
        assert answer.headers["x-request-id"] == "abc"
        assert "x-secret" not in answer.headers


class TestRetries:
    def test_what_a_retry_can_mend_is_tried_again(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        scripted(stub, (503, b"busy"), (502, b"busy"), completion(verdict("continue")))
        answer = put(clock)
        assert answer.outcome is Outcome.OK
        assert [attempt.outcome.value for attempt in answer.attempts] == ["unavailable", "unavailable", "ok"]
        assert answer.attempts[1].waited_ms >= 200, "it backed off"
        assert BudgetReservation.objects.count() == 3

    def test_what_it_can_not_is_not(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        for reply in (completion("not json"), (401, {"error": {"message": "key"}}), completion("{", finish_reason="length")):
            scripted(stub, reply)
            assert len(put(clock).attempts) == 1

    def test_retry_after_is_obeyed(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        scripted(stub, (429, {"error": {"message": "slow"}}, {"Retry-After": "1"}), completion(verdict("continue")))
        answer = put(clock)
        assert answer.outcome is Outcome.OK
        assert stub.arrivals[1] - stub.arrivals[0] >= 1

    def test_nobody_waits_in_vain(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        """An endpoint that wants to be left alone until after the deadline is not waited for, by nobody."""
        scripted(stub, (429, {"error": {"message": "slow"}}, {"Retry-After": "60"}))
        began = time.monotonic()
        assert put(clock, seconds=20).outcome is Outcome.RATE_LIMITED
        assert put(clock, seconds=20).outcome is Outcome.RATE_LIMITED
        assert time.monotonic() - began < 5
        assert len(stub.requests) == 1, "the second one was not even sent"

    def test_a_circuit_opens_for_everybody_and_closes_with_a_probe(self, clock: SteppingClock, stub: StubEndpoint, settings: Any) -> None:
        settings.LLM_MAX_ATTEMPTS = 1
        scripted(stub, (503, b"down"))
        for _ in range(5):
            put(clock)
        sent = len(stub.requests)
        began = time.monotonic()
        assert put(clock, seconds=0.5).outcome is Outcome.UNAVAILABLE
        assert len(stub.requests) == sent
        assert Event.objects.filter(kind="analyst_down").count() == 1
        scripted(stub, completion(verdict("continue")))
        answers = ask.ask_all([question(clock) for _ in range(10)], now=clock.now)
        assert {answer.outcome for answer in answers.values()} == {Outcome.OK}
        assert 3 < time.monotonic() - began < 15
        assert Event.objects.filter(kind="analyst_up").count() == 1
        assert AnalystEndpoint.objects.get().failures == 0


class TestFallbacks:
    def test_the_next_model_and_then_the_rules_are_asked(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        stub.script = lambda body: completion("nonsense")
        answer = put(clock, fallbacks=("stub-words", "rules"))
        assert (answer.outcome, answer.analyst) == (Outcome.OK, "rules")
        assert [(attempt.analyst, attempt.model) for attempt in answer.attempts] == [
            ("llm", "stub-1"),
            ("llm", "stub-words"),
            ("rules", ""),
        ]
        assert [request["model"] for request in stub.requests] == ["stub-1", "stub-words"]

    def test_an_attempt_without_time_says_nothing_of_its_endpoint(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        stub.script = lambda body: time.sleep(1) or completion(verdict("continue"))
        outcomes = {answer.outcome for answer in ask.ask_all([question(clock, seconds=0.3) for _ in range(8)], now=clock.now).values()}
        assert outcomes == {Outcome.TIMEOUT}
        assert AnalystEndpoint.objects.get().failures == 0
        assert not Event.objects.filter(kind="analyst_down").exists()

    def test_a_silent_model_leaves_the_next_one_its_time(self, clock: SteppingClock, stub: StubEndpoint, settings: Any) -> None:
        settings.LLM_TIMEOUT_SECONDS = 60

        def script(body: dict[str, Any]) -> Any:
            if body["model"] == "stub-1":
                time.sleep(3)
            return completion(verdict("continue"))

        stub.script = script
        answer = put(clock, seconds=2, fallbacks=("stub-words",))
        assert (answer.outcome, answer.model) == (Outcome.OK, "stub-words")
        assert 900 < answer.attempts[0].latency_ms < 1500

    def test_the_rules_do_not_stand_in_for_a_halt(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        controls.halt(scope="all", state="halted", reason="stop", actor=OLGA, now=clock.now, wait_s=0)
        assert put(clock, fallbacks=("rules",), scopes=("all",)).outcome is Outcome.HALTED
        assert stub.requests == []


class TestOneOfMany:
    """Whatever is wrong with one question or one answer, the others of the batch get their decision."""

    @pytest.mark.parametrize("broken", ["monitoring.analyst.verdicts.judge", "monitoring.analyst.reply.read"])
    def test_an_answer_that_breaks_the_desk(self, clock: SteppingClock, stub: StubEndpoint, monkeypatch: Any, broken: str) -> None:
        real, calls = import_string(broken), iter(range(100))

        def once(*args: Any, **more: Any) -> Any:
            if next(calls) == 0:
                raise RecursionError("deep")
            return real(*args, **more)

        monkeypatch.setattr(broken, once)
        answers = ask.ask_all([question(clock) for _ in range(3)], now=clock.now)
        assert sorted(answer.outcome for answer in answers.values()) == [Outcome.INVALID, Outcome.OK, Outcome.OK]
        assert next(answer.error for answer in answers.values() if answer.outcome is Outcome.INVALID).endswith("RecursionError: deep")

    def test_a_chain_that_can_not_be_asked(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        wrong = question(clock, model=None)
        saved = question(clock, model=None, fallbacks=(5, "rules"))
        right = question(clock)
        answers = ask.ask_all([wrong, saved, right], now=clock.now)
        assert (answers[wrong.id].outcome, answers[right.id].outcome) == (Outcome.INVALID, Outcome.OK)
        assert (answers[saved.id].outcome, answers[saved.id].analyst) == (Outcome.OK, "rules")

    def test_a_letter_that_can_not_be_sent_comes_back(self) -> None:
        key = uuid.uuid4()
        with Courier() as courier:
            courier.send([Letter(key, None, (), b"", 5.0)])  # type: ignore[arg-type]
            returned = courier.collect(timeout_s=5)
        assert [(one.key, one.received.status) for one in returned] == [(key, None)]


class TestStart:
    def test_a_file_of_models_that_can_not_be_used_stops_the_start(self, settings: Any, tmp_path: Any) -> None:
        wrong = tmp_path / "models.toml"
        wrong.write_text('[models."m"]\ninput_usd = -1\n')
        settings.LLM_FILES = [wrong]
        with pytest.raises(SystemCheckError, match=r"models\.toml.*models\.m\.input_usd"):
            call_command("check")
        settings.LLM_FILES = [tmp_path / "nowhere.toml"]
        with pytest.raises(SystemCheckError, match="nowhere"):
            call_command("check")

    def test_a_model_without_a_price_is_told(self, settings: Any) -> None:
        settings.LLM_MODEL = "mystery-9"
        assert "has no price" in checks.check_models()[0].msg
        settings.LLM_MODEL = "stub-1"
        assert checks.check_models() == []


class TestLimits:
    def test_positions_are_asked_about_first_when_the_limit_bites(self, clock: SteppingClock, stub: StubEndpoint, settings: Any) -> None:
        settings.LLM_MAX_CONCURRENCY, stub.delay_s = 1, 0.05
        stub.script = lambda body: completion(verdict("hold" if "This position is open" in body["messages"][1]["content"] else "continue"))
        setups = [question(clock) for _ in range(4)]
        held = [question(clock, kind=Kind.MANAGEMENT) for _ in range(4)]
        answers = ask.ask_all([*setups, *held], now=clock.now)
        assert {answer.outcome for answer in answers.values()} == {Outcome.OK}
        order = ["position" if "This position is open" in body["messages"][1]["content"] else "setup" for body in stub.requests]
        assert order == ["position"] * 4 + ["setup"] * 4
        assert stub.most_open == 1
        assert WaitingAsker.objects.count() == 0

    def test_setups_leave_the_next_slot_to_positions_of_another_process(self, clock: SteppingClock, settings: Any) -> None:
        endpoint = Endpoint("http://one/v1", "", (), 1, 0)
        one, other = uuid.uuid4(), uuid.uuid4()
        first = permits.grant([wish()], endpoint=endpoint, holder=one, now=clock.now).permits
        assert len(first) == 1
        assert permits.grant([wish(is_urgent=True)], endpoint=endpoint, holder=other, now=clock.now).permits == []
        permits.settle([settled(first[0])], endpoint=endpoint, now=clock.now)
        assert permits.grant([wish()], endpoint=endpoint, holder=one, now=clock.now).permits == []
        assert len(permits.grant([wish(is_urgent=True)], endpoint=endpoint, holder=other, now=clock.now).permits) == 1

    def test_a_minute_has_so_many_places(self, clock: SteppingClock) -> None:
        endpoint = Endpoint("http://one/v1", "", (), 100, 3)
        given = permits.grant([wish() for _ in range(5)], endpoint=endpoint, holder=uuid.uuid4(), now=clock.now).permits
        assert len(given) == 3
        permits.settle([settled(permit, sent_ago_s=58.0) for permit in given[:1]], endpoint=endpoint, now=clock.now)
        assert permits.grant([wish()], endpoint=endpoint, holder=uuid.uuid4(), now=clock.now).permits == []
        permits.settle([settled(permit, sent_ago_s=61.5) for permit in given[1:]], endpoint=endpoint, now=clock.now)
        assert len(permits.grant([wish() for _ in range(5)], endpoint=endpoint, holder=uuid.uuid4(), now=clock.now).permits) == 2

    def test_a_slot_of_a_dead_process_comes_back_with_its_lease(self, clock: SteppingClock) -> None:
        endpoint = Endpoint("http://one/v1", "", (), 1, 0)
        assert permits.grant([wish()], endpoint=endpoint, holder=uuid.uuid4(), now=clock.now).permits
        assert not permits.grant([wish()], endpoint=endpoint, holder=uuid.uuid4(), now=clock.now).permits
        with connection.cursor() as cursor:
            cursor.execute("UPDATE budget_reservations SET lease_until = clock_timestamp() - interval '1 second'")
        assert permits.grant([wish()], endpoint=endpoint, holder=uuid.uuid4(), now=clock.now).permits

    def test_without_a_slot_in_time_it_is_rate_limited(self, clock: SteppingClock, stub: StubEndpoint, settings: Any) -> None:
        settings.LLM_MAX_CONCURRENCY = 1
        holder = Endpoint(stub.url, "", (), 1, 0)
        permits.grant([wish()], endpoint=holder, holder=uuid.uuid4(), now=clock.now)
        answer = put(clock, seconds=0.4)
        assert (answer.outcome, answer.error) == (Outcome.RATE_LIMITED, "no slot was free before its time was up")
        assert stub.requests == []


def wish(**over: Any) -> Wish:
    values = {"model": "m", "trader_id": None, "is_urgent": False, "lasts_s": 5.0, "most_usd": Decimal("0.01"), "trader_budget_usd": None}
    return Wish(key=uuid.uuid4(), **{**values, **over})


def settled(permit: permits.Permit, **over: Any) -> Settled:
    values = {"cost_usd": Decimal("0.001"), "sent_ago_s": 1.0, "health": Health.ANSWERED, "quiet_s": None, "error": ""}
    return Settled(permit, **{**values, **over})


class TestMoney:
    def test_a_question_that_could_go_over_the_budget_is_not_asked(self, clock: SteppingClock, stub: StubEndpoint, settings: Any) -> None:
        settings.DAILY_BUDGET_USD = Decimal("0.01")
        stub.delay_s = 0.05
        answers = ask.ask_all([question(clock) for _ in range(40)], now=clock.now)
        outcomes = [answer.outcome for answer in answers.values()]
        assert outcomes.count(Outcome.OK) == len(stub.requests) > 0
        assert outcomes.count(Outcome.OVER_BUDGET) > 0
        assert DailySpend.objects.get(scope="all").amount_usd == Decimal("0.00042") * len(stub.requests)
        assert stub.most_open <= 3, "no more were out than the budget has room for at their worst"
        assert len(stub.requests) >= 15, "what was reserved and not spent was used again"
        event = Event.objects.get(kind="budget_used_up")
        assert event.data["budget_usd"] == "0.01"

    def test_a_trader_has_a_budget_of_its_own(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        trader = make_trader(daily_budget_usd=Decimal("0.000001"))
        answer = put(clock, trader_id=trader.id, daily_budget_usd=trader.daily_budget_usd)
        assert answer.outcome is Outcome.OVER_BUDGET
        assert "the trader's own" in answer.error
        assert put(clock).outcome is Outcome.OK, "others go on"
        assert Event.objects.get(kind="budget_used_up").user_id == trader.user_id

    def test_a_model_without_a_price_is_not_asked(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        answer = put(clock, model="mystery-9")
        assert answer.outcome is Outcome.OVER_BUDGET
        assert "mystery-9 has no price" in answer.error
        assert stub.requests == []

    def test_what_may_have_been_spent_stays_reserved(self, clock: SteppingClock, stub: StubEndpoint, settings: Any) -> None:
        """After a time-out nobody knows what it cost: the upper bound stands."""
        stub.delay_s = 0.5
        put(clock, seconds=0.2)
        row = BudgetReservation.objects.get()
        assert (row.cost_usd, row.finished_at is not None) == (None, True)
        assert DailySpend.objects.get(scope="all").amount_usd == row.reserved_usd > 0

    def test_what_was_refused_costs_nothing(self, clock: SteppingClock, stub: StubEndpoint) -> None:
        scripted(stub, (404, {"error": {"message": "no such model"}}))
        put(clock)
        assert DailySpend.objects.get(scope="all").amount_usd == 0

    def test_a_halt_stops_what_still_waits(self, clock: SteppingClock, stub: StubEndpoint, settings: Any) -> None:
        settings.LLM_MAX_CONCURRENCY = 1

        def script(body: dict[str, Any]) -> Any:
            time.sleep(0.3)
            return completion(verdict("continue"))

        stub.script = script
        controls.halt(scope="symbol:ETHUSDT", state="halted", reason="stop", actor=OLGA, now=clock.now, wait_s=0)
        free, stopped = question(clock, scopes=("all", "symbol:BTCUSDT")), question(clock, scopes=("all", "symbol:ETHUSDT"))
        answers = ask.ask_all([free, stopped], now=clock.now)
        assert (answers[free.id].outcome, answers[stopped.id].outcome) == (Outcome.OK, Outcome.HALTED)
