"""
One contract for every venue: the paper exchange, and Binance, Bybit and OKX at the simulated exchange by the real ccxt
clients. Besides, what is known to go wrong with ccxt and with each of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from monitoring import closes
from monitoring.models import Instrument
from monitoring.simulator.market import LISTINGS, Market
from monitoring.simulator.rest import RestError
from positions.exchange.calling import WAIT_S
from positions.exchange.contract import (
    BUY,
    LIMIT,
    MARKET,
    SELL,
    STOP_MARKET,
    InsufficientFunds,
    OrderNotFound,
    OrderRequest,
    Rejected,
    Throttled,
    Unclear,
)
from positions.exchange.factory import exchange_for
from positions.exchange.paper import PaperExchange
from positions.simulator.faults import Fault, Script, Trouble
from positions.simulator.gateway import Gateway, MarketPrices
from tests.support.clocks import START_MS, SteppingClock
from tests.support.exchanges import SYMBOL, Simulated, Venue, key_of, request, simulated
from tests.support.factories import candle, make_account, make_instruments, make_user
from tests.support.trading import LENGTH
from tests.support.venues import ORDERS, make_venue_account, simulated_venue

pytestmark = pytest.mark.django_db


def _paper(clock: SteppingClock, market: str) -> Venue:
    make_instruments(SYMBOL)
    Instrument.objects.update(market=market)
    exchange = PaperExchange(make_account(make_user(), market=market, leverage=1 if market == "binance" else 5, slippage_rate=Decimal(0)))
    number = iter(range(1000))

    def move(price: str) -> None:
        opened = START_MS + next(number) * LENGTH
        clock.to(opened + LENGTH)
        closes.record(streamed=[replace(candle(open_time=opened, close=price, open=Decimal(price)), market=market)], now=clock.now)
        exchange.match(symbol=SYMBOL, interval="5m")

    move("100")
    return Venue(exchange, move, market == "binance")


@pytest.fixture(params=["paper spot", "paper futures", "binance", "binance_futures", "bybit", "okx"])
def venue(request: pytest.FixtureRequest, clock: SteppingClock, settings: Any) -> Iterator[Venue]:
    if request.param.startswith("paper"):
        yield _paper(clock, "binance" if request.param.endswith("spot") else "binance_futures")
    else:
        yield from simulated(clock, settings, request.param)


@pytest.fixture(params=["binance_futures", "bybit", "okx"])
def perpetual(request: pytest.FixtureRequest, clock: SteppingClock, settings: Any) -> Iterator[Simulated]:
    yield from simulated(clock, settings, request.param)


@pytest.fixture
def spot(clock: SteppingClock, settings: Any) -> Iterator[Simulated]:
    yield from simulated(clock, settings, "binance")


@pytest.fixture
def futures(clock: SteppingClock, settings: Any) -> Iterator[Simulated]:
    yield from simulated(clock, settings, "binance_futures")


class TestContract:
    def test_a_market_order_fills_at_once_with_its_fee(self, venue: Venue) -> None:
        asked = venue.request(BUY, MARKET, "2")
        report = venue.exchange.place(asked)
        assert (report.client_order_id, report.status, report.filled) == (asked.client_order_id, "filled", Decimal(2))
        trades = venue.exchange.trades(symbol=venue.symbol, report=report)
        assert sum(trade.quantity for trade in trades) == 2
        assert all(trade.fee > 0 and trade.fee_currency == ("BTC" if venue.fees_in_base else "USDT") for trade in trades)
        assert abs(trades[0].price - 100) < Decimal("0.1")
        assert venue.exchange.order(symbol=venue.symbol, client_order_id=asked.client_order_id).filled == 2
        bought = venue.exchange.held(symbol=venue.symbol).quantity
        assert bought == (Decimal("1.998") if venue.fees_in_base else 2)
        assert venue.exchange.holdings().keys() == {venue.symbol}

    def test_a_stop_rests_and_sells_when_the_price_falls_through(self, venue: Venue) -> None:
        venue.exchange.place(venue.request(BUY, MARKET, "2"))
        stop = venue.request(SELL, STOP_MARKET, "1", trigger_price=Decimal(95), reduce_only=True)
        assert venue.exchange.place(stop).status == "open"
        [resting] = venue.exchange.open_orders()
        assert (resting.client_order_id, resting.symbol, resting.side, resting.quantity, resting.price) == (
            stop.client_order_id, venue.symbol, SELL, 1, Decimal(95)
        )  # fmt: skip
        venue.move("94")
        report = venue.exchange.order(symbol=venue.symbol, client_order_id=stop.client_order_id)
        assert (report.status, report.filled) == ("filled", 1), "triggered alone would not be filled"
        [trade] = venue.exchange.trades(symbol=venue.symbol, report=report)
        assert abs(trade.price - 94) <= 1
        assert venue.exchange.open_orders() == []

    def test_a_target_rests_and_sells_at_its_price(self, venue: Venue) -> None:
        venue.exchange.place(venue.request(BUY, MARKET, "2"))
        target = venue.request(SELL, LIMIT, "1", price=Decimal(105), reduce_only=True)
        assert venue.exchange.place(target).status == "open"
        venue.move("106")
        report = venue.exchange.order(symbol=venue.symbol, client_order_id=target.client_order_id)
        assert (report.status, report.filled, report.average_price) == ("filled", 1, Decimal(105))

    def test_a_resting_order_is_cancelled_once(self, venue: Venue) -> None:
        venue.exchange.place(venue.request(BUY, MARKET, "2"))
        for asked in (
            venue.request(SELL, STOP_MARKET, "1", trigger_price=Decimal(95), reduce_only=True),
            venue.request(SELL, LIMIT, "0.5", price=Decimal(105), reduce_only=True),
        ):
            venue.exchange.place(asked)
            for _ in range(2):
                assert venue.exchange.cancel(symbol=venue.symbol, client_order_id=asked.client_order_id).status == "canceled"
        assert venue.exchange.open_orders() == []

    def test_what_is_filled_can_not_be_cancelled(self, venue: Venue) -> None:
        asked = venue.request(BUY, MARKET, "2")
        venue.exchange.place(asked)
        assert venue.exchange.cancel(symbol=venue.symbol, client_order_id=asked.client_order_id).status == "filled"

    def test_an_unknown_order_is_not_found(self, venue: Venue) -> None:
        for read in (venue.exchange.order, venue.exchange.cancel):
            with pytest.raises(OrderNotFound):
                read(symbol=venue.symbol, client_order_id="nobody")

    @pytest.mark.parametrize(
        ("asked", "code"),
        [
            (request(BUY, MARKET, "0.000001"), "lot_size"),
            (request(BUY, MARKET, "0.00001"), "notional"),
            (request(BUY, LIMIT, "1", price=Decimal("99.001")), "price_filter"),
            (request(BUY, MARKET, "100000"), "insufficient_funds"),
        ],
    )
    def test_what_the_venue_refuses_has_a_code(self, venue: Venue, asked: OrderRequest, code: str) -> None:
        if code == "notional" and venue.symbol != SYMBOL:
            pytest.skip("OKX has a least number of contracts and no least notional")
        with pytest.raises(Rejected) as refused:
            venue.exchange.place(replace(asked, symbol=venue.symbol))
        assert refused.value.code in (code, "binance_4014"), refused.value
        assert isinstance(refused.value, InsufficientFunds) == (code == "insufficient_funds")

    def test_a_stop_beyond_the_market_is_refused(self, venue: Venue) -> None:
        venue.exchange.place(venue.request(BUY, MARKET, "2"))
        with pytest.raises(Rejected) as refused:
            venue.exchange.place(venue.request(SELL, STOP_MARKET, "1", trigger_price=Decimal(101), reduce_only=True))
        assert refused.value.code == "would_trigger"

    def test_what_only_reduces_never_opens(self, venue: Venue) -> None:
        with pytest.raises(Rejected):
            venue.exchange.place(venue.request(SELL, MARKET, "1", reduce_only=True))
        assert venue.exchange.held(symbol=venue.symbol).quantity == 0

    def test_money_is_counted(self, venue: Venue) -> None:
        before = venue.exchange.balance()
        assert (before.currency, before.total, before.available) == ("USDT", 100_000, 100_000)
        venue.exchange.place(venue.request(BUY, MARKET, "10"))
        after = venue.exchange.balance()
        assert 98_900 < after.available < 99_900
        assert after.total > 98_900

    def test_a_short_is_held_as_one(self, venue: Venue) -> None:
        if venue.is_spot:
            pytest.skip("spot has no short")
        venue.exchange.place(venue.request(SELL, MARKET, "2"))
        held = venue.exchange.held(symbol=venue.symbol)
        assert held.quantity == -2
        assert held.cost is not None
        assert abs(held.cost - 200) < 1


class TestKnownTraps:
    """Each of these has cost somebody money."""

    @pytest.mark.parametrize(
        ("trouble", "error", "done"),
        [
            (Trouble.LOST, Unclear, False),
            (Trouble.ANSWER_LOST, Unclear, True),
            (Trouble.SERVER_ERROR, Unclear, False),
            (Trouble.SERVER_ERROR_DONE, Unclear, True),
            (Trouble.TIMEOUT, Unclear, False),
            (Trouble.TIMEOUT_DONE, Unclear, True),
            (Trouble.TOO_MANY, Throttled, False),
            (Trouble.BANNED, Throttled, False),
            (Trouble.MAINTENANCE, Unclear, False),
            (Trouble.FILTER, Rejected, False),
            (Trouble.REJECTED, InsufficientFunds, False),
        ],
    )
    def test_what_may_have_been_done_is_unclear_and_what_was_not_is_refused(
        self, perpetual: Simulated, trouble: Trouble, error: type[Exception], done: bool
    ) -> None:
        """429 and 418 look like a lost connection to ccxt: whoever retries on that hammers into a ban."""
        perpetual.gateway.faults = Script([Fault(trouble)], path=ORDERS[perpetual.market], method="POST")
        asked = perpetual.request(BUY, MARKET, "1")
        with pytest.raises(error) as raised:
            perpetual.exchange.place(asked)
        assert type(raised.value) is error
        if isinstance(raised.value, Throttled):
            said = {"okx": WAIT_S, ("bybit", Trouble.BANNED): 600.0}
            wanted = said.get(perpetual.market) or said.get((perpetual.market, trouble), 1.0)
            assert raised.value.wait_s == wanted, "what the answer says, if it says it"
        assert (perpetual.api.book.find(SYMBOL, client_id=asked.client_order_id) is not None) is done

    def test_a_refused_clock_is_set_right_and_the_order_sent_once(self, perpetual: Simulated) -> None:
        perpetual.gateway.faults = Script([Fault(Trouble.CLOCK)], path=ORDERS[perpetual.market], method="POST")
        assert perpetual.exchange.place(perpetual.request(BUY, MARKET, "1")).filled == 1
        assert perpetual.exchange.held(symbol=perpetual.symbol).quantity == 1

    def test_a_clock_that_is_wrong_is_followed(self, perpetual: Simulated, clock: SteppingClock) -> None:
        real = perpetual.gateway._clock_ms
        perpetual.gateway._clock_ms = lambda: real() - 90_000
        assert perpetual.exchange.place(perpetual.request(BUY, MARKET, "1")).filled == 1

    def test_the_same_id_is_taken_again_once_the_first_has_filled(self, futures: Simulated) -> None:
        """Why nothing is ever sent again blindly."""
        asked = request(BUY, MARKET, "1")
        futures.exchange.place(asked)
        futures.exchange.place(asked)
        assert futures.exchange.held(symbol=SYMBOL).quantity == 2

    def test_an_id_that_is_open_makes_the_answer_unclear_and_not_refused(self, venue: Venue) -> None:
        if isinstance(venue.exchange, PaperExchange):
            pytest.skip("paper keeps ids for ever")
        venue.exchange.place(venue.request(BUY, MARKET, "2"))
        stop = venue.request(SELL, STOP_MARKET, "1", trigger_price=Decimal(95), reduce_only=True)
        venue.exchange.place(stop)
        with pytest.raises(Unclear):
            venue.exchange.place(stop)

    def test_a_market_buy_names_its_quantity_and_no_amount_of_quote(self, spot: Simulated) -> None:
        spot.exchange.place(request(BUY, MARKET, "1"))
        [sent] = [body for method, path, body in spot.wire.asked if method == "POST"]
        assert "quantity=1&" in sent
        assert "quoteOrderQty" not in sent

    def test_stops_of_futures_go_to_the_algo_service_with_their_own_id(self, futures: Simulated) -> None:
        futures.exchange.place(request(BUY, MARKET, "2"))
        stop = request(SELL, STOP_MARKET, "1", trigger_price=Decimal("95.5"), reduce_only=True)
        futures.exchange.place(stop)
        method, path, sent = futures.wire.asked[-1]
        assert (method, path) == ("POST", "/fapi/v1/algoOrder")
        for part in ("algoType=CONDITIONAL", "triggerPrice=95.5", f"clientAlgoId={stop.client_order_id}", "reduceOnly=true"):
            assert part in sent

    def test_the_old_way_for_stops_is_refused_by_the_exchange(self, futures: Simulated) -> None:
        api = futures.gateway.api("anybody", venue="binance_futures")
        wrong = {"symbol": SYMBOL, "side": "SELL", "type": "STOP_MARKET", "quantity": "1", "newClientOrderId": "a"}
        with pytest.raises(RestError) as refused:
            api.handle("POST", "/fapi/v1/order", wrong, now_ms=0)
        assert refused.value.body["code"] == -4120

    def test_a_new_order_tells_no_average_but_its_fills_do(self, futures: Simulated) -> None:
        report = futures.exchange.place(request(BUY, MARKET, "1"))
        assert report.average_price is None
        [trade] = futures.exchange.trades(symbol=SYMBOL, report=report)
        assert trade.price == Decimal("100.01")

    def test_fills_that_are_not_listed_yet_are_waited_for(self, futures: Simulated, monkeypatch: Any) -> None:
        report = futures.exchange.place(request(BUY, MARKET, "1"))
        api = futures.api
        real, calls = api._routes["GET", "/fapi/v1/userTrades"], iter(range(100))
        monkeypatch.setitem(api._routes, ("GET", "/fapi/v1/userTrades"), lambda *a: [] if next(calls) < 2 else real(*a))
        assert len(futures.exchange.trades(symbol=SYMBOL, report=report)) == 1
        monkeypatch.setitem(api._routes, ("GET", "/fapi/v1/userTrades"), lambda *a: [])
        with pytest.raises(Unclear):
            futures.exchange.trades(symbol=SYMBOL, report=report)

    def test_a_market_order_may_fill_in_part(self, perpetual: Simulated) -> None:
        perpetual.gateway.faults = Script([Fault(Trouble.PARTIAL)], path=ORDERS[perpetual.market], method="POST")
        report = perpetual.exchange.place(perpetual.request(BUY, MARKET, "2"))
        assert (report.status, report.filled) == ("canceled", 1)

    def test_hedge_mode_is_refused_before_anything_is_sent(self, futures: Simulated, monkeypatch: Any) -> None:
        api = futures.api
        monkeypatch.setitem(api._routes, ("GET", "/fapi/v1/positionSide/dual"), lambda *a: {"dualSidePosition": True})
        with pytest.raises(Rejected, match="hedge mode"):
            futures.exchange.place(request(BUY, MARKET, "1"))
        assert futures.exchange.held(symbol=SYMBOL).quantity == 0

    def test_on_spot_a_resting_order_stands_in_the_way(self, spot: Simulated) -> None:
        """Why stop and target can't both rest there, and why a close cancels the stop first."""
        spot.exchange.place(request(BUY, MARKET, "2"))
        spot.exchange.place(request(SELL, STOP_MARKET, "1.998", trigger_price=Decimal(95), reduce_only=True))
        with pytest.raises(InsufficientFunds):
            spot.exchange.place(request(SELL, MARKET, "1.998", reduce_only=True))
        assert not spot.exchange.features.exits_share

    def test_no_error_holds_a_key_or_a_signature(self, perpetual: Simulated) -> None:
        for trouble in (Trouble.LOST, Trouble.SERVER_ERROR, Trouble.FILTER, Trouble.BANNED):
            perpetual.gateway.faults = Script([Fault(trouble)], path=ORDERS[perpetual.market], method="POST")
            with pytest.raises((Unclear, Rejected)) as raised:
                perpetual.exchange.place(perpetual.request(BUY, MARKET, "1"))
            text = f"{raised.value!r} {raised.value.__cause__!r}"
            assert "signature" not in text
            assert key_of(perpetual) not in text

    def test_a_wrong_key_is_refused_by_name(self, perpetual: Simulated) -> None:
        perpetual.exchange._caller._client.secret = "wrong"
        with pytest.raises(Rejected) as refused:
            perpetual.exchange.balance()
        assert refused.value.code == "credentials"


