"""What is different at Bybit and OKX."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from monitoring.simulator.market import LISTINGS
from positions.exchange import calling
from positions.exchange.contract import (
    BUY,
    LIMIT,
    MARKET,
    SELL,
    STOP_MARKET,
    Rejected,
    Unclear,
)
from positions.exchange.factory import exchange_for
from positions.simulator.faults import Fault, Script, Trouble
from positions.simulator.okx import contract_value
from tests.support.clocks import SteppingClock
from tests.support.exchanges import SYMBOL, Simulated, simulated
from tests.support.factories import make_user
from tests.support.venues import make_venue_account

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["binance_futures", "bybit", "okx"])
def perpetual(request: pytest.FixtureRequest, clock: SteppingClock, settings: Any) -> Iterator[Simulated]:
    yield from simulated(clock, settings, request.param)


@pytest.fixture
def bybit(clock: SteppingClock, settings: Any) -> Iterator[Simulated]:
    yield from simulated(clock, settings, "bybit")


@pytest.fixture
def okx(clock: SteppingClock, settings: Any) -> Iterator[Simulated]:
    yield from simulated(clock, settings, "okx")


def test_an_order_that_was_taken_and_is_not_matched_yet_is_asked_for_again(bybit: Simulated, monkeypatch: Any) -> None:
    """Their answers only say that an order was taken."""
    real, calls = bybit.api._routes["GET", "/v5/order/history"], iter(range(100))
    monkeypatch.setitem(bybit.api._routes, ("GET", "/v5/order/history"), lambda *a: {"list": []} if next(calls) < 1 else real(*a))
    monkeypatch.setattr(calling, "LISTING_PAUSE_S", 0)
    report = bybit.exchange.place(bybit.request(BUY, MARKET, "1"))
    assert report.status == "open", "taken, and not listed yet: it is not called rejected"
    assert bybit.exchange.order(symbol=SYMBOL, client_order_id=report.client_order_id).status == "filled"


@pytest.mark.parametrize("perpetual", ["bybit", "okx"], indirect=True)
@pytest.mark.parametrize("trouble", [Trouble.TOO_MANY, Trouble.REJECTED, Trouble.LOST, Trouble.MAINTENANCE])
def test_an_order_that_was_taken_is_never_called_refused(perpetual: Simulated, trouble: Trouble) -> None:
    """When it can't be asked what became of it: else a stop rests that nobody knows."""
    perpetual.exchange.place(perpetual.request(BUY, MARKET, "2"))
    stop = perpetual.request(SELL, LIMIT, "1", price=Decimal(105), reduce_only=True)
    perpetual.gateway.faults = Script([Fault(trouble)] * 9, method="GET")
    with pytest.raises(Unclear):
        perpetual.exchange.place(stop)
    assert perpetual.api.book.find(SYMBOL, client_id=stop.client_order_id)


def test_a_market_order_that_goes_on_is_unclear(okx: Simulated, monkeypatch: Any) -> None:
    real = okx.api._routes["GET", "/api/v5/trade/order"]
    monkeypatch.setitem(okx.api._routes, ("GET", "/api/v5/trade/order"), lambda *a: [{**real(*a)[0], "state": "live", "accFillSz": "0"}])
    monkeypatch.setattr(calling, "LISTING_PAUSE_S", 0)
    with pytest.raises(Unclear):
        okx.exchange.place(okx.request(BUY, MARKET, "1"))


def test_an_id_of_bybit_is_taken_for_ever(bybit: Simulated) -> None:
    asked = bybit.request(BUY, MARKET, "1")
    bybit.exchange.place(asked)
    with pytest.raises(Unclear):
        bybit.exchange.place(asked)
    assert bybit.exchange.held(symbol=SYMBOL).quantity == 1


def test_sizes_of_okx_are_in_contracts(okx: Simulated) -> None:
    okx.exchange.place(okx.request(BUY, MARKET, "2"))
    sent = json.loads(next(body for method, path, body in okx.wire.asked if path == "/api/v5/trade/order" and method == "POST"))
    assert Decimal(sent["sz"]) * contract_value(LISTINGS[SYMBOL]) == 2
    assert okx.exchange.held(symbol=okx.symbol).quantity == 2


def test_a_stop_names_its_direction_and_never_a_price(bybit: Simulated) -> None:
    bybit.exchange.place(bybit.request(SELL, MARKET, "2"))
    bybit.exchange.place(bybit.request(BUY, STOP_MARKET, "2", trigger_price=Decimal(105), reduce_only=True))
    created = [json.loads(body) for method, path, body in bybit.wire.asked if path == "/v5/order/create"][-1]
    assert (created["triggerDirection"], created["reduceOnly"], created["orderType"]) == (1, True, "Market")
    assert "price" not in created
    bybit.move("106")
    assert bybit.exchange.held(symbol=SYMBOL).quantity == 0


def test_another_margin_mode_is_refused_and_not_changed(bybit: Simulated) -> None:
    """It is set for the whole account there, with all that others hold."""
    bybit.api.margin_mode = "REGULAR_MARGIN"
    with pytest.raises(Rejected) as refused:
        bybit.exchange.place(bybit.request(BUY, MARKET, "1"))
    assert refused.value.code == "margin_mode"
    assert bybit.exchange.held(symbol=SYMBOL).quantity == 0


def test_long_short_mode_is_refused(okx: Simulated) -> None:
    okx.api.position_mode = "long_short_mode"
    with pytest.raises(Rejected) as refused:
        okx.exchange.place(okx.request(BUY, MARKET, "1"))
    assert refused.value.code == "hedge_mode"


@pytest.mark.parametrize("count", [130])
def test_listings_are_read_to_their_end(perpetual: Simulated, count: int) -> None:
    since = int(perpetual.gateway._clock_ms())
    for _ in range(count):
        perpetual.exchange.place(perpetual.request(BUY, MARKET, "0.1"))
    trades = perpetual.exchange.trades_since(symbol=perpetual.symbol, since_ms=since)
    assert (len(trades), len({found.trade.trade_id for found in trades})) == (count, count)
    assert [found.trade.trade_id for found in trades] == sorted(
        (found.trade.trade_id for found in trades), key=lambda name: (len(name), name)
    )
    assert sum(found.trade.quantity for found in trades) == perpetual.exchange.held(symbol=perpetual.symbol).quantity


def test_a_key_of_okx_needs_its_passphrase(okx: Simulated) -> None:
    okx.exchange._caller._client.password = "wrong"
    with pytest.raises(Rejected) as refused:
        okx.exchange.balance()
    assert refused.value.code == "credentials"


def test_a_market_that_is_not_traded_there_is_refused_by_name(bybit: Simulated) -> None:
    account = make_venue_account(make_user(), market="bybit_spot")
    with pytest.raises(Rejected) as refused:
        exchange_for(account)
    assert refused.value.code == "not_supported"
