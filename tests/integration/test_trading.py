"""Positions on a paper account, from entry to flat (P4, P5, P6)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from monitoring import controls, jobs
from monitoring.audit import Actor
from monitoring.models import Candle, Event, Signal
from positions import flatten, leases, opening, orders, protection, tasks, trading, unprotected
from positions.exchange.paper import PaperExchange
from positions.intents import Cause, Intent, client_order_id
from positions.models import Fill, Order, PaperBalance, PaperOrder, Position, PositionManagementDecision
from positions.risk import Denied
from tests.support.clocks import SteppingClock
from tests.support.factories import ALWAYS, make_schedule
from tests.support.queue import run_all, waiting
from tests.support.trading import BY_HAND, TradingDesk

OPERATOR = Actor("olga", "cli")
pytestmark = pytest.mark.django_db


@pytest.fixture
def desk(clock: SteppingClock) -> TradingDesk:
    return TradingDesk(clock)


def cash(desk: TradingDesk) -> Decimal:
    return PaperBalance.objects.get(account=desk.account).total


class TestOpening:
    def test_enters_with_stop_and_target_and_is_managed_from_now_on(self, desk: TradingDesk) -> None:
        position = desk.open()
        # 1 % of 100,000 over a distance of 2 would be 500; the profile's 20,000 allow 200 at 100.
        assert (position.status, position.contracts) == ("open", Decimal(200))
        assert position.entry_price == Decimal("100.05"), "0.05 % slippage"
        assert desk.resting(position) == {"stop": (Decimal(200), Decimal(98)), "target": (Decimal(200), Decimal(104))}
        assert position.signal is not None
        assert position.signal.status == "in_position"
        assert desk.schedule(position.id).workflow_type == "position_management"
        assert Event.objects.filter(kind="position_opened").count() == 1
        assert position.fees == Decimal("100.05") * 200 * Decimal("0.001")

    def test_a_fill_leads_to_the_decision_that_caused_it(self, desk: TradingDesk) -> None:
        position = desk.open()
        fill = Fill.objects.select_related("order__analysis").get(order__position=position)
        assert fill.order.analysis is not None
        assert fill.order.analysis.decision == "enter_trade"

    def test_a_job_that_runs_again_opens_nothing_more(self, desk: TradingDesk) -> None:
        analysis = desk.entering()
        for _ in range(3):
            opening.open_position(analysis_id=analysis.id, now=desk.clock.now)
        assert Position.objects.count() == 1
        assert PaperOrder.objects.filter(type="market").count() == 1

    def test_a_denial_returns_the_signal_to_monitoring_with_the_reason(self, desk: TradingDesk) -> None:
        denied = opening.open_position(analysis_id=desk.entering(target="100.5").id, now=desk.clock.now)
        assert isinstance(denied, Denied)
        signal = Signal.objects.get()
        assert signal.status == "monitoring"
        assert desk.schedule(signal.id).is_active
        assert Event.objects.get(kind="entry_denied").data["code"] == "risk_reward"
        assert not Order.objects.exists()

    def test_a_schedule_that_enter_stopped_is_taken_up_again(self, desk: TradingDesk) -> None:
        analysis = desk.entering(target="100.5")
        schedule = make_schedule(desk.trader, analysis.signal, is_active=False, stopped_at=desk.clock.now, started_at=desk.clock.now)
        opening.open_position(analysis_id=analysis.id, now=desk.clock.now)
        schedule.refresh_from_db()
        assert schedule.is_active

    def test_one_position_per_account_and_symbol(self, desk: TradingDesk) -> None:
        desk.open()
        denied = opening.open_position(analysis_id=desk.entering().id, now=desk.clock.now)
        assert isinstance(denied, Denied)
        assert denied.code == "symbol_taken"

    @pytest.mark.parametrize("state", ["reducing", "halted"])
    def test_a_switch_denies_it(self, desk: TradingDesk, state: str) -> None:
        controls.halt(scope="all", state=state, reason="testing", actor=OPERATOR, now=desk.clock.now, wait_s=0)
        denied = opening.open_position(analysis_id=desk.entering().id, now=desk.clock.now)
        assert isinstance(denied, Denied)
        assert denied.code == "halted"
        assert not PaperOrder.objects.exists()

    def test_an_entry_that_the_venue_refuses_leaves_nothing_behind(self, desk: TradingDesk) -> None:
        # Approved for 200, but meanwhile the cash has gone elsewhere.
        analysis = desk.entering()
        begun = opening._begin(analysis, analysis.signal, now=desk.clock.now)
        assert isinstance(begun, Position)
        PaperBalance.objects.update(total=10)
        Position.objects.update(lease_until=None)
        denied = opening.open_position(analysis_id=analysis.id, now=desk.clock.now)
        assert isinstance(denied, Denied)
        assert (denied.code, Position.objects.get().status) == ("entry_rejected", "closed")
        assert Signal.objects.get().status == "monitoring"


class TestDyingInTheMiddle:
    """Each step of the opening is repeated after the steps before it were done and forgotten."""

    @pytest.mark.parametrize("step", ["begun", "intended", "sent", "filled", "stop", "target"])
    def test_the_next_run_takes_up_where_the_former_died(self, desk: TradingDesk, step: str) -> None:
        analysis = desk.entering()
        position = opening._begin(analysis, analysis.signal, now=desk.clock.now)
        assert isinstance(position, Position)
        cause = Cause(Order.Cause.DECISION, str(analysis.id), analysis.id)
        intent = Intent(position, "entry", "buy", "market", position.planned_contracts, cause)
        if step == "intended":
            orders._intend(intent)
        if step == "sent":  # the venue has it, and we never heard
            order, _ = orders._intend(intent)
            Order.objects.update(status="sent")
            request = orders.OrderRequest(order.client_order_id, "BTCUSDT", "buy", "market", order.quantity)
            PaperExchange(desk.account).place(request)
        if step in ("filled", "stop", "target"):
            orders.place(intent)
            position.refresh_from_db()
        if step in ("stop", "target"):
            protection.set_stop(position, price=Decimal(98), cause=cause, now=desk.clock.now)
        if step == "target":
            protection.set_target(position, price=Decimal(104), cause=cause)
        with pytest.raises(leases.Busy):
            opening.open_position(analysis_id=analysis.id, now=desk.clock.now)
        Position.objects.update(lease_until=None)
        opened = opening.open_position(analysis_id=analysis.id, now=desk.clock.now)
        assert isinstance(opened, Position)
        assert opened.status == "open"
        assert opened.contracts == Decimal(200) == PaperExchange(desk.account).held(symbol="BTCUSDT").quantity
        assert desk.resting(opened).keys() == {"stop", "target"}
        assert PaperOrder.objects.count() == 3
        assert Event.objects.filter(kind="position_opened").count() == 1

    def test_an_order_that_never_left_is_dead_and_the_entry_denied(self, desk: TradingDesk) -> None:
        analysis = desk.entering()
        position = opening._begin(analysis, analysis.signal, now=desk.clock.now)
        assert isinstance(position, Position)
        cause = Cause(Order.Cause.DECISION, str(analysis.id), analysis.id)
        orders._intend(Intent(position, "entry", "buy", "market", position.planned_contracts, cause))
        Order.objects.update(status="unknown", sent_at=desk.clock.now)
        Position.objects.update(lease_until=None)
        denied = opening.open_position(analysis_id=analysis.id, now=desk.clock.now)
        assert isinstance(denied, Denied)
        assert Order.objects.get().status == "rejected"
        assert not PaperOrder.objects.exists()

    def test_a_halt_does_not_orphan_an_entry_that_was_sent_before_it(self, desk: TradingDesk) -> None:
        analysis = desk.entering()
        position = opening._begin(analysis, analysis.signal, now=desk.clock.now)
        assert isinstance(position, Position)
        cause = Cause(Order.Cause.DECISION, str(analysis.id), analysis.id)
        orders.place(Intent(position, "entry", "buy", "market", position.planned_contracts, cause))
        Position.objects.update(lease_until=None)
        controls.halt(scope="all", state="halted", reason="testing", actor=OPERATOR, now=desk.clock.now, wait_s=0)
        opened = opening.open_position(analysis_id=analysis.id, now=desk.clock.now)
        assert isinstance(opened, Position)
        assert desk.resting(opened).keys() == {"stop", "target"}, "protection still goes out"


class TestManaging:
    def test_a_stop_moves_only_closer(self, desk: TradingDesk) -> None:
        position = desk.open()
        assert trading.adjust_stop(position, price=Decimal(97), cause=BY_HAND, now=desk.clock.now).startswith("denied: stop_widens")
        assert desk.resting(position)["stop"] == (Decimal(200), Decimal(98))
        assert trading.adjust_stop(position, price=Decimal(99), cause=BY_HAND, now=desk.clock.now) == "applied"
        assert desk.resting(position)["stop"] == (Decimal(200), Decimal(99))
        assert Order.objects.filter(leg="stop", status="canceled").count() == 1

    def test_a_target_moves(self, desk: TradingDesk) -> None:
        position = desk.open()
        assert trading.adjust_target(position, price=Decimal(106), cause=BY_HAND, now=desk.clock.now) == "applied"
        assert desk.resting(position)["target"] == (Decimal(200), Decimal(106))

    def test_reducing_resizes_stop_and_target(self, desk: TradingDesk) -> None:
        position = desk.open()
        assert trading.reduce(position, fraction=Decimal("0.25"), cause=BY_HAND, now=desk.clock.now) == "applied"
        assert position.contracts == Decimal(150)
        assert desk.resting(position) == {"stop": (Decimal(150), Decimal(98)), "target": (Decimal(150), Decimal(104))}

    def test_reducing_all_of_it_closes(self, desk: TradingDesk) -> None:
        position = desk.open()
        assert trading.reduce(position, fraction=Decimal(1), cause=BY_HAND, now=desk.clock.now) == "applied"
        assert position.status == "closed"

    def test_adding_stays_within_the_limits_and_resizes(self, desk: TradingDesk) -> None:
        position = desk.open(size="50")
        assert trading.add(position, quantity=Decimal(30), cause=BY_HAND, now=desk.clock.now) == "applied"
        assert position.contracts == Decimal(80)
        assert desk.resting(position)["stop"][0] == Decimal(80)
        assert trading.add(position, quantity=Decimal(10**6), cause=Cause("operator", "more"), now=desk.clock.now) == "applied"
        assert position.contracts <= Decimal(200)
        assert trading.add(position, quantity=Decimal(9), cause=Cause("operator", "yet more"), now=desk.clock.now).startswith(
            "denied: no_room"
        )

    @pytest.mark.parametrize("state", ["reducing", "halted"])
    def test_switches_deny_adding_and_nothing_that_protects(self, desk: TradingDesk, state: str) -> None:
        position = desk.open(size="50")
        controls.halt(scope="symbol:BTCUSDT", state=state, reason="testing", actor=OPERATOR, now=desk.clock.now, wait_s=0)
        assert trading.add(position, quantity=Decimal(10), cause=BY_HAND, now=desk.clock.now).startswith("denied: halted")
        assert trading.adjust_stop(position, price=Decimal(99), cause=BY_HAND, now=desk.clock.now) == "applied"
        assert trading.close(position, cause=BY_HAND, reason="by hand", now=desk.clock.now) == "applied"

    def test_a_switch_on_the_positions_own_workflow_denies_adding(self, desk: TradingDesk) -> None:
        position = desk.open(size="50")
        scope = f"workflow:{desk.schedule(position.id).id}"
        controls.halt(scope=scope, state="reducing", reason="testing", actor=OPERATOR, now=desk.clock.now, wait_s=0)
        assert trading.add(position, quantity=Decimal(10), cause=BY_HAND, now=desk.clock.now).startswith("denied: halted")

    def test_a_close_that_reached_the_venue_unheard_is_not_sent_again(self, desk: TradingDesk) -> None:
        position = desk.open()
        order, _ = orders._intend(Intent(position, "close", "sell", "market", position.contracts, Cause("operator", "before")))
        request = orders.OrderRequest(order.client_order_id, "BTCUSDT", "sell", "market", order.quantity, reduce_only=True)
        PaperExchange(desk.account).place(request)
        Order.objects.filter(id=order.id).update(status="unknown")
        assert trading.close(position, cause=BY_HAND, reason="by hand", now=desk.clock.now) == "applied"
        assert Order.objects.filter(leg="close").count() == PaperOrder.objects.filter(type="market", side="sell").count() == 1

    def test_a_close_that_was_refused_is_sent_anew_and_not_found_dead_for_ever(self, desk: TradingDesk) -> None:
        position = desk.open()
        order, _ = orders._intend(Intent(position, "close", "sell", "market", position.contracts, BY_HAND))
        Order.objects.filter(id=order.id).update(status="rejected")
        assert trading.close(position, cause=BY_HAND, reason="by hand", now=desk.clock.now) == "applied"
        assert list(Order.objects.filter(leg="close").order_by("generation").values_list("generation", "status")) == [
            (0, "rejected"),
            (1, "filled"),
        ]

    def test_closing_takes_everything_away(self, desk: TradingDesk) -> None:
        before = cash(desk)
        position = desk.open()
        assert trading.close(position, cause=BY_HAND, reason="by hand", now=desk.clock.now) == "applied"
        assert (position.status, position.contracts, desk.resting(position)) == ("closed", 0, {})
        assert cash(desk) == before + position.realized_pnl - position.fees, "to the last digit"
        assert position.signal is not None
        assert Signal.objects.get(id=position.signal_id).status == "closed"
        assert desk.schedule(position.id).stop_reason == "position_closed"

    def test_a_position_that_somebody_works_on_is_left_alone(self, desk: TradingDesk) -> None:
        position = desk.open()
        leases.take(position)
        with pytest.raises(leases.Busy):
            trading.close(position, cause=BY_HAND, reason="by hand", now=desk.clock.now)


class TestCandles:
    def test_a_stop_fills_from_the_low(self, desk: TradingDesk) -> None:
        before, position = cash(desk), desk.open()
        desk.close(low="97", close="97.5")
        position.refresh_from_db()
        assert (position.status, position.close_reason) == ("closed", "stop")
        assert Fill.objects.get(order__leg="stop").price == Decimal("97.95")
        assert cash(desk) == before + position.realized_pnl - position.fees
        assert position.max_pnl >= position.realized_pnl - position.fees

    def test_a_target_fills_from_the_high(self, desk: TradingDesk) -> None:
        position = desk.open()
        desk.close(high="104.5", close="104.2")
        position.refresh_from_db()
        assert (position.status, position.close_reason) == ("closed", "target")
        assert Fill.objects.get(order__leg="target").price == Decimal(104)

    def test_the_stop_comes_first_when_one_candle_touches_both(self, desk: TradingDesk) -> None:
        position = desk.open()
        desk.close(low="97", high="105", close="104")
        position.refresh_from_db()
        assert position.close_reason == "stop"

    def test_a_close_is_accounted_for_when_the_position_ended_within_it(self, desk: TradingDesk) -> None:
        position = desk.open()
        desk.close(low="97", close="97.5")
        assert list(desk.schedule(position.id).runs.values_list("status", "reason")) == [("skipped", "ended")]

    def test_what_is_held_is_valued_at_every_close(self, desk: TradingDesk) -> None:
        position = desk.open()
        desk.close(high="101", close="101")
        desk.close(close="100.5", high="100.5")
        position.refresh_from_db()
        assert position.unrealized_pnl == Decimal("0.45") * 200
        assert position.max_pnl == Decimal("0.95") * 200 - position.fees

    def test_handling_a_close_twice_fills_once(self, desk: TradingDesk) -> None:
        desk.open()
        desk.close(low="97", close="97.5")
        desk.number -= 1
        desk.close(low="97", close="97.5")
        assert Fill.objects.count() == 2


class TestWorkflow:
    def test_every_close_of_an_open_position_has_a_decision(self, desk: TradingDesk) -> None:
        position = desk.open()
        desk.close()
        decision = PositionManagementDecision.objects.get(position=position)
        assert (decision.action, decision.outcome) == ("hold", "applied")
        assert decision.risk_assessment.keys() == {"marketRisk", "positionRisk", "correlationRisk"}
        assert decision.current_pnl == Decimal("-0.05") * 200

    def test_a_decision_is_acted_on_by_a_job_and_only_once(self, clock: SteppingClock) -> None:
        desk = TradingDesk(clock, trader={"invalidation_conditions": ALWAYS})
        position = desk.open()
        desk.close(close="99.5", low="99.5")
        decision = PositionManagementDecision.objects.get()
        assert (decision.action, decision.outcome) == ("close", "")
        assert jobs.Job.ACT_ON_DECISION in waiting()
        for _ in range(2):
            tasks.act_on_decision(decision_id=str(decision.id))
        position.refresh_from_db()
        decision.refresh_from_db()
        assert (position.status, decision.outcome) == ("closed", "applied")
        assert Event.objects.filter(kind="management_action").count() == 1
        order = Order.objects.get(leg="close")
        assert order.analysis == decision.analysis

    def test_a_decision_that_waited_until_the_next_close_is_denied(self, clock: SteppingClock) -> None:
        desk = TradingDesk(clock, trader={"invalidation_conditions": ALWAYS})
        position = desk.open()
        desk.close(close="99.5", low="99.5")
        clock.forward(seconds=400)
        tasks.act_on_decision(decision_id=str(PositionManagementDecision.objects.get().id))
        position.refresh_from_db()
        assert position.status == "open"
        assert PositionManagementDecision.objects.get().outcome.startswith("denied: late")


class TestFlatten:
    def test_closes_everything_and_halts(self, desk: TradingDesk) -> None:
        position = desk.open()
        controls.flatten(scope="all", reason="enough", actor=OPERATOR, now=desk.clock.now)
        assert controls.open_halts()["all"].state == "reducing"
        run_all()
        position.refresh_from_db()
        assert position.status == "closed"
        assert controls.open_halts()["all"].state == "halted"
        assert Event.objects.filter(kind="flatten_progress").last().data["done"] is True

    def test_reports_what_is_left_and_comes_back(self, desk: TradingDesk) -> None:
        position = desk.open()
        leases.take(position)
        with pytest.raises(flatten.NotFlat):
            flatten.flatten(scope="all", reason="enough", actor=OPERATOR, now=desk.clock.now)
        assert Event.objects.get(kind="flatten_progress").data["left"] == ["BTCUSDT"]
        assert not controls.open_halts()

    def test_keeps_to_its_scope(self, desk: TradingDesk) -> None:
        desk.open()
        assert flatten.flatten(scope="symbol:ETHUSDT", reason="enough", actor=OPERATOR, now=desk.clock.now) == 0
        assert flatten.flatten(scope=f"trader:{desk.trader.id}", reason="enough", actor=OPERATOR, now=desk.clock.now) == 1


def test_client_order_ids_are_32_hex_digits_of_the_intent(desk: TradingDesk) -> None:
    position = desk.open()
    first = client_order_id(position_id=position.id, cause="a", leg="stop", generation=0)
    assert len(first) == 32
    assert int(first, 16) >= 0
    assert first != client_order_id(position_id=position.id, cause="a", leg="stop", generation=1)


def test_an_exchange_is_never_called_inside_a_transaction(desk: TradingDesk) -> None:
    position = desk.open()
    with transaction.atomic(), pytest.raises(orders.InsideTransaction):
        orders.cancel(Order.objects.filter(position=position, status="open").first())


class TestUnprotected:
    def test_the_time_without_a_stop_is_counted(self, clock: SteppingClock) -> None:
        desk = TradingDesk(clock)
        position = desk.open()
        assert (position.unprotected_seconds, position.unprotected_since) == (0, None)
        orders.cancel(Order.objects.get(position=position, leg="stop"))
        position.refresh_from_db()
        assert position.unprotected_since == clock.now
        clock.forward(seconds=30)
        protection.set_stop(position, price=Decimal(98), cause=BY_HAND, now=clock.now)
        position.refresh_from_db()
        assert (position.unprotected_seconds, position.unprotected_since) == (30, None)
        clock.forward(seconds=30)
        protection.set_stop(position, price=Decimal("98.5"), cause=Cause(Order.Cause.OPERATOR, "again"), now=clock.now)
        position.refresh_from_db()
        assert position.unprotected_seconds == 30, "a stop that is replaced leaves no gap"

    def test_a_stop_for_less_than_is_held_is_none(self, clock: SteppingClock) -> None:
        desk = TradingDesk(clock)
        position = desk.open(size="1")
        stop = Order.objects.get(position=position, leg="stop")
        Order.objects.filter(pk=stop.pk).update(quantity=stop.quantity / 2)
        unprotected.note(position_id=position.id, now=clock.now)
        position.refresh_from_db()
        assert position.unprotected_since == clock.now
        clock.forward(seconds=5)
        trading.close(position, cause=Cause(Order.Cause.OPERATOR, "out"), reason="test", now=clock.now)
        position.refresh_from_db()
        assert (position.status, position.unprotected_seconds, position.unprotected_since) == ("closed", 5, None)


class TestWithoutAPrice:
    """A symbol whose candles are gone, and a position in it."""

    def test_closing_goes_out_all_the_same_and_moving_is_denied(self, clock: SteppingClock) -> None:
        desk = TradingDesk(clock)
        position = desk.open()
        Candle.objects.all().delete()
        assert "no_price" in trading.adjust_stop(position, price=Decimal(99), cause=BY_HAND, now=clock.now)
        trading.close(position, cause=BY_HAND, reason="test", now=clock.now, patience_s=0)
        assert Order.objects.filter(position=position, leg="close").exists(), "it is the venue that says whether it fills"

    def test_a_flatten_closes_the_others_and_comes_back(self, clock: SteppingClock, monkeypatch: pytest.MonkeyPatch) -> None:
        desk = TradingDesk(clock)
        position = desk.open()
        close = trading.close

        def broken(one: Position, **more: Any) -> str:
            raise RuntimeError("something is wrong with it")

        monkeypatch.setattr(trading, "close", broken)
        with pytest.raises(flatten.NotFlat):
            flatten.flatten(scope="all", reason="test", actor=Actor("olga", "cli"), now=clock.now)
        monkeypatch.setattr(trading, "close", close)
        assert flatten.flatten(scope="all", reason="test", actor=Actor("olga", "cli"), now=clock.now) == 1
        position.refresh_from_db()
        assert position.status == "closed"
