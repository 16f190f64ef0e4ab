"""The simulated exchange's prices: a function of seed, symbol and time alone."""

from __future__ import annotations

import numpy as np
import pytest

from monitoring.simulator import wire
from monitoring.simulator.market import LISTINGS, Market
from monitoring.simulator.rest import RestApi
from monitoring.simulator.streams import Client

START = 1_790_000_400_000 - 1_790_000_400_000 % 3_600_000
MINUTE = 60_000


class TestMarket:
    def test_lists_at_least_twenty_symbols(self) -> None:
        assert len(LISTINGS) >= 20

    def test_a_restart_revises_nothing(self) -> None:
        one = Market(seed=3).candles(symbol="ETHUSDT", start=START, length_ms=MINUTE, count=200)
        two = Market(seed=3).candles(symbol="ETHUSDT", start=START + 150 * MINUTE, length_ms=MINUTE, count=50)
        for name in ("open", "high", "low", "close", "volume", "trades"):
            assert np.array_equal(getattr(one, name)[150:], getattr(two, name)), name
        assert one.quote[150:] == two.quote

    def test_seed_and_symbol_matter(self) -> None:
        base = Market(seed=3).candles(symbol="ETHUSDT", start=START, length_ms=MINUTE, count=50).close
        assert not np.array_equal(base, Market(seed=4).candles(symbol="ETHUSDT", start=START, length_ms=MINUTE, count=50).close)

    @pytest.mark.parametrize("symbol", LISTINGS)
    def test_candles_are_sane_and_join(self, symbol: str) -> None:
        c = Market(seed=7).candles(symbol=symbol, start=START, length_ms=MINUTE, count=300)
        assert (c.low >= 1).all()
        assert (c.low <= np.minimum(c.open, c.close)).all()
        assert (c.high >= np.maximum(c.open, c.close)).all()
        assert (c.volume > 0).all()
        assert np.array_equal(c.close[:-1], c.open[1:])
        assert len(set(c.close.tolist())) > 20, "the price has to move"

    def test_a_longer_candle_agrees_with_its_minutes(self) -> None:
        minutes = Market(seed=7).candles(symbol="SOLUSDT", start=START, length_ms=MINUTE, count=60)
        hour = Market(seed=7).candles(symbol="SOLUSDT", start=START, length_ms=60 * MINUTE, count=1)
        assert hour.open[0] == minutes.open[0]
        assert hour.close[0] == minutes.close[-1]
        assert hour.high[0] == minutes.high.max()
        assert hour.low[0] == minutes.low.min()
        assert hour.volume[0] == minutes.volume.sum()
        assert hour.quote[0] == sum(minutes.quote)

    def test_a_forming_candle_knows_nothing_of_later(self) -> None:
        market = Market(seed=7)
        forming = market.candles(symbol="SOLUSDT", start=START, length_ms=MINUTE, count=1, until=START + 20_000)
        whole = market.candles(symbol="SOLUSDT", start=START, length_ms=MINUTE, count=1)
        assert forming.open[0] == whole.open[0]
        assert forming.high[0] <= whole.high[0]
        assert forming.volume[0] < whole.volume[0]
        untouched = market.candles(symbol="SOLUSDT", start=START, length_ms=MINUTE, count=1, until=START)
        assert untouched.high[0] == untouched.low[0] == untouched.open[0]
        assert untouched.volume[0] == 0


class TestRest:
    def api(self, now: int = START + 90_000) -> RestApi:
        return RestApi(market=Market(seed=7), clock_ms=lambda: now)

    def test_the_newest_row_is_the_unclosed_one(self) -> None:
        status, headers, rows = self.api().get("/api/v3/klines", {"symbol": "BTCUSDT", "interval": "1m", "limit": "3"})
        assert status == 200
        assert [row[0] for row in rows] == [START - MINUTE, START, START + MINUTE]
        assert rows[-1][6] > START + 90_000
        assert int(headers["X-MBX-USED-WEIGHT-1M"]) == 2

    def test_times_bound_the_rows(self) -> None:
        query = {"symbol": "BTCUSDT", "interval": "1m", "startTime": str(START - 9 * MINUTE + 1), "endTime": str(START - 5 * MINUTE)}
        rows = self.api().get("/api/v3/klines", query)[2]
        assert [row[0] for row in rows] == [START - n * MINUTE for n in (8, 7, 6, 5)]
        assert self.api().get("/api/v3/klines", {**query, "startTime": str(START + 10 * MINUTE)})[2] == []

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ({"symbol": "NOPE", "interval": "1m"}, -1121),
            ({"symbol": "BTCUSDT", "interval": "7m"}, -1120),
            ({"symbol": "BTCUSDT", "interval": "1m", "limit": "x"}, -1100),
        ],
    )
    def test_errors_are_in_the_exchanges_form(self, query: dict[str, str], code: int) -> None:
        status, _, body = self.api().get("/api/v3/klines", query)
        assert (status, body["code"]) == (400, code)

    def test_the_weight_limit_answers_429_with_retry_after(self) -> None:
        api = self.api()
        answers = [api.get("/api/v3/exchangeInfo", {"symbol": "BTCUSDT"}) for _ in range(301)]
        assert answers[299][0] == 200
        assert answers[300][0] == 429
        assert int(answers[300][1]["Retry-After"]) > 0


class TestClient:
    def test_control_messages_are_answered_as_documented(self) -> None:
        client = Client(combined=False, streams=[], symbols=LISTINGS)
        assert client.control('{"method":"SUBSCRIBE","params":["btcusdt@kline_1m"],"id":1}') == {"result": None, "id": 1}
        assert client.control('{"method":"LIST_SUBSCRIPTIONS","id":3}') == {"result": ["btcusdt@kline_1m"], "id": 3}
        assert client.control('{"method":"UNSUBSCRIBE","params":["btcusdt@kline_1m"],"id":4}') == {"result": None, "id": 4}
        assert client.control('{"method":"GET_PROPERTY","params":["combined"],"id":5}') == {"result": False, "id": 5}
        assert client.control("nonsense")["code"] == 3
        assert client.control('{"method":"DANCE","id":6}')["code"] == 2

    def test_frames_say_whether_they_close(self) -> None:
        c = Market(seed=7).candles(symbol="BTCUSDT", start=START, length_ms=MINUTE, count=1)
        frame = wire.kline_frame(candles=c, interval="1m", event_ms=START + MINUTE + 40, closed=True)
        assert frame["k"]["x"] is True
        assert frame["E"] > frame["k"]["T"] == START + MINUTE - 1
        assert isinstance(frame["k"]["o"], str)
