"""The exchange contract on the paper exchange, and books that reconcile to the last digit whatever is traded."""

from __future__ import annotations

import uuid
from dataclasses import replace
from decimal import Decimal, localcontext

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitoring import closes
from monitoring.models import Instrument
from positions.exchange import accounting
from positions.exchange.contract import BUY, LIMIT, MARKET, SELL, STOP_MARKET, InsufficientFunds, OrderNotFound, OrderRequest, Rejected
from positions.exchange.paper import PaperExchange
from positions.models import PaperBalance, PaperTrade
from tests.support.clocks import START_MS, SteppingClock
from tests.support.factories import candle, make_account, make_instruments, make_user
from tests.support.trading import LENGTH

SYMBOL = "BTCUSDT"
pytestmark = pytest.mark.django_db


class Venue:
    """A paper account whose market is under control."""

    def __init__(self, clock: SteppingClock, *, market: str = "binance", **account) -> None:
        make_instruments(SYMBOL)
        Instrument.objects.update(market=market)
        self.clock, self.market, self.number = clock, market, 0
        self.exchange = PaperExchange(make_account(make_user(), market=market, **account))
        self.candle("100")

    def candle(self, close: str, **over: str) -> int:
        opened = START_MS + self.number * LENGTH
        self.number += 1
        self.clock.to(opened + LENGTH)
        prices = {name: Decimal(value) for name, value in over.items()}
        closed = candle(open_time=opened, close=close, **{"open": Decimal(close), **prices})
        closes.record(streamed=[replace(closed, market=self.market)], now=self.clock.now)
        return self.exchange.match(symbol=SYMBOL, interval="5m")

    def order(self, side: str, type: str, quantity: str, **over) -> OrderRequest:
        return OrderRequest(uuid.uuid4().hex, SYMBOL, side, type, Decimal(quantity), **over)


@pytest.fixture
def venue(clock: SteppingClock) -> Venue:
    return Venue(clock)


