"""Our positions and orders against the exchange's: followed, mended, compared; and never a trade made up."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from hypothesis import given
from hypothesis import strategies as st

from monitoring import controls, sweeps
from monitoring.models import Event, Halt, WorkflowSchedule
from positions import comparison, orders, protection, reconciliation, trading
from positions.comparison import Ours
from positions.exchange import calling
from positions.exchange.contract import BUY, MARKET, STOP_MARKET, Held, OrderRequest
from positions.exchange.factory import exchange_for
from positions.intents import Cause, Intent
from positions.models import ExchangeAccount, Fill, Order, Position
from positions.reconciliation import Reconciled
from positions.simulator.faults import Trouble
from tests.support.clocks import SteppingClock
from tests.support.trading import BY_HAND, TradingDesk
from tests.support.venues import VenueDesk, symbol_at, venue_desk

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["binance_futures", "bybit", "okx"])
def desk(request: pytest.FixtureRequest, clock: SteppingClock, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[VenueDesk]:
    monkeypatch.setattr(calling, "LISTING_PAUSE_S", 0.01)
    with venue_desk(clock, settings, market=request.param) as found:
        yield found


def reconcile(desk: TradingDesk) -> Reconciled:
    return reconciliation.reconcile(ExchangeAccount.objects.get(id=desk.account.id), now=desk.clock.now)


def fresh(position: Position) -> Position:
    return Position.objects.select_related("account", "trader__profile", "signal").get(id=position.id)


class TestFollowing:
    def test_both_sides_agree_on_what_went_well(self, desk: VenueDesk) -> None:
        desk.open(size="2")
        found = reconcile(desk)
        assert found.is_clean
        assert (found.followed, found.mended) == (0, 0)
        assert not Halt.objects.exists()

    def test_a_stop_that_filled_there_ends_the_position_here(self, desk: VenueDesk) -> None:
        position = desk.open(size="2")
        desk.move("97")
        assert reconcile(desk).is_clean
        position = fresh(position)
        assert (position.status, position.close_reason) == ("closed", "stop")
        assert position.realized_pnl == Decimal(97) * 2 - Decimal("0.02") - Decimal("200.02")
        assert desk.book.open_orders() == [], "the target went with it"

    def test_an_order_whose_fate_was_open_is_cleared(self, desk: VenueDesk, monkeypatch: Any) -> None:
        monkeypatch.setattr(protection, "RETRY_BUDGET_S", 0.0)
        position = desk.open(size="2")
        desk.fail_orders(Trouble.ANSWER_LOST)
        trading.reduce(position, fraction=Decimal("0.5"), cause=BY_HAND, now=desk.clock.now)
        assert Order.objects.get(leg="reduce").status == "unknown"
        monkeypatch.setattr(protection, "RETRY_BUDGET_S", 3.0)
        assert reconcile(desk).is_clean
        assert fresh(position).contracts == desk.held() == 1
        assert [order.quantity for order in desk.book.open_orders() if order.trigger is not None] == [1]


class TestMending:
    def test_a_missing_stop_is_placed_again(self, desk: VenueDesk) -> None:
        position = desk.open(size="2")
        [stop] = [order for order in desk.book.open_orders() if order.trigger is not None]
        desk.book.cancel(stop, now_ms=0)
        found = reconcile(desk)
        assert found.is_clean
        assert found.mended == 1
        assert [order.trigger for order in desk.book.open_orders() if order.trigger is not None] == [98]
        assert fresh(position).status == "open"

    def test_a_second_stop_goes(self, desk: VenueDesk) -> None:
        position = desk.open(size="2")
        cause = Cause(Order.Cause.RULE, "second")
        orders.place(Intent(position, "stop", "sell", STOP_MARKET, Decimal(2), cause, trigger_price=Decimal("97.5")))
        assert reconcile(desk).is_clean
        assert [order.trigger for order in desk.book.open_orders() if order.trigger is not None] == [98]

    def test_an_intent_that_nobody_sent_is_given_up(self, desk: VenueDesk) -> None:
        position = desk.open(size="2")
        orders._intend(Intent(position, "reduce", "sell", MARKET, Decimal(1), BY_HAND))
        assert reconcile(desk).is_clean
        assert Order.objects.get(leg="reduce").status == "intended", "somebody may be about to send it"
        desk.clock.to(int(desk.clock.now.timestamp() * 1000) + 200_000)
        reconcile(desk)
        assert Order.objects.get(leg="reduce").status == "rejected"
        assert desk.held() == 2

    def test_what_somebody_works_on_is_left_alone(self, desk: VenueDesk) -> None:
        position = desk.open(size="2")
        [stop] = [order for order in desk.book.open_orders() if order.trigger is not None]
        desk.book.cancel(stop, now_ms=0)
        Position.objects.filter(id=position.id).update(lease_until=desk.clock.now + timedelta(days=3650))
        assert reconcile(desk).mended == 0


class TestDrift:
    def test_what_somebody_sold_at_the_exchange_reduces_the_trader_and_tells_its_owner(self, desk: VenueDesk) -> None:
        position = desk.open(size="2")
        exchange_for(desk.account).place(OrderRequest(uuid.uuid4().hex, desk.symbol, "sell", MARKET, Decimal(1), reduce_only=True))
        found = reconcile(desk)
        assert [problem.code for problem in found.problems][:1] == ["quantity"]
        halt = Halt.objects.get(resumed_at=None)
        assert (halt.scope, halt.state, halt.source) == (f"trader:{position.trader_id}", "reducing", "rule")
        event = Event.objects.get(kind="position_drifted")
        assert (event.level, event.user_id, event.position_id) == ("critical", position.trader.user_id, position.id)
        assert fresh(position).contracts == 2, "no trade is made up"
        assert Fill.objects.filter(order__position=position).count() == 1
        reconcile(desk)
        assert Event.objects.filter(kind="position_drifted").count() == 1, "told once"

    def test_or_it_is_booked_from_the_fills_that_the_exchange_lists(self, desk: VenueDesk) -> None:
        position = desk.open(size="2")
        other = exchange_for(desk.account)
        other.place(OrderRequest(uuid.uuid4().hex, desk.symbol, "sell", MARKET, Decimal(1), reduce_only=True))
        found = reconciliation.reconcile(desk.account, now=desk.clock.now, adopt=True)
        assert found.is_clean
        assert (fresh(position).contracts, fresh(position).status) == (1, "open")
        assert [order.quantity for order in desk.book.open_orders() if order.trigger is not None] == [1], "the stop follows"
        order = Order.objects.get(cause="reconciliation", leg="reduce")
        assert (order.status, order.fills.count()) == ("filled", 1)
        other.place(OrderRequest(uuid.uuid4().hex, desk.symbol, "sell", MARKET, Decimal(1), reduce_only=True))
        reconciliation.reconcile(desk.account, now=desk.clock.now, adopt=True)
        closed = fresh(position)
        assert (closed.status, closed.close_reason) == ("closed", "closed at the exchange")
        assert abs(closed.realized_pnl - closed.fees - (desk.book.wallet["USDT"] - 100_000)) < Decimal("0.000001")

    def test_what_turned_it_over_and_back_is_never_booked(self, desk: VenueDesk, settings: Any) -> None:
        settings.UNKNOWN_AT_EXCHANGE = "adopt"
        position = desk.open(size="2")
        other = exchange_for(desk.account)
        other.place(OrderRequest(uuid.uuid4().hex, desk.symbol, "sell", MARKET, Decimal(3)))
        other.place(OrderRequest(uuid.uuid4().hex, desk.symbol, "buy", MARKET, Decimal(2)))
        assert "quantity" in [problem.code for problem in reconcile(desk).problems]
        assert fresh(position).contracts == 2
        assert not Order.objects.filter(cause="reconciliation", cause_id__startswith="outside").exists()

    def test_what_no_listed_fill_explains_is_never_booked(self, desk: VenueDesk) -> None:
        position = desk.open(size="2")
        desk.book.holdings["BTCUSDT"].amount = Decimal("0.5")
        assert not reconciliation.reconcile(desk.account, now=desk.clock.now, adopt=True).is_clean
        assert fresh(position).contracts == 2

    def test_a_position_that_nobody_here_opened_reduces_the_account(self, desk: VenueDesk) -> None:
        exchange_for(desk.account).place(OrderRequest(uuid.uuid4().hex, symbol_at(desk.market, "ETHUSDT"), BUY, MARKET, Decimal(1)))
        assert [problem.code for problem in reconcile(desk).problems] == ["unknown_position"]
        assert Halt.objects.get().scope == f"account:{desk.account.id}"
        denied = orders.place(Intent(desk_position(desk), "entry", "buy", MARKET, Decimal(1), BY_HAND))
        assert str(denied).startswith("denied: halted")

    def test_or_is_taken_over_with_a_stop_and_a_workflow(self, desk: VenueDesk, settings: Any) -> None:
        settings.UNKNOWN_AT_EXCHANGE = "adopt"
        exchange_for(desk.account).place(OrderRequest(uuid.uuid4().hex, desk.symbol, "sell", MARKET, Decimal(3)))
        reconcile(desk)
        position = Position.objects.get()
        assert (position.side, position.contracts, position.trader_id) == ("short", 3, desk.trader.id)
        assert [(order.trigger, order.quantity, order.side) for order in desk.book.open_orders() if order.trigger is not None] == [
            (102, 3, "BUY")
        ]
        assert WorkflowSchedule.objects.get(entity_id=position.id).is_active
        assert not Fill.objects.exists()
        assert reconcile(desk).is_clean
        assert trading.close(fresh(position), cause=BY_HAND, reason="test", now=desk.clock.now) == "applied"
        assert desk.held() == 0

    def test_an_order_that_is_not_ours_is_told(self, desk: VenueDesk) -> None:
        desk.open(size="2")
        stray = OrderRequest("stray", desk.symbol, "sell", STOP_MARKET, Decimal(1), trigger_price=Decimal(90), reduce_only=True)
        exchange_for(desk.account).place(stray)
        assert [problem.code for problem in reconcile(desk).problems] == ["unknown_order"]

    def test_a_spot_wallet_may_hold_more_but_not_less(self, clock: SteppingClock, settings: Any) -> None:
        with venue_desk(clock, settings, market="binance") as spot:
            spot.open(size="2")
            spot.book.wallet["BTC"] += 5
            spot.book.wallet["DOGE"] = Decimal(100)
            assert reconcile(spot).is_clean
            spot.book.wallet["BTC"] -= 6
            assert [problem.code for problem in reconcile(spot).problems] == ["quantity"]

    def test_an_exchange_that_does_not_answer_is_no_drift(self, desk: VenueDesk) -> None:
        desk.open(size="2")
        desk.fail(*[Trouble.LOST] * 50, method="GET")
        found = reconcile(desk)
        assert "no clear answer" in found.error
        assert not Halt.objects.exists()
        assert ExchangeAccount.objects.get().reconcile_problem == found.error


class TestPaper:
    def test_the_paper_exchange_reconciles_as_well(self, clock: SteppingClock) -> None:
        desk = TradingDesk(clock)
        desk.open(size="2")
        assert reconcile(desk).is_clean


class TestWhen:
    def test_every_account_that_may_hold_something_once_a_minute(self, desk: VenueDesk) -> None:
        assert reconciliation.enqueue_due(desk.clock.now) == 1
        assert reconciliation.enqueue_due(desk.clock.now) == 0
        desk.clock.to(int(desk.clock.now.timestamp() * 1000) + 61_000)
        assert reconciliation.enqueue_due(desk.clock.now) == 1
        assert reconciliation.enqueue_due in sweeps._always

    def test_by_command(self, desk: VenueDesk, capsys: pytest.CaptureFixture[str]) -> None:
        desk.open(size="2")
        call_command("reconcile_positions")
        assert "agrees" in capsys.readouterr().out
        desk.book.holdings["BTCUSDT"].amount = Decimal(1)
        with pytest.raises(SystemExit):
            call_command("reconcile_positions", account=desk.account.name)
        assert "2 here, 1 at the exchange" in capsys.readouterr().out


def desk_position(desk: VenueDesk) -> Position:
    return Position.objects.create(account=desk.account, trader=desk.trader, market=desk.market, symbol=desk.symbol, side="long")


@given(
    mine=st.decimals("-5", "5", places=3),
    theirs=st.decimals("-5", "5", places=3),
    cost=st.decimals("0", "1000", places=2),
    owns=st.booleans(),
)
def test_a_difference_in_size_is_always_found(mine: Decimal, theirs: Decimal, cost: Decimal, owns: bool) -> None:
    ours = Ours(uuid.uuid4(), "BTCUSDT", mine, cost, Decimal(0), None, Decimal(1000))
    holdings = {"BTCUSDT": Held(theirs, cost)} if theirs else {}
    found = comparison.compare([ours], holdings=holdings, resting=[], known_ids=(), owns_wallet=owns)
    assert bool(found) == (mine != theirs if owns else theirs < mine)


def test_a_switch_on_an_account_is_a_scope() -> None:
    assert controls.check_scope("account:00000000-0000-0000-0000-000000000001")
