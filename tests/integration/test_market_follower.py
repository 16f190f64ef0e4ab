"""One market followed over real sockets: dead feeds found and named, and a wrong clock that changes nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import pytest

from monitoring.candles import CandleKey
from monitoring.gaps import Reason
from monitoring.market_follower import MarketFollower, Ready
from tests.support.clocks import START_MS, SteppingClock
from tests.support.exchange import RunningExchange, running_exchange
from tests.support.exchange_socket import MINUTE, Peer, exchange_socket
from tests.support.processes import wait_until

STREAM = ("BTCUSDT", "1m")
OPENED = START_MS  # the first candle that is owed; the one before is known


@pytest.fixture
def exchange(clock: SteppingClock) -> Iterator[RunningExchange]:
    clock.to(OPENED + 10_000)
    with running_exchange(clock) as running:
        yield running


class Followed:
    """A follower of one stream, driven as the listener does."""

    def __init__(self) -> None:
        self.follower = MarketFollower(market="binance")
        self.follower.start(wake=threading.Event())
        self.follower.want({STREAM: OPENED}, known={STREAM: OPENED - MINUTE})
        self.all = Ready()

    def look(self) -> Ready:
        """Everything so far."""
        ready = self.follower.collect()
        for name in ("streamed", "fetched", "absent", "silences"):
            getattr(self.all, name).extend(getattr(ready, name))
        self.all.reasons.update(ready.reasons)
        self.follower.maintain()
        return self.all

    def until(self, condition: Callable[[Ready], object], what: str) -> Ready:
        wait_until(lambda: condition(self.look()), seconds=15, what=what)
        return self.all

    def state(self, name: str) -> object:
        self.look()
        return self.follower.state()[name]


@pytest.fixture
def follow() -> Iterator[Callable[[], Followed]]:
    begun: list[Followed] = []

    def begin() -> Followed:
        begun.append(Followed())
        return begun[-1]

    yield begin
    for followed in begun:
        followed.follower.close()


def test_closes_come_by_the_stream(exchange: RunningExchange, follow, settings) -> None:
    settings.MARKETS = exchange.addresses
    followed = follow()
    wait_until(lambda: followed.state("frames"), seconds=10, what="a forming frame")
    exchange.clock.to(OPENED + MINUTE + 50)
    seen = followed.until(lambda ready: ready.streamed, "the close")
    assert [(c.symbol, c.open_time) for c in seen.streamed] == [("BTCUSDT", OPENED)]
    assert seen.fetched == []


def test_a_feed_that_acknowledges_and_then_is_silent_is_found_within_two_intervals(exchange: RunningExchange, follow, settings) -> None:
    clock = exchange.clock
    connected: list[int] = []

    def behave(peer: Peer) -> None:
        peer.shake_hands()
        peer.subscribed()
        peer.send(json.dumps({"result": None, "id": 1}).encode())
        connected.append(peer.number)
        peer.stay()

    with exchange_socket(behave) as url:
        settings.MARKETS = {"binance": {"ws": url, "rest": exchange.url}}
        followed = follow()
        wait_until(lambda: connected and followed.follower._connections.state_of(STREAM).live_since_ms, seconds=10, what="the connection")
        clock.to(OPENED + MINUTE + 6_000)
        seen = followed.until(lambda ready: ready.silences, "the silence to be found")
        assert clock.ms < OPENED + 2 * MINUTE
        assert seen.reasons[CandleKey("binance", *STREAM, OPENED)] is Reason.SILENT_FEED
        [silence] = seen.silences
        assert silence.streams == 1
        assert silence.seconds == pytest.approx(56, abs=1)
        wait_until(lambda: len(connected) == 2, seconds=10, what="another connection")


@pytest.mark.parametrize("skew_minutes", [-30, 30])
def test_a_wrong_clock_changes_nothing_and_is_told(exchange: RunningExchange, follow, settings, monkeypatch, skew_minutes: int) -> None:
    from monitoring import clock as app_clock

    settings.MARKETS = exchange.addresses
    skew = skew_minutes * MINUTE
    with app_clock.override(lambda: exchange.clock.ms + skew):
        followed = follow()
        wait_until(lambda: followed.state("offset_ms") is not None, seconds=10, what="the clocks to be compared")
        wait_until(lambda: followed.state("frames"), seconds=10, what="a forming frame")
        exchange.clock.to(OPENED + MINUTE + 50)
        seen = followed.until(lambda ready: ready.streamed, "the close")
        exchange.clock.to(OPENED + MINUTE + 20_000)
        for _ in range(20):
            followed.look()
        assert [c.open_time for c in seen.streamed] == [OPENED]
        assert seen.fetched == [], "neither a candle that is not closed, nor one that is not overdue"
        assert followed.follower.offset_s() == pytest.approx(-skew_minutes * 60, abs=1)


def test_candles_of_a_venue_that_sends_none_are_closed_by_the_clock(clock: SteppingClock, settings) -> None:
    token = "71321045679252212594626385532706912750332728571942532289631379312455583992563"

    def behave(peer: Peer) -> None:
        peer.shake_hands()
        request = json.loads(peer.receive().payload)
        assert request == {"assets_ids": [token], "type": "market", "custom_feature_enabled": True}
        book = {"event_type": "book", "asset_id": token, "market": "0x", "timestamp": str(OPENED - 5_000), "hash": "0x"}
        book |= {"bids": [{"price": ".39", "size": "5"}], "asks": [{"price": ".41", "size": "5"}]}
        trade = {"event_type": "last_trade_price", "asset_id": token, "market": "0x", "price": "0.41", "size": "20", "side": "BUY"}
        peer.send(json.dumps([book]).encode())
        peer.send(json.dumps({**trade, "timestamp": str(OPENED + 30_000)}).encode())
        peer.stay()

    with exchange_socket(behave) as url:
        settings.MARKETS = {"polymarket": {"ws": url, "rest": "http://127.0.0.1:1", "catalog": "http://127.0.0.1:1"}}
        clock.to(OPENED + 40_000)
        stream = (token, "1m")
        follower = MarketFollower(market="polymarket")
        follower.start(wake=threading.Event())
        try:
            follower.want({stream: OPENED}, known={stream: OPENED - MINUTE})
            wait_until(lambda: follower.state()["frames"] == 2, seconds=10, what="the book and the trade")
            assert follower.collect().streamed == []
            clock.to(OPENED + MINUTE + 2_500)
            [candle] = follower.collect().streamed
        finally:
            follower.close()
    assert (candle.symbol, candle.open_time, candle.trades) == (token, OPENED, 1)
    assert (str(candle.open), str(candle.close), str(candle.volume)) == ("0.40", "0.40", "20")
