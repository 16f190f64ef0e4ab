"""Intervals, indicators, conditions: the numbers that everything else is decided on."""

from __future__ import annotations

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st

from monitoring import conditions, indicators, intervals
from monitoring.indicators import Reading, Window


def window(length: int = 300, seed: int = 1) -> Window:
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.002, length)))
    opened = np.concatenate(([100.0], close[:-1]))
    high, low = np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999
    times = np.arange(length, dtype=np.int64) * 300_000
    return Window(times, opened, high, low, close, random.uniform(1, 9, length))


class TestIntervals:
    @given(st.sampled_from(list(intervals.LENGTH_MS)), st.integers(0, 4_000_000_000_000))
    def test_a_moment_lies_in_the_candle_that_is_forming(self, interval: str, at_ms: int) -> None:
        opened = intervals.open_time_at(at_ms=at_ms, interval=interval)
        assert opened <= at_ms < intervals.close_time(open_time=opened, interval=interval)
        assert intervals.close_time(open_time=intervals.newest_closed(at_ms=at_ms, interval=interval), interval=interval) == opened

    def test_an_unknown_interval_is_named(self) -> None:
        with pytest.raises(intervals.UnknownInterval, match="7m"):
            intervals.length_ms("7m")


class TestIndicators:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("rsi_14", lambda w: talib.RSI(w.close, 14)),
            ("ema_200", lambda w: talib.EMA(w.close, 200)),
            ("sma_50", lambda w: talib.SMA(w.close, 50)),
            ("macd", lambda w: talib.MACD(w.close)[0]),
            ("macd_signal", lambda w: talib.MACD(w.close)[1]),
            ("macd_hist", lambda w: talib.MACD(w.close)[2]),
            ("bb_upper_20", lambda w: talib.BBANDS(w.close, 20, 2, 2)[0]),
            ("bb_lower_20", lambda w: talib.BBANDS(w.close, 20, 2, 2)[2]),
            ("atr_14", lambda w: talib.ATR(w.high, w.low, w.close, 14)),
            ("adx_14", lambda w: talib.ADX(w.high, w.low, w.close, 14)),
            ("obv", lambda w: talib.OBV(w.close, w.volume)),
            ("highest_20", lambda w: talib.MAX(w.high, 20)),
            ("lowest_20", lambda w: talib.MIN(w.low, 20)),
            ("volume_ratio_20", lambda w: w.volume / talib.SMA(w.volume, 20)),
            ("change_pct_5", lambda w: talib.ROC(w.close, 5)),
            ("stoch_k", lambda w: talib.STOCH(w.high, w.low, w.close, 14, 3, 0, 3, 0)[0]),
        ],
    )
    def test_equal_talib_on_the_same_window(self, name: str, expected) -> None:
        w = window()
        reading = indicators.compute(window=w, names=[name])[name]
        assert reading.current == pytest.approx(float(expected(w)[-1]), rel=1e-12)
        assert reading.previous == pytest.approx(float(expected(w)[-2]), rel=1e-12)

    def test_every_family_gives_a_number_on_a_full_window(self) -> None:
        readings = indicators.compute(window=window(), names=indicators.FAMILIES)
        assert [name for name, reading in readings.items() if reading.current is None] == []

    def test_a_short_window_gives_no_number_instead_of_an_error(self) -> None:
        readings = indicators.compute(window=window(3), names=indicators.FAMILIES)
        assert readings["rsi"].current is None
        assert readings["close"].current is not None

    @pytest.mark.parametrize("name", ["", "rsi_", "rsi_0", "rsi_999", "close_3", "os.system", "RSI_14", "macd_14", None, 5])
    def test_an_unknown_name_is_refused(self, name) -> None:
        with pytest.raises((indicators.UnknownIndicator, TypeError)):
            indicators.parse(name)

    def test_the_extreme_before_leaves_the_candle_itself_out(self) -> None:
        w = window()
        readings = indicators.compute(window=w, names=["highest_20", "prev_highest_20"])
        assert readings["prev_highest_20"].current == readings["highest_20"].previous


class TestConditions:
    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ("rsi", "condition 1: an object"),
            ({"field": "rsi_14", "operator": "lt"}, "value is missing"),
            ({"field": "rsi_14", "operator": "lt", "value": 3, "extra": 1}, "unknown key 'extra'"),
            ({"field": "magic", "operator": "lt", "value": 3}, "condition 1, field"),
            ({"field": "rsi_14", "operator": "<", "value": 3}, "condition 1, operator"),
            ({"field": "rsi_14", "operator": "lt", "value": "magic"}, "condition 1, value"),
            ({"field": "rsi_14", "operator": "lt", "value": True}, "a number"),
            ({"field": "rsi_14", "operator": "lt", "value": float("nan")}, "a number"),
            ({"field": "rsi_14", "operator": "between", "value": 3}, "pair"),
            ({"field": "rsi_14", "operator": "between", "value": [9, 3]}, "above the high end"),
        ],
    )
    def test_a_wrong_one_is_named(self, entry, message: str) -> None:
        with pytest.raises(conditions.ConditionError, match=message):
            conditions.parse([entry])

    @pytest.mark.parametrize(
        ("operator", "value", "left", "right", "held"),
        [
            ("gt", 5.0, (4, 6), None, True),
            ("gte", 6.0, (4, 6), None, True),
            ("lt", 6.0, (4, 6), None, False),
            ("lte", 6.0, (4, 6), None, True),
            ("eq", 6.0, (4, 6), None, True),
            ("neq", 6.0, (4, 6), None, False),
            ("between", [5, 7], (4, 6), None, True),
            ("between", [7, 8], (4, 6), None, False),
            ("crosses_above", 5.0, (4, 6), None, True),
            ("crosses_above", 5.0, (5.5, 6), None, False),
            ("crosses_below", 5.0, (6, 4), None, True),
            ("crosses_below", 5.0, (5, 4), None, True),
            ("crosses_above", "ema_20", (4, 6), (5, 5), True),
            ("crosses_above", "ema_20", (4, 6), (3, 5), False),
        ],
    )
    def test_operators(self, operator: str, value, left, right, held: bool) -> None:
        parsed = conditions.parse([{"field": "close", "operator": operator, "value": value}])
        readings = {"close": Reading(current=left[1], previous=left[0])}
        if right:
            readings["ema_20"] = Reading(current=right[1], previous=right[0])
        assert conditions.hold(parsed, readings=readings) is held

    def test_an_unknown_number_is_neither_true_nor_false(self) -> None:
        parsed = conditions.parse([{"field": "rsi_14", "operator": "lt", "value": 30}])
        assert conditions.hold(parsed, readings={"rsi_14": Reading(None, None)}) is None
        both = conditions.parse([{"field": "rsi_14", "operator": "lt", "value": 30}, {"field": "close", "operator": "lt", "value": 1}])
        assert conditions.hold(both, readings={"rsi_14": Reading(None, None), "close": Reading(2, 2)}) is False

    def test_an_empty_list_never_holds(self) -> None:
        assert conditions.hold((), readings={}) is False

    @given(
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=8
        )
    )
    def test_any_json_is_parsed_or_refused(self, raw) -> None:
        try:
            conditions.parse(raw)
        except conditions.ConditionError as error:
            assert str(error)
