"""Numbers in an answer that are not in the data: caught, and true ones left alone."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.analyst import grounding, quotes
from monitoring.analyst.contract import TradePlan, Verdict
from tests.support.replies import HELD_OUT, TUNING, Sentence, labelled, view

NAMES = ("rsi_14", "ema_20", "ema_50", "atr_14", "adx_14", "plus_di_14", "minus_di_14", "macd_hist", "highest_20")

HOSTILE = (
    "1" * 100_000,
    "EMA " * 50_000,
    "9,999," * 20_000,
    "RSI(14) " * 20_000,
    "( " * 50_000,
    "room 1 " * 600,
    "distance of 1 " * 300,
    "EMA 1 RSI 2 " * 330,
    "previously 1, " * 300,
)
WORDS = (
    *[
        "RSI(14)",
        "close",
        "about",
        "0",
        "1e9",
        "1e-9",
        "99999999999999999999",
        "-",
        "64,925.9",
        "0.000000000000000001",
        "%",
        "R",
        "ATR",
        "k",
        "above",
        "room",
        "previously",
    ],
    *["→", "B", "²", "½", "1:2", "12:61", "from", "of", "/", "bps", "stop", "volume"],
)


def names(text: str) -> list[tuple[str, str]]:
    return [(quote.text, quote.name) for quote in quotes.numbers(text, known=NAMES, symbol="BTCUSDT")]


class TestQuotes:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("RSI(14) fell from 47.9 to 38.4", [("47.9", "rsi_14"), ("38.4", "rsi_14")]),
            ("price is under the 20 EMA (65.2k)", [("65.2k", "ema_20")]),
            ("BTCUSDT 5m candle, 3 of 5 signs agree, MACD(12,26,9) histogram 3.64", [("3.64", "macd_hist")]),
            ("rsi_14 = 38.40, EMA-50: 65,322.94", [("38.40", "rsi_14"), ("65,322.94", "ema_50")]),
            ("the stop 2 ATR below the close at 98.5", [("2 ATR", "stop"), ("98.5", "close")]),
            ("20.8 (+DI) and 17.2 (-DI)", [("20.8", "plus_di"), ("17.2", "minus_di")]),
            ("at 14:05 on 2026-09-21", []),
            ("RSI １４", []),
            ("BTCUSDT and 3 of 5", []),
        ],
    )
    def test_what_a_number_is_about(self, text: str, found: list[tuple[str, str]]) -> None:
        assert names(text) == found

    def test_full_width_digits_are_digits(self) -> None:
        assert [quote.value for quote in quotes.numbers("RSI is ３８.４", known=NAMES)] == [Decimal("38.4")]

    def test_a_hostile_text_takes_no_time(self) -> None:
        """Four thousand characters at most are read, whatever they are; the work does not grow with their square."""
        began = time.process_time()
        for text in HOSTILE:
            check(text)
        assert time.process_time() - began < 5


def verdict(reasoning: str, **over: Any) -> Verdict:
    close = Decimal(str(view("BTCUSDT", 0)["candle"]["close"]))
    plan = TradePlan(close, close * Decimal("0.99"), close * Decimal("1.02"))
    return replace(Verdict("enter", Decimal("0.7"), reasoning, plan), **over)


def check(reasoning: str, **over: Any) -> tuple[str, ...]:
    return grounding.ungrounded(verdict(reasoning, **over), snapshot=view("BTCUSDT", 0))


class TestRules:
    def test_rounding_is_true_and_a_little_off_is_not(self) -> None:
        rsi = view("BTCUSDT", 0)["indicators"]["rsi_14"]
        for digits in (0, 1, 2, 3):
            assert check(f"RSI(14) is {rsi:.{digits}f}.") == ()
        assert check(f"RSI(14) is {rsi * 1.005:.1f}.") != ()
        assert check(f"RSI(14) is {rsi * 0.995:.1f}.") != ()

    def test_the_candle_before_counts_only_where_it_is_named(self) -> None:
        before = view("BTCUSDT", 0)["previous_indicators"]["rsi_14"]
        assert check(f"RSI(14) is {before:.1f}.") == (f"{before:.1f}",)
        assert check(f"RSI(14) comes from {before:.1f}.") == ()

    def test_times_are_checked(self) -> None:
        closed = view("BTCUSDT", 0)["candle"]["close_time"]
        assert check(f"The candle closed at {closed[11:16]} on {closed[:10]}.") == ()
        assert check("At 03:33 something happened.") == ("03:33",)

    def test_a_plan_for_another_market_is_caught(self) -> None:
        close = view("BTCUSDT", 0)["candle"]["close"]
        far = TradePlan(Decimal(str(close * 1.01)), Decimal(str(close / 2)), Decimal(str(close * 3)))
        assert [text.split()[0] for text in check("Good.", plan=far)] == ["tradePlan.entry", "tradePlan.stopLoss", "tradePlan.takeProfit"]
        assert check("Good.", plan=None, details={"newStopLoss": "5"}) == ("details.newStopLoss 5",)

    def test_the_strategy_may_be_quoted_but_is_no_value(self) -> None:
        assert check("The strategy buys with RSI(14) under 40.") == ()
        assert check("RSI(14) is 40.") == ("40",)

    @pytest.mark.parametrize("text", ["The close is 64925.9" + "0" * 30, "RSI(14) is above 1e40", "RSI(14) is 1e-40"])
    def test_a_number_that_no_market_has_is_made_up(self, text: str) -> None:
        assert len(check(text)) == 1

    @given(st.text(max_size=300) | st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join))
    def test_any_text_can_be_checked(self, text: str) -> None:
        assert all(isinstance(found, str) for found in check(text))

    def test_no_snapshot_and_no_numbers_are_no_trouble(self) -> None:
        assert grounding.ungrounded(Verdict("continue", Decimal(1), "Waiting."), snapshot={}) == ()


@pytest.mark.parametrize(("sentences", "seed"), [(TUNING, 1), (HELD_OUT, 2)], ids=["tuning", "held out"])
def test_made_up_numbers_are_caught_and_true_ones_are_not(sentences: tuple[Sentence, ...], seed: int) -> None:
    """2,000 labelled replies: at least 99 % of the made-up ones caught, at most 1 % of the true ones refused."""
    found: Counter[tuple[str, bool]] = Counter()
    for reply in labelled(count=1000, sentences=sentences, seed=seed):
        found[reply.mutation, bool(grounding.ungrounded(reply.verdict, snapshot=reply.snapshot))] += 1
    true, made_up = found["", False], sum(count for (mutation, _), count in found.items() if mutation)
    caught = sum(count for (mutation, flagged), count in found.items() if mutation and flagged)
    assert caught / made_up >= 0.99, found
    assert found["", True] / (true + found["", True]) <= 0.01, found
