"""The pages of one workflow and one position: everything that was decided can be read there, and positions handled by hand."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from desk import forming
from monitoring.feed.contract import FormingCandle, RestDown
from monitoring.models import AuditLog, Event, SignalAnalysis, WorkflowRun
from positions.models import Order, Position
from tests.support import queue
from tests.support.clocks import START_MS, SteppingClock
from tests.support.factories import make_user
from tests.support.trading import LENGTH, TradingDesk

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_user(is_superuser=True, username="olga"))
    return client


@pytest.fixture
def desk(clock: SteppingClock) -> TradingDesk:
    return TradingDesk(clock)


@pytest.fixture
def held(desk: TradingDesk) -> Position:
    """A position that was judged at three closes."""
    position = desk.open()
    for price in ("100.30", "100.35", "100.40"):
        desk.close(opened="100.25", low="100.25", high="100.45", close=price)
    queue.forget()  # what the rules would do about it is none of these tests' business
    position.refresh_from_db()
    return position


def act(client: Client, position: Position, **form: str):
    values = {"reason": "by hand, for a test", "nonce": str(uuid.uuid4()), **form}
    answer = client.post(f"/positions/{position.id}/act/", values, follow=True)
    queue.run_all()
    position.refresh_from_db()
    return answer


class TestWorkflowPage:
    def test_every_close_is_there_with_its_outcome(self, operator: Client, desk: TradingDesk, held: Position) -> None:
        schedule = desk.schedule(held.id)
        page = operator.get(f"/workflows/{schedule.id}/").content.decode()
        assert page.count("data-run=") == 3
        assert "the snapshot that was judged" in page.lower()
        run = WorkflowRun.objects.filter(schedule=schedule).order_by("candle_time").first()
        one = operator.get(f"/workflows/{schedule.id}/closes/{run.id}/").content.decode()
        assert str(SignalAnalysis.objects.get(run=run).id) in one

    def test_the_chart_has_candles_markers_entry_and_the_steps_of_the_stop(
        self, operator: Client, desk: TradingDesk, held: Position
    ) -> None:
        data = operator.get(f"/workflows/{desk.schedule(held.id).id}/chart/").json()
        times = [candle["time"] for candle in data["candles"]]
        assert times == sorted(set(times))
        assert len(data["markers"]) == 3
        assert data["entry"] == float(held.entry_price)
        assert data["stops"][0]["value"] == float(held.initial_stop_loss)
        assert data["stops"][0]["time"] * 1000 % LENGTH == 0

    def test_what_a_model_wrote_stays_text(self, operator: Client, desk: TradingDesk, held: Position) -> None:
        nasty = '<script>alert(1)</script><img src=x onerror="alert(2)">'
        schedule = desk.schedule(held.id)
        run = WorkflowRun.objects.filter(schedule=schedule).order_by("-candle_time").first()
        held.decisions.filter(run=run).update(reasoning=nasty, action_details={nasty: nasty})
        SignalAnalysis.objects.filter(run=run).update(
            raw_response=nasty, error=nasty, model=nasty, request={"messages": [{"role": nasty, "content": nasty}]}
        )
        schedule.last_error = schedule.stop_note = nasty
        schedule.save()
        page = operator.get(f"/workflows/{schedule.id}/?close={run.id}").content.decode()
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert page.count("&lt;script&gt;alert(1)") >= 5

    def test_disable_and_enable_ask_for_a_reason(self, operator: Client, desk: TradingDesk, held: Position) -> None:
        schedule = desk.schedule(held.id)
        url = f"/workflows/{schedule.id}/steer/"
        assert b"at least 3 characters" in operator.post(url, {"action": "disable", "reason": "x"}, follow=True).content
        assert b"It is off" in operator.post(url, {"action": "disable", "reason": "maintenance"}, follow=True).content
        schedule.refresh_from_db()
        assert not schedule.is_active
        assert b"active again" in operator.post(url, {"action": "enable", "reason": "done"}, follow=True).content
        assert AuditLog.objects.filter(actor="olga").count() == 2

    def test_it_is_read_in_a_fixed_number_of_queries(self, operator: Client, desk: TradingDesk, held: Position) -> None:
        url = f"/workflows/{desk.schedule(held.id).id}/"
        with CaptureQueriesContext(connection) as few:
            operator.get(url)
        for _ in range(6):
            desk.close(opened="100.4", low="100.4", high="100.4", close="100.4")
        with CaptureQueriesContext(connection) as many:
            operator.get(url)
        assert len(many) == len(few)


class TestPositionPage:
    def test_it_tells_orders_fills_and_stops(self, operator: Client, held: Position) -> None:
        page = operator.get(f"/positions/{held.id}/").content.decode()
        for order in Order.objects.filter(position=held):
            assert order.client_order_id in page
        assert "Stop history" in page
        assert "Move stop" in page

    def test_closing_by_hand_goes_through_the_journal_and_is_audited(self, operator: Client, held: Position) -> None:
        assert b"Asked for: close" in act(operator, held, action="close").content
        assert held.status == "closed"
        [order] = Order.objects.filter(position=held, leg="close")
        assert (order.cause, order.status) == ("operator", "filled")
        log = AuditLog.objects.get(action="position close")
        assert (log.actor, log.subject_id, log.reason) == ("olga", str(held.id), "by hand, for a test")
        assert Event.objects.get(kind="position_handled").data["outcome"] == "applied"
        assert b"Move stop" not in operator.get(f"/positions/{held.id}/").content

    def test_a_form_that_is_sent_twice_takes_off_once(self, operator: Client, held: Position) -> None:
        before, nonce = held.contracts, str(uuid.uuid4())
        for _ in range(2):
            act(operator, held, action="reduce", value="50", nonce=nonce)
        assert held.contracts == pytest.approx(before / 2, rel=Decimal("0.01"))
        assert Order.objects.filter(position=held, leg="reduce").count() == 1

    def test_a_stop_moves_only_to_reduce_the_risk(self, operator: Client, held: Position) -> None:
        stop = held.stop_loss
        act(operator, held, action="adjust_sl", value=str(stop - 1))
        assert held.stop_loss == stop
        closer = stop + Decimal("0.1")
        act(operator, held, action="adjust_sl", value=str(closer))
        assert held.stop_loss == closer
        assert Order.objects.get(position=held, leg="stop", status="open").trigger_price == closer
        outcomes = [event.data["outcome"] for event in Event.objects.filter(kind="position_handled").order_by("id")]
        assert outcomes[0] != "applied"
        assert outcomes[1] == "applied"

    @pytest.mark.parametrize(
        "form",
        [
            {"action": "double"},
            {"action": "reduce", "value": "101"},
            {"action": "reduce", "value": "-5"},
            {"action": "reduce", "value": "NaN"},
            {"action": "adjust_sl", "value": ""},
            {"action": "close", "nonce": "x"},
            {"action": "close", "reason": " "},
        ],
    )
    def test_what_is_not_asked_properly_is_refused(self, operator: Client, held: Position, form: dict[str, str]) -> None:
        before = Order.objects.count()
        assert b"note-error" in act(operator, held, **form).content
        assert (Order.objects.count(), held.status) == (before, "open")
        assert not AuditLog.objects.filter(subject_type="position").exists()

    def test_an_old_wish_is_not_carried_out(self, operator: Client, held: Position, clock: SteppingClock) -> None:
        operator.post(f"/positions/{held.id}/act/", {"action": "close", "reason": "hurry", "nonce": str(uuid.uuid4())})
        clock.forward(seconds=3600)
        queue.run_all()
        held.refresh_from_db()
        assert held.status == "open"
        assert "late" in Event.objects.get(kind="position_handled").data["outcome"]

    def test_a_halt_does_not_stop_an_operators_own_close(self, operator: Client, held: Position) -> None:
        operator.post("/switches/", {"action": "halt", "scope": "all", "reason": "a drill"})
        act(operator, held, action="close")
        assert held.status == "closed"


class TestRoles:
    @pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("trader-owner", 404), ("operator", 200)])
    def test_who_may_handle_positions(self, client: Client, held: Position, role: str, status: int) -> None:
        user = make_user()
        user.groups.add(Group.objects.get(name=role))
        client.force_login(user)
        answer = client.post(f"/positions/{held.id}/act/", {"action": "close", "reason": "test", "nonce": str(uuid.uuid4())}, follow=True)
        assert answer.status_code == (403 if role == "trader-owner" else status)
        assert client.get(f"/positions/{held.id}/").status_code == (404 if role == "trader-owner" else 200)

    def test_pages_of_others_do_not_exist_for_a_trader_owner(self, client: Client, desk: TradingDesk, held: Position) -> None:
        user = make_user()
        user.groups.add(Group.objects.get(name="trader-owner"))
        client.force_login(user)
        schedule = desk.schedule(held.id)
        for path in ("", "chart/", "timeline/"):
            assert client.get(f"/workflows/{schedule.id}/{path}").status_code == 404
        desk.trader.user = user
        desk.trader.save()
        schedule.user = user
        schedule.save()
        assert client.get(f"/workflows/{schedule.id}/").status_code == 200
        assert client.get(f"/positions/{held.id}/").status_code == 200


class TestFormingCandle:
    """What a chart shows in grey."""

    class Exchange:
        """Tells a candle, or fails."""

        def __init__(self) -> None:
            self.asked, self.answers = 0, True

        def forming(self, *, symbol: str, interval: str) -> FormingCandle:
            self.asked += 1
            if not self.answers:
                raise RestDown("no answer")
            return FormingCandle(symbol, interval, START_MS, *(Decimal(price) for price in ("100", "102", "99", "101")))

    @pytest.fixture
    def exchange(self, monkeypatch: pytest.MonkeyPatch) -> Exchange:
        found = self.Exchange()
        monkeypatch.setattr(forming, "_markets", {"binance": forming._Market(found)})  # type: ignore[arg-type]
        return found

    def test_pages_share_one_question(self, operator: Client, held: Position, desk: TradingDesk, exchange: Exchange) -> None:
        address = f"/workflows/{desk.schedule(held.id).id}/forming/"
        answers = [operator.get(address).json()["candle"] for _ in range(5)]
        assert answers == [{"time": START_MS // 1000, "open": 100.0, "high": 102.0, "low": 99.0, "close": 101.0}] * 5
        assert exchange.asked == 1

    def test_who_comes_while_another_asks_does_not_wait(self, exchange: Exchange) -> None:
        with forming._markets["binance"].busy:
            assert forming.read(market="binance", symbol="BTCUSDT", interval="5m") is None
        assert exchange.asked == 0

    def test_an_exchange_that_does_not_answer_leaves_the_chart_without_one(
        self, operator: Client, held: Position, desk: TradingDesk, exchange: Exchange
    ) -> None:
        exchange.answers = False
        assert operator.get(f"/workflows/{desk.schedule(held.id).id}/forming/").json() == {"candle": None}

    def test_it_can_be_switched_off(self, operator: Client, held: Position, desk: TradingDesk, exchange: Exchange, settings: Any) -> None:
        settings.FORMING_CANDLE_SECONDS = 0
        schedule = desk.schedule(held.id).id
        assert operator.get(f"/workflows/{schedule}/forming/").json() == {"candle": None}
        assert exchange.asked == 0
        assert "closed candles only" in operator.get(f"/workflows/{schedule}/").content.decode()
