"""One suite that every market's adapter passes, on payloads as the exchanges document them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.feed import parsing, registry
from monitoring.feed.contract import BadFrame
from monitoring.feed.frames import SHORTEST_DATA

START = 1_672_324_800_000
MINUTE = 60_000
NUMBERS = ("16649.5", "16677", "16608", "16650", "2.081", "34666.4")


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def binance_frame(**over: Any) -> bytes:
    o, h, low, c, v, q = NUMBERS
    kline = {"t": START, "T": START + MINUTE - 1, "s": "BTCUSDT", "i": "1m", "f": 1, "L": 9, "o": o, "c": c, "h": h, "l": low}
    kline |= {"v": v, "n": 100, "x": True, "q": q, "V": "1", "Q": "1", "B": "0"}
    data = {"e": "kline", "E": START + MINUTE + 136, "s": "BTCUSDT", "k": {**kline, **over}}
    return compact({"stream": "btcusdt@kline_1m", "data": data})


def binance_rows(count: int) -> Any:
    o, h, low, c, v, q = NUMBERS
    return [[START + n * MINUTE, o, h, low, c, v, START + n * MINUTE + 59_999, q, 308, "1", "1", "0"] for n in range(count)]


def bybit_frame(**over: Any) -> bytes:
    o, h, low, c, v, q = NUMBERS
    kline = {"start": START, "end": START + MINUTE - 1, "interval": "1", "open": o, "close": c, "high": h, "low": low}
    kline |= {"volume": v, "turnover": q, "confirm": True, "timestamp": START + MINUTE}
    return compact({"topic": "kline.1.BTCUSDT", "data": [{**kline, **over}], "ts": START + MINUTE, "type": "snapshot"})


def bybit_rows(count: int) -> Any:
    rows = [[str(START + n * MINUTE), *NUMBERS] for n in reversed(range(count))]
    return {"retCode": 0, "retMsg": "OK", "result": {"symbol": "BTCUSDT", "category": "linear", "list": rows}}


def okx_frame(**over: Any) -> bytes:
    o, h, low, c, v, q = NUMBERS
    row = {"ts": str(START), "o": o, "h": h, "l": low, "c": c, "vol": "208", "ccy": v, "quote": q, "confirm": "1"} | over
    return compact({"arg": {"channel": "candle1m", "instId": "BTC-USDT-SWAP"}, "data": [list(row.values())]})


def okx_rows(count: int) -> Any:
    o, h, low, c, v, q = NUMBERS
    rows = [[str(START + n * MINUTE), o, h, low, c, "208", v, q, "0" if n == count - 1 else "1"] for n in reversed(range(count))]
    return {"code": "0", "msg": "", "data": rows}


@dataclass(frozen=True)
class Documented:
    """What an exchange documents: a closing frame, what makes it a forming one, what else it sends, and REST answers."""

    market: str
    symbol: str
    frame: Callable[..., bytes]
    forming: dict[str, Any]
    fields: tuple[str, ...]
    others: tuple[bytes, ...]
    rows: Callable[[int], Any]
    instruments: Any
    time: Any
    leaving: bytes | None
    refusal: bytes


FILTERS = [
    {"filterType": "PRICE_FILTER", "tickSize": "0.10"},
    {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001"},
]
SPOT = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"}
BINANCE = {"forming": {"x": False}, "fields": ("t", "o", "h", "l", "c", "v", "n", "q", "x", "i", "s")}
SHUTDOWN = b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}'
BINANCE_SAYS = {
    "time": {"serverTime": START},
    "leaving": SHUTDOWN,
    "refusal": b'{"code":2,"msg":"Invalid request: unknown variant"}',
}
BYBIT_INSTRUMENT = {
    "symbol": "BTCUSDT",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "status": "Trading",
    "priceFilter": {"tickSize": "0.10"},
}
BYBIT = {
    "symbol": "BTCUSDT",
    "frame": bybit_frame,
    "forming": {"confirm": False},
    "fields": ("start", "open", "high", "low", "close", "volume", "turnover", "confirm"),
    "others": (
        b'{"success":true,"ret_msg":"","conn_id":"x","req_id":"1","op":"subscribe"}',
        b'{"success":true,"ret_msg":"pong","op":"ping"}',
    ),
    "rows": bybit_rows,
    "time": {"retCode": 0, "result": {"timeSecond": str(START // 1000), "timeNano": str(START * 10**6)}, "time": START},
    "leaving": None,
    "refusal": b'{"success":false,"ret_msg":"error:handler not found","conn_id":"x","req_id":"1","op":"subscribe"}',
}
MARKETS = [
    Documented(
        market="binance",
        symbol="BTCUSDT",
        frame=binance_frame,
        **BINANCE,
        **BINANCE_SAYS,
        others=(b'{"result":null,"id":1}', SHUTDOWN),
        rows=binance_rows,
        instruments={"symbols": [{**SPOT, "filters": [*FILTERS, {"filterType": "NOTIONAL", "minNotional": "5"}]}]},
    ),
    Documented(
        market="binance_futures",
        symbol="BTCUSDT",
        frame=binance_frame,
        **BINANCE,
        **BINANCE_SAYS,
        others=(b'{"result":null,"id":1}', b'{"code":2,"msg":"Invalid request: unknown variant"}'),
        rows=binance_rows,
        instruments={
            "symbols": [
                {**SPOT, "contractType": "PERPETUAL", "filters": [*FILTERS, {"filterType": "MIN_NOTIONAL", "notional": "5"}]},
                {**SPOT, "symbol": "BTCUSDT_260925", "contractType": "CURRENT_QUARTER", "filters": []},
            ]
        },
    ),
    Documented(
        market="bybit",
        **BYBIT,
        instruments={
            "retCode": 0,
            "result": {
                "list": [
                    {**BYBIT_INSTRUMENT, "lotSizeFilter": {"qtyStep": "0.001", "minOrderQty": "0.001", "minNotionalValue": "5"}},
                ]
            },
        },
    ),
    Documented(
        market="bybit_spot",
        **BYBIT,
        instruments={
            "retCode": 0,
            "result": {
                "list": [
                    {**BYBIT_INSTRUMENT, "lotSizeFilter": {"basePrecision": "0.001", "minOrderQty": "0.001", "minOrderAmt": "5"}},
                ]
            },
        },
    ),
    Documented(
        market="okx",
        symbol="BTC-USDT-SWAP",
        frame=okx_frame,
        forming={"confirm": "0"},
        fields=("ts", "o", "h", "l", "c", "ccy", "quote", "confirm"),
        others=(
            b"pong",
            b'{"event":"subscribe","arg":{"channel":"candle1m","instId":"BTC-USDT-SWAP"},"connId":"a"}',
            b'{"event":"error","code":"60018","msg":"wrong channel"}',
        ),
        rows=okx_rows,
        time={"code": "0", "msg": "", "data": [{"ts": str(START)}]},
        leaving=b'{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade.","connId":"a"}',
        refusal=b'{"event":"error","code":"60018","msg":"wrong channel"}',
        instruments={
            "code": "0",
            "data": [
                {
                    "instId": "BTC-USDT-SWAP",
                    "tickSz": "0.10",
                    "lotSz": "0.1",
                    "minSz": "0.1",
                    "ctVal": "0.01",
                    "state": "live",
                    "ctType": "linear",
                }
            ],
        },
    ),
]
JUNK = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.lists(st.integers(), max_size=2)


@pytest.fixture(params=MARKETS, ids=lambda documented: documented.market)
def documented(request: pytest.FixtureRequest) -> Documented:
    return request.param


@pytest.fixture
def adapter(documented: Documented):
    return registry.adapter(documented.market)


class TestAdapters:
    def test_every_registered_market_that_sends_candles_is_tested_here(self) -> None:
        assert {name for name, adapter in registry.ADAPTERS.items() if adapter.sends_candles} == {
            documented.market for documented in MARKETS
        }

    def test_a_closing_frame_is_a_candle(self, documented: Documented, adapter) -> None:
        assert any(mark in documented.frame() for mark in adapter.marks)
        [found] = adapter.closed_candles(documented.frame())
        assert (found.market, found.symbol, found.interval, found.open_time) == (documented.market, documented.symbol, "1m", START)
        values = (found.open, found.high, found.low, found.close, found.volume, found.quote_volume)
        assert values == tuple(Decimal(number) for number in NUMBERS)

    def test_a_forming_frame_is_told_without_parsing(self, documented: Documented, adapter) -> None:
        forming = documented.frame(**documented.forming)
        assert len(forming) >= SHORTEST_DATA
        assert not any(mark in forming for mark in adapter.marks)
        assert adapter.closed_candles(forming) == []

    def test_other_messages_are_no_candle(self, documented: Documented, adapter) -> None:
        for message in documented.others:
            assert adapter.closed_candles(message) == []

    def test_notices_are_marked_and_told(self, documented: Documented, adapter) -> None:
        for frame in filter(None, (documented.leaving, documented.refusal)):
            assert len(frame) < SHORTEST_DATA or any(mark in frame for mark in adapter.marks)
            assert adapter.closed_candles(frame) == []
            assert adapter.notice(frame).leaving == (frame == documented.leaving)
        assert all(
            adapter.notice(message) is None for message in documented.others if message not in (SHUTDOWN, documented.refusal, b"pong")
        )

    def test_the_time_is_read(self, documented: Documented, adapter) -> None:
        assert adapter.time_call().path.startswith("/")
        assert adapter.time_ms(documented.time) == START
        for body in (None, {}, [], {"code": "0", "data": []}):
            with pytest.raises(BadFrame):
                adapter.time_ms(body)

    @pytest.mark.parametrize("value", ["NaN", "-1", "0", 1.5, "1e400", None, "9" * 50, "", [], {}])
    @pytest.mark.parametrize("place", [1, 2, 3, 4])
    def test_a_wrong_price_is_refused(self, documented: Documented, adapter, value: Any, place: int) -> None:
        with pytest.raises(BadFrame):
            adapter.closed_candles(documented.frame(**{documented.fields[place]: value}))

    @pytest.mark.parametrize("value", [START + 1, str(START + 1), True, None, -MINUTE, "x"])
    def test_a_wrong_open_time_is_refused(self, documented: Documented, adapter, value: Any) -> None:
        with pytest.raises(BadFrame):
            adapter.closed_candles(documented.frame(**{documented.fields[0]: value}))

    def test_the_newest_row_is_the_candle_that_is_still_forming(self, documented: Documented, adapter) -> None:
        row = adapter.newest_row(documented.rows(3))
        found = parsing.forming(row, symbol=documented.symbol, interval="1m")
        assert (found.open_time, found.open, found.close) == (START + 2 * MINUTE, Decimal(NUMBERS[0]), Decimal(NUMBERS[3]))
        assert adapter.newest_row(documented.rows(0)) is None
        for junk in ([], [START], [START, "1", "2", "NaN", "4"], [START, "1", "2", "3", 4], ["x", "1", "2", "3", "4"]):
            with pytest.raises(BadFrame):
                parsing.forming(junk or [START], symbol=documented.symbol, interval="1m")

    def test_rows_are_oldest_first_and_leave_the_unclosed_candle_out(self, documented: Documented, adapter) -> None:
        now = START + 2 * MINUTE + 30_000
        found = adapter.candles(documented.rows(3), symbol=documented.symbol, interval="1m", now_ms=now)
        assert [c.open_time for c in found] == [START, START + MINUTE]

    def test_the_newest_row_of_a_server_that_lags_is_not_believed(self, documented: Documented, adapter) -> None:
        rows = documented.rows(3)  # the third was still open when they were written; since then it has closed
        just_closed = START + 3 * MINUTE + 5_000
        found = adapter.candles(rows, symbol=documented.symbol, interval="1m", now_ms=just_closed)
        assert [c.open_time for c in found] == [START, START + MINUTE]

    @pytest.mark.parametrize("body", [None, {}, [{}], [[1, 2]], [["x"] * 12], {"retCode": 0, "result": {"list": [[1]]}}, {"code": "0"}])
    def test_wrong_rows_are_refused(self, adapter, body: Any) -> None:
        with pytest.raises(BadFrame):
            adapter.candles(body, symbol="BTCUSDT", interval="1m", now_ms=0)

    def test_subscriptions_name_every_stream(self, documented: Documented, adapter) -> None:
        streams = [(documented.symbol, "1m"), (documented.symbol, "1d")]
        for message in (adapter.subscribe(streams, request_id=1), adapter.unsubscribe(streams, request_id=2)):
            text = json.dumps(json.loads(message)).lower()
            assert text.count(documented.symbol.lower()) == 2

    def test_a_call_asks_for_a_page_from_its_start(self, documented: Documented, adapter) -> None:
        call = adapter.candles_call(symbol=documented.symbol, interval="1m", start=START, limit=10)
        assert call.path.startswith("/")
        assert documented.symbol in call.query.values()
        assert {START, START - 1} & set(call.query.values())

    def test_symbols_come_with_their_filters(self, documented: Documented, adapter) -> None:
        [found] = adapter.instruments(documented.instruments)
        assert (found.symbol, found.base, found.quote, found.is_trading) == (documented.symbol, "BTC", "USDT", True)
        assert (found.tick_size, found.step_size, found.min_quantity) == (Decimal("0.1"), Decimal("0.001"), Decimal("0.001"))

    @pytest.mark.parametrize("body", [None, {}, [], {"symbols": [{}]}, {"retCode": 0, "result": {"list": [{}]}}])
    def test_wrong_symbols_are_refused(self, adapter, body: Any) -> None:
        with pytest.raises(BadFrame):
            adapter.instruments(body)


@pytest.mark.parametrize("documented", MARKETS, ids=lambda documented: documented.market)
@given(raw=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@settings(max_examples=100)
def test_any_bytes_are_no_candle_or_refused(documented: Documented, raw: bytes) -> None:
    try:
        assert registry.adapter(documented.market).closed_candles(raw) == []
    except BadFrame as error:
        assert str(error)


@pytest.mark.parametrize("documented", MARKETS, ids=lambda documented: documented.market)
@given(data=st.data())
@settings(max_examples=150)
def test_any_field_may_be_wrong(documented: Documented, data: st.DataObject) -> None:
    over = data.draw(st.dictionaries(st.sampled_from(documented.fields), JUNK))
    try:
        found = registry.adapter(documented.market).closed_candles(documented.frame(**over))
    except BadFrame:
        return
    for candle in found:
        assert min(candle.open, candle.high, candle.low, candle.close) > 0
