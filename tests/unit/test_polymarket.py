"""Polymarket: events as documented, candles built from them, prices over REST."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.feed import registry
from monitoring.feed.building import CandleBuilder
from monitoring.feed.contract import BadFrame, ClosedCandle, Quote, Trade

TOKEN = "65818619657568813474341868652308942079804919287380422192892211131408793125422"
START = 1_757_908_860_000
MINUTE = 60_000
STREAM = (TOKEN, "1m")
ADAPTER = registry.adapter("polymarket")
BOOK = {
    "event_type": "book",
    "asset_id": TOKEN,
    "market": "0xbd31",
    "bids": [{"price": ".01", "size": "1000"}, {"price": ".48", "size": "30"}],
    "asks": [{"price": ".99", "size": "1000"}, {"price": ".52", "size": "25"}],
    "timestamp": "1757908892351",
    "hash": "0x",
    "tick_size": "0.01",
    "last_trade_price": "0.140",
}
CHANGE = {
    "event_type": "price_change",
    "market": "0x5f65",
    "timestamp": "1757908892351",
    "price_changes": [
        {"asset_id": TOKEN, "price": "0.5", "size": "200", "side": "BUY", "hash": "5662", "best_bid": "0.5", "best_ask": "1"},
        {"asset_id": "2", "price": "0.5", "size": "0", "side": "SELL", "hash": "1895", "best_bid": "0", "best_ask": "0.5"},
    ],
}
TRADE = {
    "event_type": "last_trade_price",
    "asset_id": TOKEN,
    "market": "0x6a67",
    "price": "0.456",
    "size": "219.217767",
    "side": "BUY",
    "fee_rate_bps": "0",
    "timestamp": "1750428146322",
    "transaction_hash": "0x",
}
BEST = {
    "event_type": "best_bid_ask",
    "market": "0x",
    "asset_id": TOKEN,
    "best_bid": "0.73",
    "best_ask": "",
    "spread": "",
    "timestamp": "1766789469958",
}
OTHERS = (
    {
        "event_type": "tick_size_change",
        "asset_id": TOKEN,
        "market": "0x",
        "old_tick_size": "0.01",
        "new_tick_size": "0.001",
        "timestamp": "1",
    },
    {"event_type": "market_resolved", "id": "1031769", "market": "0x", "assets_ids": [TOKEN], "winning_outcome": "Yes", "timestamp": "1"},
)


def raw(value: Any) -> bytes:
    return json.dumps(value).encode()


class TestEvents:
    def test_a_book_gives_its_best_prices_which_are_last(self) -> None:
        assert ADAPTER.ticks(raw([BOOK])) == [Quote(TOKEN, 1757908892351, Decimal(".48"), Decimal(".52"))]

    def test_a_change_tells_the_best_prices_of_each_token(self) -> None:
        [first, second] = ADAPTER.ticks(raw(CHANGE))
        assert first == Quote(TOKEN, 1757908892351, Decimal("0.5"), Decimal(1))
        assert (second.symbol, second.bid, second.ask) == ("2", Decimal(0), Decimal("0.5"))

    def test_a_trade_has_price_and_size(self) -> None:
        assert ADAPTER.ticks(raw(TRADE)) == [Trade(TOKEN, 1750428146322, Decimal("0.456"), Decimal("219.217767"))]

    def test_an_empty_side_is_none(self) -> None:
        assert ADAPTER.ticks(raw(BEST)) == [Quote(TOKEN, 1766789469958, Decimal("0.73"), None)]

    @pytest.mark.parametrize("frame", [b"PONG", b"[]", *map(raw, OTHERS)])
    def test_other_messages_tell_nothing(self, frame: bytes) -> None:
        assert ADAPTER.ticks(frame) == []

    @pytest.mark.parametrize(
        "event",
        [
            {},
            3,
            {**TRADE, "price": "NaN"},
            {**TRADE, "size": "-1"},
            {**TRADE, "price": 0.4},
            {**TRADE, "timestamp": 1},
            {**BOOK, "bids": {}},
            {**BOOK, "bids": [[]]},
            {**CHANGE, "price_changes": [3]},
            {**BEST, "best_bid": "1e99"},
        ],
    )
    def test_what_is_not_as_documented_is_refused(self, event: Any) -> None:
        with pytest.raises(BadFrame):
            ADAPTER.ticks(raw([event]))

    @given(
        st.binary(max_size=100)
        | st.recursive(st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)).map(raw)
    )
    def test_any_bytes_are_read_or_refused(self, frame: bytes) -> None:
        try:
            assert ADAPTER.ticks(frame) == []
        except BadFrame as error:
            assert str(error)

    def test_a_token_is_subscribed_to_once_whatever_its_intervals(self) -> None:
        channels = ADAPTER.channels([(TOKEN, "1m"), (TOKEN, "1h"), ("2", "1m")])
        assert channels == {(TOKEN, ""), ("2", "")}
        first = json.loads(ADAPTER.subscribe(sorted(channels), request_id=1))
        assert first == {"assets_ids": ["2", TOKEN], "type": "market", "custom_feature_enabled": True}
        later = json.loads(ADAPTER.subscribe([("3", "")], request_id=2))
        assert later == {"assets_ids": ["3"], "operation": "subscribe", "custom_feature_enabled": True}
        assert json.loads(ADAPTER.unsubscribe([("3", "")], request_id=3))["operation"] == "unsubscribe"


class TestRest:
    def test_points_become_candles_and_the_last_one_waits_for_its_successor(self) -> None:
        history = [{"t": START // 1000 + 30 * n, "p": 0.5 + n / 100} for n in range(5)]
        found = ADAPTER.candles({"history": history}, symbol=TOKEN, interval="1m", now_ms=START + 3 * MINUTE)
        assert [(c.open_time, c.open, c.close) for c in found] == [
            (START, Decimal("0.5"), Decimal("0.51")),
            (START + MINUTE, Decimal("0.52"), Decimal("0.53")),
        ]

    def test_a_call_asks_in_seconds(self) -> None:
        call = ADAPTER.candles_call(symbol=TOKEN, interval="1h", start=START, limit=3)
        assert call.query == {"market": TOKEN, "startTs": START // 1000, "endTs": START // 1000 + 3 * 3600, "fidelity": 5}

    @pytest.mark.parametrize("as_text", [True, False])
    def test_instruments_are_the_tokens_of_each_market(self, as_text: bool) -> None:
        lists = {"clobTokenIds": [TOKEN, "2"], "outcomes": ["Yes", "No"]}
        market = {name: json.dumps(value) if as_text else value for name, value in lists.items()}
        market |= {"active": True, "closed": False, "acceptingOrders": True, "orderPriceMinTickSize": 0.001, "orderMinSize": 5}
        [yes, no] = ADAPTER.instruments([market])
        assert (yes.symbol, yes.base, yes.quote, yes.tick_size, yes.is_trading) == (TOKEN, "Yes", "USDC", Decimal("0.001"), True)
        assert no.base == "No"
        assert ADAPTER.instruments_call().api == "catalog"

    @pytest.mark.parametrize("body", [None, {}, [{}], [3], [{"clobTokenIds": "[", "outcomes": "[]", "active": 1, "closed": 0}]])
    def test_wrong_instruments_are_refused(self, body: Any) -> None:
        with pytest.raises(BadFrame):
            ADAPTER.instruments(body)

    @pytest.mark.parametrize("body", [None, {}, {"history": 3}, {"history": [{"t": "1", "p": 0.5}]}, {"history": [{"t": 60, "p": "x"}]}])
    def test_wrong_points_are_refused(self, body: Any) -> None:
        with pytest.raises(BadFrame):
            ADAPTER.candles(body, symbol=TOKEN, interval="1m", now_ms=START)


def quote(second: float, middle: str) -> Quote:
    price = Decimal(middle)
    return Quote(TOKEN, START + int(second * 1000), price - Decimal("0.01"), price + Decimal("0.01"))


def trade(second: float, price: str, size: str = "10") -> Trade:
    return Trade(TOKEN, START + int(second * 1000), Decimal(price), Decimal(size))


def built(*ticks: Quote | Trade, until: float) -> list[ClosedCandle]:
    builder = CandleBuilder(market="polymarket")
    builder.want([STREAM])
    for tick in ticks:
        builder.take(tick)
    return builder.due(now_ms=START + int(until * 1000), grace_ms=2000)


class TestBuilder:
    def test_a_candle_has_the_prices_and_trades_of_its_interval(self) -> None:
        ticks = (quote(5, "0.50"), quote(70, "0.55"), trade(80, "0.54", "3"), quote(90, "0.45"), trade(100, "0.46", "7"))
        [candle] = built(*ticks, until=122)
        assert candle.open_time == START + MINUTE, "the first whole interval"
        assert (candle.open, candle.high, candle.low, candle.close) == tuple(map(Decimal, ("0.50", "0.55", "0.45", "0.45")))
        assert (candle.volume, candle.quote_volume, candle.trades) == (Decimal(10), Decimal("4.84"), 2)

    def test_nothing_is_closed_before_its_end_and_the_grace(self) -> None:
        assert built(quote(5, "0.5"), until=121.999) == []
        assert len(built(quote(5, "0.5"), until=122)) == 1

    def test_what_was_on_its_way_gets_in_and_what_is_later_belongs_to_the_next(self) -> None:
        builder = CandleBuilder(market="polymarket")
        builder.want([STREAM])
        for tick in (quote(5, "0.5"), quote(121, "0.7"), quote(119, "0.6")):
            builder.take(tick)
        [first] = builder.due(now_ms=START + 122_000, grace_ms=2000)
        builder.take(quote(118, "0.1"))  # too late: it is closed
        [second] = builder.due(now_ms=START + 182_000, grace_ms=2000)
        assert (first.close, second.open, second.high) == (Decimal("0.6"), Decimal("0.1"), Decimal("0.7"))

    def test_a_quiet_interval_stands_still(self) -> None:
        candles = built(quote(5, "0.5"), until=302)
        assert [c.open_time for c in candles] == [START + n * MINUTE for n in (1, 2, 3, 4)]
        assert {(c.open, c.close, c.volume) for c in candles} == {(Decimal("0.5"), Decimal("0.5"), Decimal(0))}

    def test_far_apart_sides_say_nothing_and_the_last_trade_does(self) -> None:
        apart = Quote(TOKEN, START + 5000, Decimal("0.1"), Decimal("0.9"))
        assert built(apart, until=200) == []
        assert built(apart, trade(6, "0.3"), until=130)[0].close == Decimal("0.3")

    def test_after_a_loss_only_whole_intervals_that_were_seen_are_built(self) -> None:
        builder = CandleBuilder(market="polymarket")
        builder.want([STREAM])
        builder.take(quote(5, "0.5"))
        builder.forget()
        builder.take(quote(70, "0.6"))
        assert [c.open_time for c in builder.due(now_ms=START + 182_000, grace_ms=2000)] == [START + 2 * MINUTE]

    @given(st.lists(st.tuples(st.integers(0, 600), st.integers(2, 98), st.booleans()), max_size=60), st.data())
    def test_however_it_is_looked_at_the_candles_are_the_same(self, moves: list[tuple[int, int, bool]], data: st.DataObject) -> None:
        moves.sort(key=lambda move: move[0])
        ticks = [trade(at, f"0.{price:02}") if traded else quote(at, f"0.{price:02}") for at, price, traded in moves]
        at_once = built(*ticks, until=700)
        builder, stepwise = CandleBuilder(market="polymarket"), []
        builder.want([STREAM])
        for tick in ticks:
            if data.draw(st.booleans()):
                stepwise += builder.due(now_ms=tick.at_ms, grace_ms=2000)
            builder.take(tick)
        stepwise += builder.due(now_ms=START + 700_000, grace_ms=2000)
        assert stepwise == at_once
        assert all(a.open_time + MINUTE == b.open_time and a.close == b.open for a, b in itertools.pairwise(at_once))
        assert sum(c.volume for c in at_once) <= 10 * sum(traded for *_, traded in moves)
