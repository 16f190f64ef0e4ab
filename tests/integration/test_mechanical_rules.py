"""The mechanical rules on real positions: at every close, once, also while trading is halted and the analyst away."""

from __future__ import annotations

from decimal import Decimal

import pytest

from monitoring import closes, controls, handlers
from monitoring.audit import Actor
from monitoring.handlers import Close
from monitoring.models import AuditLog, Event, NotificationDelivery, Trader
from positions import mechanical, orders, trading
from positions.intents import Cause, Intent
from positions.models import Order, Position
from tests.support.clocks import START_MS, SteppingClock
from tests.support.factories import candle, make_signal
from tests.support.trading import BY_HAND, LENGTH, TradingDesk

pytestmark = pytest.mark.django_db
OLGA = Actor("olga", "cli")


class Ruled:
    """A long position of 200 at 100, stop 98, target 104, and closes that only the hooks see: no analyst is asked."""

    def __init__(self, clock: SteppingClock, **profile: object) -> None:
        self.desk = TradingDesk(clock, **profile)
        self.clock, self.number = clock, 0
        self.position = self.desk.open()

    def close(self, price: str, *, again: bool = False) -> None:
        if not again:
            self.number += 1
            self.clock.to(START_MS + self.number * LENGTH + 500)
            opened = START_MS + (self.number - 1) * LENGTH
            closes.record(streamed=[candle(open_time=opened, close=price)], now=self.clock.now)
        opened = START_MS + (self.number - 1) * LENGTH
        for hook in handlers.hooks():
            hook(Close("binance", "5m", opened, ("BTCUSDT",)), self.clock.now)
        self.position.refresh_from_db()

    def rules_applied(self) -> list[str]:
        return [event.data["rule"] for event in Event.objects.filter(kind="rule_applied").order_by("id")]


class TestRules:
    def test_the_stop_follows_the_close_and_never_goes_back(self, clock: SteppingClock) -> None:
        ruled = Ruled(clock, use_trailing_stop=True, trailing_stop_distance=Decimal(1))
        for price, stop in (("100.5", "99.49"), ("102", "100.98"), ("101.5", "100.98")):
            ruled.close(price)
            assert ruled.position.stop_loss == Decimal(stop)
        [live] = Order.objects.filter(position=ruled.position, leg="stop", status="open")
        assert (live.cause, live.trigger_price, live.quantity) == ("rule", Decimal("100.98"), ruled.position.contracts)

    def test_levels_take_their_part_once(self, clock: SteppingClock) -> None:
        ruled = Ruled(clock, partial_take_profit_levels=[25, 50])
        size = ruled.position.contracts
        ruled.close("101.4")
        assert ruled.position.contracts == size * Decimal("0.75")
        ruled.close("101.4", again=True)
        ruled.close("101.5")
        assert ruled.position.contracts == size * Decimal("0.75"), "the first level has fired"
        ruled.close("102.8")
        assert ruled.position.contracts == pytest.approx(size * Decimal("0.25"))
        assert ruled.rules_applied() == ["level-1", "level-2"]
        [stop] = Order.objects.filter(position=ruled.position, leg="stop", status="open")
        assert stop.quantity == ruled.position.contracts

    def test_a_loss_that_is_too_large_ends_it(self, clock: SteppingClock) -> None:
        ruled = Ruled(clock, max_loss_per_position=Decimal(150))
        ruled.close("99.7")
        assert ruled.position.status == "open"
        ruled.close("99")
        assert (ruled.position.status, ruled.position.close_reason) == ("closed", "max loss")
        [order] = Order.objects.filter(position=ruled.position, leg="close")
        assert (order.cause, order.cause_id) == ("rule", "max-loss")

    def test_a_halt_leaves_protection_and_holds_back_profit_taking(self, clock: SteppingClock) -> None:
        ruled = Ruled(clock, use_trailing_stop=True, trailing_stop_distance=Decimal(1), partial_take_profit_levels=[50])
        size = ruled.position.contracts
        controls.halt(scope="all", state="halted", reason="a drill", actor=OLGA, now=clock.now)
        ruled.close("102.5")
        assert ruled.position.contracts == size
        assert ruled.position.stop_loss == Decimal("101.47")

    def test_a_worker_that_dies_between_a_fill_and_its_stop_leaves_a_stop_that_is_made_to_fit(self, clock: SteppingClock) -> None:
        ruled = Ruled(clock, partial_take_profit_levels=[50])
        intent = Intent(ruled.position, "reduce", "sell", "market", ruled.position.contracts / 2, Cause(Order.Cause.RULE, "level-1"))
        orders.place(intent)  # and here it died: the stop still covers all of it
        ruled.close("102.5")
        [stop] = Order.objects.filter(position=ruled.position, leg="stop", status="open")
        assert stop.quantity == ruled.position.contracts
        assert Order.objects.filter(position=ruled.position, leg="reduce").count() == 1
        assert ruled.rules_applied() == []

    def test_another_interval_is_none_of_its_business(self, clock: SteppingClock) -> None:
        ruled = Ruled(clock, use_trailing_stop=True, management_interval="1h")
        ruled.close("103")
        assert ruled.position.stop_loss == Decimal(98)

    def test_one_positions_trouble_is_not_the_others(self, clock: SteppingClock) -> None:
        ruled = Ruled(clock, use_trailing_stop=True, trailing_stop_distance=Decimal(1))
        Position.objects.filter(id=ruled.position.id).update(take_profit=None)
        mechanical.on_close(Close("binance", "5m", START_MS, ("BTCUSDT",)), clock.now)
        ruled.close("102")
        assert ruled.position.stop_loss == Decimal(98), "logged, and tried again at the next close"


class TestStreaks:
    def lose(self, desk: TradingDesk) -> None:
        signal = make_signal(desk.trader, symbol="BTCUSDT", status="ready")
        position = desk.open(signal=signal)
        trading.close(position, cause=BY_HAND, reason="test", now=desk.clock.now)  # fees and slippage make it a loss
        desk.clock.forward(seconds=1)

    def test_too_many_losses_in_a_row_pause_the_trader_and_tell_its_owner(self, clock: SteppingClock) -> None:
        desk = TradingDesk(clock, trader={"screened_since": clock.now}, max_consecutive_losses=3)
        for _ in range(2):
            self.lose(desk)
        desk.trader.refresh_from_db()
        assert desk.trader.state == "running"
        self.lose(desk)
        desk.trader.refresh_from_db()
        assert desk.trader.state == "paused"
        event = Event.objects.get(kind="trader_paused")
        assert (event.level, event.data["losses"]) == ("critical", 3)
        assert NotificationDelivery.objects.filter(event=event).exists()
        assert AuditLog.objects.get(action="pause").source == "rule"

    def test_who_is_let_go_on_starts_anew(self, clock: SteppingClock) -> None:
        desk = TradingDesk(clock, trader={"screened_since": clock.now}, max_consecutive_losses=2)
        for _ in range(2):
            self.lose(desk)
        clock.forward(seconds=5)
        Trader.objects.filter(id=desk.trader.id).update(state="running")
        self.lose(desk)
        desk.trader.refresh_from_db()
        assert desk.trader.state == "running"