class TestContract:
    def test_a_market_order_fills_at_once(self, venue: Venue) -> None:
        request = venue.order(BUY, MARKET, "2")
        report = venue.exchange.place(request)
        assert (report.status, report.filled, report.average_price) == ("filled", Decimal(2), Decimal("100.05"))
        [trade] = venue.exchange.trades(symbol=SYMBOL, report=venue.exchange.order(symbol=SYMBOL, client_order_id=request.client_order_id))
        assert (trade.price, trade.fee, trade.fee_currency) == (Decimal("100.05"), Decimal("0.2001"), "USDT")
        assert venue.exchange.held(symbol=SYMBOL).quantity == 2
        assert venue.exchange.order(symbol=SYMBOL, client_order_id=request.client_order_id) == report

    def test_an_id_is_taken_once_for_ever(self, venue: Venue) -> None:
        request = venue.order(BUY, MARKET, "2")
        venue.exchange.place(request)
        with pytest.raises(Rejected, match="duplicate"):
            venue.exchange.place(request)
        assert venue.exchange.held(symbol=SYMBOL).quantity == 2

    def test_an_unknown_order_is_not_found(self, venue: Venue) -> None:
        for read in (venue.exchange.order, venue.exchange.cancel):
            with pytest.raises(OrderNotFound):
                read(symbol=SYMBOL, client_order_id="nobody")

    @pytest.mark.parametrize(
        ("request_", "code"),
        [
            ((BUY, MARKET, "0.000001", {}), "lot_size"),
            ((BUY, MARKET, "0.00001", {}), "notional"),
            ((BUY, LIMIT, "1", {"price": Decimal("99.001")}), "price_filter"),
            ((SELL, MARKET, "1", {"reduce_only": True}), "reduce_only"),
            ((SELL, MARKET, "1", {}), "no_short"),
            ((BUY, MARKET, "5000", {}), "insufficient_funds"),
        ],
    )
    def test_filters_refuse_with_a_code_and_change_nothing(self, venue: Venue, request_, code: str) -> None:
        side, type_, quantity, over = request_
        with pytest.raises(Rejected) as error:
            venue.exchange.place(venue.order(side, type_, quantity, **over))
        assert error.value.code == code
        assert isinstance(error.value, InsufficientFunds) is (code == "insufficient_funds")
        assert venue.exchange.balance().total == 100_000

    def test_a_stop_beyond_the_market_is_refused(self, venue: Venue) -> None:
        venue.exchange.place(venue.order(BUY, MARKET, "2"))
        with pytest.raises(Rejected, match="would_trigger"):
            venue.exchange.place(venue.order(SELL, STOP_MARKET, "2", trigger_price=Decimal(100), reduce_only=True))

    def test_a_resting_order_waits_is_seen_and_can_be_cancelled(self, venue: Venue) -> None:
        request = venue.order(BUY, LIMIT, "1", price=Decimal(95))
        assert venue.exchange.place(request).status == "open"
        assert [o.client_order_id for o in venue.exchange.open_orders()] == [request.client_order_id]
        assert venue.candle("99", low="96", high="100") == 0
        for _ in range(2):
            assert venue.exchange.cancel(symbol=SYMBOL, client_order_id=request.client_order_id).status == "canceled"
        assert venue.candle("94", low="94", high="99") == 0

    def test_cancelling_what_has_filled_returns_it_as_it_is(self, venue: Venue) -> None:
        request = venue.order(BUY, LIMIT, "1", price=Decimal(95))
        venue.exchange.place(request)
        assert venue.candle("94", low="94", high="99") == 1
        assert venue.exchange.cancel(symbol=SYMBOL, client_order_id=request.client_order_id).status == "filled"

    def test_reduce_only_orders_never_flip_a_position(self, venue: Venue) -> None:
        venue.exchange.place(venue.order(BUY, MARKET, "2"))
        for price in ("98", "97"):
            venue.exchange.place(venue.order(SELL, STOP_MARKET, "2", trigger_price=Decimal(price), reduce_only=True))
        assert venue.candle("96", low="95", high="100") == 1
        assert venue.exchange.held(symbol=SYMBOL).quantity == 0
        assert venue.exchange.open_orders() == []

    def test_resting_orders_reserve_their_cash(self, venue: Venue) -> None:
        venue.exchange.place(venue.order(BUY, LIMIT, "900", price=Decimal(95)))
        with pytest.raises(InsufficientFunds):
            venue.exchange.place(venue.order(BUY, LIMIT, "900", price=Decimal(94)))

    def test_a_margin_account_can_be_short_and_uses_margin(self, clock: SteppingClock) -> None:
        venue = Venue(clock, market="binance_futures", cash=1000, leverage=5)
        venue.exchange.place(venue.order(SELL, MARKET, "20"))
        assert venue.exchange.held(symbol=SYMBOL).quantity == -20
        fee = Decimal("99.95") * 20 * Decimal("0.001")
        assert venue.exchange.balance().available == 1000 - fee - Decimal("99.95") * 20 / 5
        with pytest.raises(InsufficientFunds):
            venue.exchange.place(venue.order(SELL, MARKET, "40"))
        venue.candle("90", low="90", high="100")
        venue.exchange.place(venue.order(BUY, MARKET, "20", reduce_only=True))
        assert venue.exchange.balance().total > 1150, "ten for each of twenty, less fees and slippage"


steps = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "limit", "stop", "candle"]),
        st.integers(1, 9000),
        st.decimals(min_value=60, max_value=150, places=2),
        st.decimals(min_value=0, max_value=20, places=2),
    ),
    min_size=1,
    max_size=14,
)


@given(steps)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cash_fees_and_holdings_reconcile_whatever_is_traded(clock: SteppingClock, sequence) -> None:
    venue = Venue(clock)
    for kind, size, price, spread in sequence:
        quantity = str(Decimal(size) / 10)
        try:
            match kind:
                case "buy" | "sell":
                    venue.exchange.place(venue.order(BUY if kind == "buy" else SELL, MARKET, quantity, reduce_only=kind == "sell"))
                case "limit":
                    venue.exchange.place(venue.order(BUY, LIMIT, quantity, price=price))
                case "stop":
                    venue.exchange.place(venue.order(SELL, STOP_MARKET, quantity, trigger_price=price, reduce_only=True))
                case "candle":
                    venue.candle(str(price), low=str(price - spread), high=str(price + spread))
        except Rejected:
            continue
    trades = PaperTrade.objects.filter(order__account=venue.exchange._account).select_related("order")
    with localcontext(prec=accounting.PRECISION):
        cash, quantity_held = Decimal(100_000), Decimal(0)
        for trade in trades:
            sign = 1 if trade.order.side == BUY else -1
            cash -= sign * trade.price * trade.quantity + trade.fee
            quantity_held += sign * trade.quantity
    held = venue.exchange.held(symbol=SYMBOL)
    assert PaperBalance.objects.get(account=venue.exchange._account).total == cash
    assert held.quantity == quantity_held >= 0
    assert (held.quantity == 0) == (held.cost == 0)
    assert cash >= 0, "nothing was bought on credit"
