"""Positions at exchanges, with an exchange that fails on request: P4, the retry budget of stops, spot's own ways."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from positions import closes, opening, orders, protection, trading
from positions.exchange import calling
from positions.intents import Cause, Intent
from positions.models import Order, Position
from positions.risk import Denied
from positions.simulator.faults import Trouble
from tests.support import queue
from tests.support.clocks import SteppingClock
from tests.support.trading import BY_HAND
from tests.support.venues import VenueDesk, venue_desk

pytestmark = pytest.mark.django_db
STATES = Order.Status


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((orders, "FIRST_PAUSE_S"), (orders, "LONGEST_PAUSE_S"), (protection, "FIRST_PAUSE_S"), (trading, "CLOSE_PAUSE_S")):
        monkeypatch.setattr(module, name, 0.01)
    monkeypatch.setattr(protection, "RETRY_BUDGET_S", 3.0)


@pytest.fixture(params=["binance_futures", "bybit", "okx"])
def desk(request: pytest.FixtureRequest, clock: SteppingClock, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[VenueDesk]:
    monkeypatch.setattr(calling, "LISTING_PAUSE_S", 0.01)
    with venue_desk(clock, settings, market=request.param) as found:
        yield found


@pytest.fixture
def spot(clock: SteppingClock, settings: Any) -> Iterator[VenueDesk]:
    with venue_desk(clock, settings, market="binance") as found:
        yield found


class TestFutures:
    def test_a_position_lives_from_entry_to_close(self, desk: VenueDesk) -> None:
        position = desk.open(size="2")
        assert (position.contracts, desk.held()) == (2, 2)
        assert desk.resting(position) == {"stop": (2, 98), "target": (2, 104)}
        assert len(desk.book.open_orders()) == 2
        assert trading.adjust_stop(position, price=Decimal(99), cause=BY_HAND, now=desk.clock.now) == "applied"
        assert trading.reduce(position, fraction=Decimal("0.5"), cause=BY_HAND, now=desk.clock.now) == "applied"
        assert (position.contracts, desk.held()) == (1, 1)
        assert desk.resting(position) == {"stop": (1, 99), "target": (1, 104)}
        assert trading.close(position, cause=BY_HAND, reason="test", now=desk.clock.now) == "applied"
        assert (desk.held(), desk.book.open_orders()) == (0, [])
        fills = [fill.realized for order in position.orders.all() for fill in order.fills.all()]
        if desk.market != "bybit":  # which does not tell
            assert sum(value for value in fills if value is not None) == position.realized_pnl

    @pytest.mark.parametrize("trouble", list(Trouble))
    def test_an_entry_reaches_the_exchange_once_whatever_goes_wrong(self, desk: VenueDesk, trouble: Trouble) -> None:
        desk.fail_orders(trouble)
        opened = opening.open_position(analysis_id=desk.entering(size="2").id, now=desk.clock.now)
        entries = [order for order in desk.book.orders.values() if order.side == "BUY"]
        if isinstance(opened, Position):
            assert len(entries) == 1
            assert desk.held() == opened.contracts > 0
            assert desk.resting(opened)["stop"] == (opened.contracts, 98)
        else:
            assert isinstance(opened, Denied)
            assert entries == []
            assert not Position.objects.exclude(status="closed").exists()

    @pytest.mark.parametrize("trouble", list(Trouble))
    @pytest.mark.parametrize("times", [1, 2])
    def test_a_stop_is_there_or_the_position_is_not(self, desk: VenueDesk, trouble: Trouble, times: int) -> None:
        desk.fail_stops(*[trouble] * times)
        position = desk.open(size="2")
        assert desk.held() == position.contracts
        stops = [order for order in desk.book.open_orders() if order.trigger is not None]
        assert [order.quantity for order in stops] == ([position.contracts] if position.contracts else [])
        assert position.status == ("open" if position.contracts else "closed")

    def test_a_stop_that_is_refused_for_good_closes_the_position(self, desk: VenueDesk) -> None:
        desk.fail_stops(*[Trouble.FILTER] * 3)
        position = desk.open(size="2")
        assert (position.status, position.close_reason, desk.held()) == ("closed", "stop could not be placed", 0)
        assert desk.book.open_orders() == []

    def test_a_close_that_fills_in_part_goes_on_until_flat(self, desk: VenueDesk) -> None:
        position = desk.open(size="2")
        desk.fail_orders(Trouble.PARTIAL, Trouble.PARTIAL)
        assert trading.close(position, cause=BY_HAND, reason="test", now=desk.clock.now) == "applied"
        assert (desk.held(), position.status) == (0, "closed")

    def test_a_reduction_that_fills_in_part_resizes_the_stop_to_what_is_left(self, desk: VenueDesk) -> None:
        position = desk.open(size="2")
        desk.fail_orders(Trouble.PARTIAL)
        trading.reduce(position, fraction=Decimal("0.5"), cause=BY_HAND, now=desk.clock.now)
        assert (position.contracts, desk.held()) == (Decimal("1.5"), Decimal("1.5"))
        assert desk.resting(position)["stop"] == (Decimal("1.5"), 98)

    def test_an_account_that_is_not_armed_only_protects_and_closes(self, desk: VenueDesk) -> None:
        position = desk.open(size="2")
        type(desk.account).objects.update(is_live=False)
        position = Position.objects.select_related("account", "trader__profile", "signal").get(id=position.id)
        assert trading.add(position, quantity=Decimal(1), cause=BY_HAND, now=desk.clock.now).startswith("denied: not_armed")
        assert trading.adjust_stop(position, price=Decimal(99), cause=BY_HAND, now=desk.clock.now) == "applied"
        assert trading.close(position, cause=BY_HAND, reason="test", now=desk.clock.now) == "applied"

    def test_an_armed_account_keeps_to_its_cap(self, desk: VenueDesk) -> None:
        type(desk.account).objects.update(notional_cap=150)
        position = desk.open()
        assert position.contracts == Decimal("1.5")

    def test_a_stop_that_filled_at_the_exchange_is_followed_at_the_next_close(self, desk: VenueDesk) -> None:
        position = desk.open(size="2")
        desk.move("97")
        assert desk.held() == 2, "nobody has looked yet"
        desk.close(close="97", low="97")
        position.refresh_from_db()
        assert (position.status, position.close_reason, desk.held()) == ("closed", "stop", 0)
        assert desk.book.open_orders() == []

    def test_a_stop_that_sold_what_an_add_bought_is_booked_after_it(self, desk: VenueDesk) -> None:
        """The add's answer was lost, a former stop could not be taken away, and both stops fired before anybody looked."""
        position = desk.open(size="2")
        orders.place(Intent(position, "reduce", "sell", "market", Decimal(1), Cause(Order.Cause.RULE, "half")))
        position.refresh_from_db()
        desk.fail_orders(Trouble.ANSWER_LOST)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(orders, "clear", lambda order, until: order)  # its sender dies here
            added = orders.place(Intent(position, "add", "buy", "market", Decimal(1), Cause(Order.Cause.RULE, "more")))
        assert isinstance(added, Order)
        assert (added.status, desk.held()) == ("unknown", 2)
        desk.move("97")
        stop = Order.objects.get(position=position, leg="stop")
        assert orders.refresh(stop).status == "filled"
        position.refresh_from_db()
        assert (position.contracts, desk.held()) == (0, 0)
        assert Order.objects.get(id=added.id).status == "filled"

    def test_an_exchange_that_does_not_answer_holds_up_one_close_and_not_each(
        self, desk: VenueDesk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        position = desk.open(size="2")
        desk.move("97")
        desk.fail(*[Trouble.LOST] * 50, method="GET")
        desk.close(close="97", low="97")
        desk.fail()
        before = len(desk.wire.asked)
        desk.close(close="97", low="97", opened="97")
        assert len(desk.wire.asked) == before, "it was left alone"
        monkeypatch.setattr(closes, "LEFT_ALONE_S", 0.0)
        closes._left_alone_until.clear()
        desk.close(close="97", low="97", opened="97")
        position.refresh_from_db()
        assert (position.status, position.close_reason) == ("closed", "stop")

    def test_a_stop_that_does_not_fit_is_mended_by_a_job_of_its_own(self, desk: VenueDesk) -> None:
        position = desk.open(size="2")
        orders.place(Intent(position, "reduce", "sell", "market", Decimal("0.5"), Cause(Order.Cause.RULE, "level-1")))
        before = Order.objects.filter(leg="stop").count()
        desk.close(close="100")
        assert Order.objects.filter(leg="stop").count() == before
        queue.run_all()
        position.refresh_from_db()
        assert desk.resting(position)["stop"] == (position.contracts, 98)


class TestSpot:
    def test_the_fee_is_taken_out_of_what_was_bought(self, spot: VenueDesk) -> None:
        position = spot.open(size="2")
        assert position.contracts == Decimal("1.998")
        assert spot.resting(position) == {"stop": (Decimal("1.998"), 98)}, "a resting target would need the same coins"
        assert trading.close(position, cause=BY_HAND, reason="test", now=spot.clock.now) == "applied"
        assert spot.held() == 0
        paid = spot.book.wallet["USDT"] - 100_000
        assert abs(position.realized_pnl - position.fees - paid) < Decimal("0.001")

    def test_what_is_no_whole_step_is_left_as_dust_and_counted_as_a_cost(self, spot: VenueDesk) -> None:
        position = spot.open(size="1.23457")
        bought = Decimal("1.23457") * Decimal("0.999")
        assert position.contracts == Decimal("1.23333") < bought
        trading.close(position, cause=BY_HAND, reason="test", now=spot.clock.now)
        assert position.status == "closed"
        assert spot.held() == bought - position.initial_contracts

    def test_the_target_is_watched_at_every_close(self, spot: VenueDesk) -> None:
        position = spot.open(size="2")
        spot.move("105")
        queue.forget()
        spot.wire.asked.clear()
        spot.close(close="105", high="105")
        position.refresh_from_db()
        assert position.status == "open"
        assert not [asked for asked in spot.wire.asked if asked[0] == "POST"], "decisions on this close wait for no exchange"
        assert "positions.tasks.apply_rules" in queue.waiting()
        queue.run_all()
        position.refresh_from_db()
        assert (position.status, position.close_reason) == ("closed", "target")

    def test_moving_the_stop_leaves_one(self, spot: VenueDesk) -> None:
        position = spot.open(size="2")
        assert trading.adjust_stop(position, price=Decimal(99), cause=BY_HAND, now=spot.clock.now) == "applied"
        assert [order.trigger for order in spot.book.open_orders()] == [99]

    @pytest.mark.parametrize("trouble", list(Trouble))
    def test_a_stop_is_there_or_the_position_is_not(self, spot: VenueDesk, trouble: Trouble) -> None:
        spot.fail(None, trouble, path="/api/v3/order")
        position = spot.open(size="2")
        stops = spot.book.open_orders()
        assert [order.quantity for order in stops] == ([position.contracts] if position.contracts else [])
