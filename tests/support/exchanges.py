"""Venues as the contract suite sees them: one whose price a test moves, and the same at the simulated exchange."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from monitoring.simulator.market import LISTINGS
from positions.exchange.contract import Exchange, OrderRequest
from positions.exchange.factory import exchange_for
from positions.simulator.gateway import Gateway
from tests.support.clocks import SteppingClock
from tests.support.factories import make_user
from tests.support.venues import Dial, Wire, make_venue_account, simulated_venue, symbol_at

SYMBOL = "BTCUSDT"


def request(side: str, type: str, quantity: str, **over: Any) -> OrderRequest:
    return OrderRequest(uuid.uuid4().hex, over.pop("symbol", SYMBOL), side, type, Decimal(quantity), **over)


@dataclass
class Venue:
    """A venue whose price a test moves."""

    exchange: Exchange
    move: Callable[[str], None]
    is_spot: bool
    fees_in_base: bool = False
    symbol: str = SYMBOL

    def request(self, side: str, type: str, quantity: str, **over: Any) -> OrderRequest:
        return request(side, type, quantity, symbol=self.symbol, **over)


@dataclass
class Simulated(Venue):
    """At the simulated exchange, whose books and wire a test can look at."""

    gateway: Gateway = None  # type: ignore[assignment]
    wire: Wire = None  # type: ignore[assignment]
    market: str = ""

    @property
    def api(self) -> Any:
        """The account, at the exchange."""
        return self.gateway.api(key_of(self), venue=self.market)


def simulated(clock: SteppingClock, settings: Any, market: str) -> Iterator[Simulated]:
    """For as long as a test takes."""
    dial = Dial()
    gateway = Gateway(listings=LISTINGS, prices=dial, clock_ms=lambda: int(clock.now.timestamp() * 1000))
    with simulated_venue(gateway, settings) as wire:
        account = make_venue_account(make_user(), market=market)

        def move(price: str) -> None:
            clock.to(int(clock.now.timestamp() * 1000) + 1000)
            dial.turn(price)
            clock.to(int(clock.now.timestamp() * 1000) + 1000)

        is_spot = market == "binance"
        at = {"gateway": gateway, "wire": wire, "market": market, "symbol": symbol_at(market)}
        yield Simulated(exchange_for(account), move, is_spot, fees_in_base=is_spot, **at)


def key_of(venue: Simulated) -> str:
    """The API key it trades with."""
    return str(venue.exchange._caller._client.apiKey)  # type: ignore[attr-defined]