class TestSimulatedExchange:
    def test_a_restart_forgets_nothing(self, clock: SteppingClock, settings: Any, tmp_path: Any) -> None:
        """Ids and fills come out the same, whoever looked when."""
        market = Market(seed=3)

        def gateway() -> Gateway:
            now = lambda: int(clock.now.timestamp() * 1000)  # noqa: E731
            return Gateway(listings=LISTINGS, prices=MarketPrices(market), clock_ms=now, journal=tmp_path / "journal")

        first = gateway()
        with simulated_venue(first, settings):
            account = make_venue_account(make_user())
            exchange = exchange_for(account)
            for symbol in ("BTCUSDT", "ETHUSDT"):
                price = market.price(symbol=symbol, at_ms=int(clock.now.timestamp() * 1000))
                tick = LISTINGS[symbol].tick
                exchange.place(OrderRequest(uuid.uuid4().hex, symbol, BUY, MARKET, Decimal(1)))
                stop = price * Decimal("0.9995") // tick * tick
                exchange.place(OrderRequest(uuid.uuid4().hex, symbol, SELL, STOP_MARKET, Decimal(1), trigger_price=stop, reduce_only=True))
            for _ in range(20):
                clock.to(int(clock.now.timestamp() * 1000) + 420_000)
                exchange.open_orders()
        key = account.name
        before = first.api(key, venue="binance_futures").book
        again = gateway().api(key, venue="binance_futures")
        again.book.advance(now_ms=int(clock.now.timestamp() * 1000))
        assert again.book.trades == before.trades
        assert again.book.wallet == before.wallet
        assert {order.status for order in before.orders.values()} == {"FILLED", "TRIGGERED"}

    def test_orders_have_a_limit(self, futures: Simulated) -> None:
        for _ in range(300):
            futures.exchange.place(request(BUY, MARKET, "0.06"))
        with pytest.raises(Throttled) as throttled:
            futures.exchange.place(request(BUY, MARKET, "0.06"))
        assert throttled.value.wait_s == 10
