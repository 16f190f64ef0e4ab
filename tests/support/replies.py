"""
Replies with a label: every number true, or one of them made up. Seeded, so that the set is the same everywhere.

A true reply quotes facts as people write them: rounded, derived (distances, percentages, multiples), from the strategy.
A made-up one is a true one with one number changed: by ±0.5 to 5 %, two digits swapped, another symbol's value, or the
value of the candle before. The change always shows in what stands there.

There are two sets of sentences. The rules were written with TUNING. HELD_OUT was written afterwards and measured once before
anybody looked; that first figure, and what it led to, stands in docs/analyst.md. Write a new set to measure honestly again.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np

from monitoring import indicators, intervals, snapshot
from monitoring.analyst.contract import TradePlan, Verdict
from monitoring.indicators import Window
from tests.support.clocks import START_MS
from tests.support.factories import simulated

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "DOGEUSDT")
STRATEGY = "Buys pullbacks in an uptrend: RSI(14) under 40 with EMA(20) above EMA(50); ADX of at least 20, no entry after 3 losses."
CONDITIONS = [{"field": "rsi_14", "operator": "lt", "value": 40}, {"field": "adx_14", "operator": "gte", "value": 20}]
MUTATIONS = ("percent", "swapped", "other symbol", "previous candle")


@dataclass(frozen=True)
class Labelled:
    """A reply to a snapshot; `mutation` is empty when every number is true."""

    verdict: Verdict
    snapshot: dict[str, Any]
    mutation: str
    changed: str = ""


@cache
def view(symbol: str, at: int) -> dict[str, Any]:
    """A snapshot of the simulated market, `at` candles after the start."""
    length = intervals.length_ms("5m")
    rows = simulated(seed=7, symbol=symbol, interval="5m", start=START_MS + at * length, count=300)
    columns = [np.array([float(getattr(row, name)) for row in rows]) for name in ("open", "high", "low", "close", "volume")]
    window = Window(np.array([row.open_time for row in rows]), *columns)
    names = sorted(snapshot.indicator_names(raised_by=([],), also=["sma_50", "macd", "stoch_k", "vwap_20"]))
    readings = indicators.compute(window=window, names=names)
    market = snapshot.market_view(symbol=symbol, interval="5m", market="binance", window=window, readings=readings)
    earlier = float(window.close[-6])
    return {
        **market,
        "trader": {
            "name": "Pullback 2", "strategy": STRATEGY, "side": "long", "conditions": CONDITIONS, "invalidation_conditions": [],
            "stop_atr_multiple": 2.0, "target_r": 2.5,
        },
        "signal": {
            "created_at": snapshot.iso(int(window.open_time[-5])), "age_minutes": 25.0, "side": "long", "source": "screen",
            "initial_price": earlier, "matched_conditions": ["rsi_14 lt 40 (38.7)"], "metadata": {},
        },
        "recent_decisions": [
            {"time": snapshot.iso(int(window.open_time[-2])), "decision": "continue", "confidence": 0.6, "price": float(window.close[-3]),
             "reasoning": "Not yet."}
        ],
    }  # fmt: skip


class Facts:
    """What sentences are made of. Every call of `n` is one number: its text now, and how to write another value."""

    def __init__(self, symbol: str, at: int) -> None:
        self.view = view(symbol, at)
        self.indicators, self.before = self.view["indicators"], self.view["previous_indicators"]
        self.other = view(SYMBOLS[(SYMBOLS.index(symbol) + 1) % len(SYMBOLS)], at)["indicators"]
        candle = self.view["candle"]
        self.close, self.high, self.low, self.open = (candle[name] for name in ("close", "high", "low", "open"))
        self.volume, self.atr = candle["volume"], self.indicators["atr_14"]
        self.initial = self.view["signal"]["initial_price"]
        self.last_close = self.view["recent_closes"][-2]
        self.other_close = view(SYMBOLS[(SYMBOLS.index(symbol) + 1) % len(SYMBOLS)], at)["candle"]["close"]
        self.decimals = max(0, 5 - len(str(int(self.close))))
        self.stop = round(self.close - 2 * self.atr, self.decimals + 1)
        self.target = round(self.close + 5 * self.atr, self.decimals + 1)
        self.numbers: list[Number] = []

    def n(
        self, value: float, form: str, *, previous: float | None = None, other: float | None = None, scale: float = 1, fixed: bool = False
    ) -> str:
        """A number as it is written; `fixed` ones are too short to be changed by a little (2 candles)."""
        number = Number(value, form, scale, previous, other)
        if not fixed:
            self.numbers.append(number)
        return f"\x01{len(self.numbers) - 1}\x02{number.written()}\x03" if not fixed else number.written()

    def i(self, name: str, form: str) -> str:
        """An indicator at this close."""
        return self.n(self.indicators[name], form, previous=self.before[name], other=self.other[name])

    def b(self, name: str, form: str) -> str:
        """An indicator at the close before."""
        return self.n(self.before[name], form, other=self.other[name])

    def p(self, value: float, *, off: int = 0, previous: float | None = None) -> str:
        """A price, with `off` decimals more or fewer than usual."""
        digits = max(0, self.decimals + off)
        return self.n(value, f",.{digits}f", previous=previous, other=self.other_close)

    def ip(self, name: str, *, off: int = 0) -> str:
        """An indicator that is a price."""
        return self.n(self.indicators[name], f",.{max(0, self.decimals + off)}f", previous=self.before[name], other=self.other[name])

    def pct(self, a: float, b: float, form: str = ".2f") -> str:
        """How far `a` is from `b`, in percent."""
        return self.n(abs(a / b - 1) * 100, form)


@dataclass(frozen=True)
class Number:
    """A value, the format it is written in, and what a careless model might have written instead."""

    value: float
    form: str
    scale: float
    previous: float | None
    other: float | None

    def written(self, value: float | None = None) -> str:
        """As it stands in the text."""
        shown = (self.value if value is None else value) / self.scale
        text = format(abs(shown), self.form)
        return f"-{text}" if shown < 0 and float(text.replace(",", "")) else text

    def mutated(self, mutation: str, chance: random.Random) -> str | None:
        """Another number in its place, or None when this mutation would not show."""
        if mutation == "percent":
            value: float | None = self.value * (1 + chance.choice((-1, 1)) * chance.uniform(0.005, 0.05))
        elif mutation == "swapped":
            return _swapped(self.written(), chance)
        else:
            value = self.previous if mutation == "previous candle" else self.other
        if value is None:
            return None
        text = self.written(value)
        return None if text == self.written() or _nearly(text, self.written()) else text


def _nearly(a: str, b: str) -> bool:
    """Whether two texts are within one unit of their last digit: rounding could explain it."""
    one, two = Decimal(a.replace(",", "")), Decimal(b.replace(",", ""))
    exponent = one.as_tuple().exponent
    return abs(one - two) <= Decimal(1).scaleb(exponent if isinstance(exponent, int) else 0)


def _swapped(text: str, chance: random.Random) -> str | None:
    places = [i for i in range(len(text) - 1) if text[i].isdigit() and text[i + 1].isdigit() and text[i] != text[i + 1]]
    if not places:
        return None
    at = chance.choice(places)
    swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return None if _nearly(swapped, text) else swapped


Sentence = Callable[[Facts], str]

TUNING: tuple[Sentence, ...] = (
    lambda f: f"RSI(14) is {f.i('rsi_14', '.1f')}, under the 40 of the strategy, and ADX(14) is {f.i('adx_14', '.1f')}.",
    lambda f: f"The candle closed at {f.p(f.close, off=1, previous=f.last_close)}, {f.pct(f.close, f.indicators['ema_20'])} % away from EMA(20) at {f.ip('ema_20')}.",
    lambda f: f"RSI moved from {f.b('rsi_14', '.1f')} to {f.i('rsi_14', '.1f')}.",
    lambda f: f"Volume is {f.i('volume_ratio_20', '.2f')} times its average.",
    lambda f: f"Price {f.p(f.close, previous=f.last_close)} against EMA20 {f.ip('ema_20')} and EMA50 {f.ip('ema_50')}.",
    lambda f: f"ATR(14) is {f.n(f.atr, '.4g', previous=f.before['atr_14'], other=f.other['atr_14'])}, so the stop at {f.p(f.stop, off=1)} is 2 ATR away.",
    lambda f: f"The target {f.p(f.target, off=1)} gives 2.5 times the risk.",
    lambda f: f"The upper Bollinger band is at {f.ip('bb_upper_20')}, the lower at {f.ip('bb_lower_20')}.",
    lambda f: f"+DI {f.i('plus_di_14', '.1f')} against -DI {f.i('minus_di_14', '.1f')}.",
    lambda f: f"The MACD histogram stands at {f.i('macd_hist', '.3g')}.",
    lambda f: f"NATR is {f.i('natr_14', '.3f')} %.",
    lambda f: f"The last candle changed by {f.i('change_pct_1', '.2f')} %.",
    lambda f: f"The 20-candle high of {f.ip('highest_20')} is {f.pct(f.indicators['highest_20'], f.close)} % above the close.",
    lambda f: f"Support is the 20-candle low at {f.ip('lowest_20')}.",
    lambda f: f"The signal came 25 minutes ago at {f.p(f.initial, off=1)}; since then the price changed by {f.pct(f.close, f.initial)} %.",
    lambda f: f"The candle's range was {f.p(f.low)} to {f.p(f.high)}.",
    lambda f: f"EMA(200) at {f.ip('ema_200', off=-1)} is far, and 3 of 5 signs agree.",
    lambda f: f"Entering at {f.p(f.close, off=1, previous=f.last_close)}.",
    lambda f: f"SMA(50) is {f.ip('sma_50')}; the close is {f.n(abs(f.close - f.indicators['sma_50']), '.4g')} away from it.",
    lambda f: f"Stochastic %K is not needed; VWAP lies at {f.ip('vwap_20')}.",
    lambda f: f"Momentum needs RSI above 50, it is {f.i('rsi_14', '.0f')}.",
    lambda f: f"With an RSI of {f.i('rsi_14', '.2f')} the pullback condition (below 40) can be judged; trend strength (ADX {f.i('adx_14', '.0f')}) has to be 20 or more.",
    lambda f: f"{f.view['symbol']} now trades at {f.p(f.close, previous=f.last_close)}.",
    lambda f: f"The 20 EMA ({f.ip('ema_20')}) and the 50 EMA ({f.ip('ema_50')}) frame the move.",
    lambda f: f"Price sits {f.pct(f.close, f.indicators['ema_50'])}% from the EMA(50).",
    lambda f: f"Bollinger: upper band {f.ip('bb_upper_20', off=1)}, lower band {f.ip('bb_lower_20', off=1)}.",
    lambda f: f"Relative volume is {f.i('volume_ratio_20', '.1f')}x.",
    lambda f: f"An ATR of {f.n(f.atr, '.3g', previous=f.before['atr_14'], other=f.other['atr_14'])} puts a two-ATR stop at {f.p(f.stop, off=1)}.",
    lambda f: f"Take profit {f.p(f.target, off=1)} versus stop loss {f.p(f.stop, off=1)} is a reward-to-risk of 2.5.",
    lambda f: f"Directional movement: plus_di_14 = {f.i('plus_di_14', '.2f')}, minus_di_14 = {f.i('minus_di_14', '.2f')}.",
    lambda f: f"macd_hist went from {f.b('macd_hist', '.3g')} to {f.i('macd_hist', '.3g')}.",
    lambda f: f"Volatility (NATR {f.i('natr_14', '.2f')}%) is what it usually is.",
    lambda f: f"The latest 5m candle opened at {f.p(f.open)} and closed at {f.p(f.close, previous=f.last_close)}, a change of {f.i('change_pct_1', '.3f')}%.",
    lambda f: f"Resistance: the recent high of {f.ip('highest_20')}; support: the recent low of {f.ip('lowest_20')}.",
    lambda f: f"ADX rose or fell to {f.i('adx_14', '.1f')} from {f.b('adx_14', '.1f')} a candle ago.",
    lambda f: f"Since the signal at {f.p(f.initial)} nothing has broken.",
    lambda f: f"This close's low of {f.p(f.low, off=1)} held.",
    lambda f: f"The 200-period EMA at {f.ip('ema_200')} is the longer trend.",
    lambda f: f"I would enter near {f.p(f.close, previous=f.last_close)} with the stop under it at {f.p(f.stop, off=1)}.",
    lambda f: f"Distance to the 50-period SMA ({f.ip('sma_50')}): {f.pct(f.close, f.indicators['sma_50'])} percent.",
    lambda f: f"At {f.n(f.close, '.2f', scale=1000, previous=f.last_close, other=f.other_close)}k the market is close to vwap_20 ({f.ip('vwap_20')})." if f.close > 10_000 else f"vwap_20 is {f.ip('vwap_20')}.",
    lambda f: f"The strategy wants RSI(14) < 40; rsi_14 = {f.i('rsi_14', '.1f')}.",
    lambda f: f"Oscillator check: RSI {f.i('rsi_14', '.1f')} / ADX {f.i('adx_14', '.1f')} / natr {f.i('natr_14', '.2f')}%.",
    lambda f: f"EMA20, EMA50 and EMA200 are {f.ip('ema_20')}, {f.ip('ema_50')} and {f.ip('ema_200')} respectively.",
    lambda f: f"We are {f.pct(f.close, f.indicators['lowest_20'])}% above the range low of {f.ip('lowest_20')}.",
    lambda f: f"The market closed the bar at ${f.p(f.close, off=1, previous=f.last_close)}.",
    lambda f: f"RSI(14): {f.b('rsi_14', '.1f')} → {f.i('rsi_14', '.1f')}.",
    lambda f: f"This bar traded between {f.p(f.low)} and {f.p(f.high)}, with {f.i('volume_ratio_20', '.2f')} times the usual volume behind it.",
    lambda f: f"A stop at {f.p(f.stop, off=1)} risks {f.pct(f.stop, f.close)}%.",
    lambda f: f"The reward is 2.5R with the take-profit at {f.p(f.target, off=1)}.",
    lambda f: f"Momentum is fading: the MACD histogram is {f.i('macd_hist', '.3g')} after {f.b('macd_hist', '.3g')} on the previous candle.",
    lambda f: f"Both directional lines matter here: +DI is {f.i('plus_di_14', '.0f')} while -DI is {f.i('minus_di_14', '.0f')}.",
    lambda f: f"Price is inside the bands ({f.ip('bb_lower_20')} to {f.ip('bb_upper_20')}).",
    lambda f: f"The trader asks for ADX >= 20; it reads {f.i('adx_14', '.2f')} now.",
    lambda f: f"At {f.p(f.close, previous=f.last_close)} we are {f.pct(f.close, f.indicators['highest_20'])} % below the 20-candle high ({f.ip('highest_20')}).",
    lambda f: f"average true range {f.n(f.atr, '.3g', previous=f.before['atr_14'], other=f.other['atr_14'])}, i.e. {f.i('natr_14', '.3f')} percent of price.",
    lambda f: f"VWAP(20) {f.ip('vwap_20')} and SMA(50) {f.ip('sma_50')} are the magnets.",
    lambda f: f"Compared with the close before ({f.n(f.last_close, f',.{f.decimals}f', other=f.other_close)}), price moved {f.i('change_pct_1', '.2f')} %.",
    lambda f: f"Setup is 25 minutes old; it was raised at {f.p(f.initial, off=1)}.",
    lambda f: f"RSI is not above 70 or below 30, at {f.i('rsi_14', '.0f')} it is neutral.",
    lambda f: f"Upper Bollinger {f.ip('bb_upper_20')} caps the move, {f.pct(f.indicators['bb_upper_20'], f.close)}% away.",
    lambda f: f"The slow average, ema_200={f.ip('ema_200', off=1)}, lies {f.pct(f.close, f.indicators['ema_200'])} % from the close.",
    lambda f: f"Enter at {f.p(f.close, off=1, previous=f.last_close)}, stop {f.p(f.stop, off=1)}, target {f.p(f.target, off=1)}.",
    lambda f: f"Three closes in a row; the last two were {f.n(f.last_close, f',.{f.decimals}f', other=f.other_close)} and {f.p(f.close)}.",
    lambda f: f"There is roughly {f.n(abs(f.indicators['highest_20'] - f.close) / f.atr, '.1f')} ATR of room to the recent high at {f.ip('highest_20')}.",
    lambda f: f"Trend filter passes or fails on EMA(20)={f.ip('ema_20')} vs EMA(50)={f.ip('ema_50')}.",
    lambda f: f"RSI at {f.i('rsi_14', '.1f')} shows that momentum has cooled from {f.b('rsi_14', '.1f')}.",
    lambda f: f"Price action: open {f.p(f.open)}, high {f.p(f.high)}, low {f.p(f.low)}, close {f.p(f.close, previous=f.last_close)}.",
    lambda f: f"The close of {f.p(f.close, off=1, previous=f.last_close)} sits between the 50-period EMA ({f.ip('ema_50')}) and the rest.",
    lambda f: f"With ADX(14) at {f.i('adx_14', '.1f')} there is a trend or there is none.",
    lambda f: f"Volume came in at {f.i('volume_ratio_20', '.2f')}x the 20-period average.",
    lambda f: f"The entry at {f.p(f.close, off=1, previous=f.last_close)} with a stop-loss of {f.p(f.stop, off=1)} and a take-profit of {f.p(f.target, off=1)} yields a risk/reward ratio of 1:2.5.",
    lambda f: f"ATR(14) of {f.n(f.atr, '.3g', previous=f.before['atr_14'], other=f.other['atr_14'])} implies normal volatility.",
    lambda f: f"The MACD histogram ({f.i('macd_hist', '.3g')}) does not disagree.",
    lambda f: f"Immediate resistance lies at {f.ip('highest_20')} (20-candle high), and support at {f.ip('lowest_20')} (20-candle low).",
    lambda f: f"Price has moved {f.pct(f.close, f.initial)}% since the signal was raised 25 minutes ago at {f.p(f.initial, off=1)}.",
    lambda f: f"It trades {f.pct(f.close, f.indicators['vwap_20'])}% off VWAP ({f.ip('vwap_20')}).",
    lambda f: f"The RSI condition (rsi_14 lt 40) reads {f.i('rsi_14', '.2f')} now; adx_14 gte 20 reads {f.i('adx_14', '.2f')}.",
    lambda f: f"Bands: {f.ip('bb_lower_20')} / {f.ip('bb_upper_20')}.",
    lambda f: f"plus_di_14 ({f.i('plus_di_14', '.1f')}) and minus_di_14 ({f.i('minus_di_14', '.1f')}) tell who is in control.",
    lambda f: f"A natr_14 of {f.i('natr_14', '.3f')}% is small enough.",
    lambda f: f"The latest candle's change was {f.i('change_pct_1', '.2f')}%.",
    lambda f: f"Long-term EMA(200) stands at {f.ip('ema_200')}, {f.pct(f.indicators['ema_200'], f.close)}% from here.",
    lambda f: f"I place the stop 2 ATR below the close at {f.p(f.stop, off=1)} and the target 5 ATR above it at {f.p(f.target, off=1)}.",
    lambda f: f"SMA(50): {f.ip('sma_50')}. Stop: {f.p(f.stop, off=1)}.",
    lambda f: f"RSI is {f.i('rsi_14', '.1f')} (previously {f.b('rsi_14', '.1f')}) and ADX is {f.i('adx_14', '.1f')} (previously {f.b('adx_14', '.1f')}).",
    lambda f: f"Overall 2 of 3 conditions hold at {f.p(f.close, previous=f.last_close)}, so patience costs little.",
    lambda f: f"Room to the upper band at {f.ip('bb_upper_20')} is {f.n(abs(f.indicators['bb_upper_20'] - f.close), '.3g')}, about {f.n(abs(f.indicators['bb_upper_20'] - f.close) / f.atr, '.1f')} ATR.",
    lambda f: f"Confidence is 0.7 because only the histogram ({f.i('macd_hist', '.2g')}) is in doubt.",
    lambda f: f"The pullback has brought RSI(14) to {f.i('rsi_14', '.1f')}, and the strategy buys under 40.",
    lambda f: f"ADX is {f.i('adx_14', '.1f')}, which the trader compares with 20.",
    lambda f: f"Last price {f.p(f.close, off=1, previous=f.last_close)}; EMA 20 {f.ip('ema_20')}; EMA 50 {f.ip('ema_50')}; EMA 200 {f.ip('ema_200')}.",
    lambda f: f"The candle that closed ranged from a low of {f.p(f.low)} to a high of {f.p(f.high)}.",
    lambda f: f"Participation is {f.i('volume_ratio_20', '.2f')} times average volume.",
    lambda f: f"With the stop at {f.p(f.stop, off=1)} and the close at {f.p(f.close, off=1, previous=f.last_close)} the risk is {f.n(f.close - f.stop, '.3g')} per unit.",
    lambda f: f"Target {f.p(f.target, off=1)} is {f.pct(f.target, f.close)}% higher.",
    lambda f: f"MACD histogram now {f.i('macd_hist', '.3g')}, before that {f.b('macd_hist', '.3g')}.",
    lambda f: f"The upper and lower bands are at {f.ip('bb_upper_20')} and {f.ip('bb_lower_20')}.",
    lambda f: f"A swing low of {f.ip('lowest_20')} gives support and a swing high of {f.ip('highest_20')} gives resistance.",
    lambda f: f"The DI lines read {f.i('plus_di_14', '.1f')} (+DI) and {f.i('minus_di_14', '.1f')} (-DI).",
    lambda f: f"Volatility is modest with NATR(14) at {f.i('natr_14', '.2f')} %.",
    lambda f: f"The close changed by {f.i('change_pct_1', '.2f')} % in this candle.",
    lambda f: f"The signal is 25 minutes old and was raised when price was {f.p(f.initial)}.",
    lambda f: f"VWAP stands at {f.ip('vwap_20')}, which is {f.pct(f.indicators['vwap_20'], f.close)}% away from the close.",
    lambda f: f"My stop is {f.p(f.stop, off=1)} (2 x ATR of {f.n(f.atr, '.3g', previous=f.before['atr_14'], other=f.other['atr_14'])}).",
    lambda f: f"RSI dropped or climbed from {f.b('rsi_14', '.0f')} to {f.i('rsi_14', '.0f')} within one candle.",
    lambda f: f"EMA(20) {f.ip('ema_20')} versus EMA(50) {f.ip('ema_50')} decides the trend.",
    lambda f: f"The reward-to-risk ratio is 2.5:1 with entry {f.p(f.close, off=1, previous=f.last_close)}.",
    lambda f: f"Both the 50-period SMA at {f.ip('sma_50')} and the 200-period EMA at {f.ip('ema_200')} are near.",
    lambda f: f"One of 2 conditions is met: rsi_14 is {f.i('rsi_14', '.1f')}.",
    lambda f: f"As of this close, {f.view['symbol']} is at {f.p(f.close, previous=f.last_close)}, {f.pct(f.close, f.indicators['ema_20'])} % from its 20-period EMA.",
    lambda f: f"Nothing changes while price stays under {f.ip('highest_20')} and over {f.ip('lowest_20')}.",
    lambda f: f"rsi_14 is {f.i('rsi_14', '.2f')} against {f.b('rsi_14', '.2f')} at the previous close.",
    lambda f: f"Trend: close {f.p(f.close, off=1, previous=f.last_close)}, ema_20 {f.ip('ema_20', off=1)}, ema_50 {f.ip('ema_50', off=1)}.",
    lambda f: f"adx_14 of {f.i('adx_14', '.1f')} with plus_di_14 at {f.i('plus_di_14', '.1f')} and minus_di_14 at {f.i('minus_di_14', '.1f')}.",
    lambda f: f"The setup is valid as long as price holds above {f.ip('lowest_20')}, the 20-candle low.",
    lambda f: f"Price is {f.pct(f.close, f.indicators['ema_20'])} % from ema_20 and {f.pct(f.close, f.indicators['ema_200'])} % from ema_200.",
    lambda f: f"volume_ratio_20 is {f.i('volume_ratio_20', '.2f')}.",
    lambda f: f"Stop loss: {f.p(f.stop, off=1)}. Take profit: {f.p(f.target, off=1)}. That is 2.5R.",
    lambda f: f"atr_14 is {f.n(f.atr, '.4g', previous=f.before['atr_14'], other=f.other['atr_14'])} and natr_14 is {f.i('natr_14', '.3f')}.",
    lambda f: f"change_pct_1 was {f.i('change_pct_1', '.3f')}, macd_hist is {f.i('macd_hist', '.3g')}.",
    lambda f: f"The upper band sits at {f.ip('bb_upper_20')}, {f.pct(f.indicators['bb_upper_20'], f.close)} % above the close of {f.p(f.close, previous=f.last_close)}.",
    lambda f: f"The signal price was {f.p(f.initial, off=1)}, and 25 minutes later we are at {f.p(f.close, off=1, previous=f.last_close)}.",
    lambda f: f"RSI below 30 would be oversold; at {f.i('rsi_14', '.1f')} it is not the point.",
    lambda f: f"highest_20 ({f.ip('highest_20')}) is the obvious resistance.",
    lambda f: f"The average true range is {f.n(f.atr, '.3g', previous=f.before['atr_14'], other=f.other['atr_14'])}; twice that below the close gives {f.p(f.stop, off=1)}.",
    lambda f: f"The 50-period simple moving average is {f.ip('sma_50')}.",
    lambda f: f"ADX(14) has gone from {f.b('adx_14', '.1f')} to {f.i('adx_14', '.1f')}, so the trend is what it is.",
    lambda f: f"The candle opened at {f.p(f.open)}, reached {f.p(f.high)} and closed at {f.p(f.close, previous=f.last_close)}.",
    lambda f: f"Waiting costs nothing: the EMA(50) at {f.ip('ema_50')} and the EMA(200) at {f.ip('ema_200')} are both in view.",
    lambda f: f"I enter at the close, {f.p(f.close, off=1, previous=f.last_close)}, risking {f.pct(f.stop, f.close)} % down to {f.p(f.stop, off=1)}.",
    lambda f: f"MACD's histogram reads {f.i('macd_hist', '.2g')}.",
)  # fmt: skip

HELD_OUT: tuple[Sentence, ...] = (
    lambda f: f"The close is {f.p(f.close, off=1, previous=f.last_close)} and the 20-period EMA is {f.ip('ema_20')}.",
    lambda f: f"RSI(14) at {f.i('rsi_14', '.1f')} leaves room in both directions.",
    lambda f: f"ADX(14) reads {f.i('adx_14', '.1f')}, +DI {f.i('plus_di_14', '.1f')}, -DI {f.i('minus_di_14', '.1f')}.",
    lambda f: f"The MACD histogram is {f.i('macd_hist', '.3g')}, after {f.b('macd_hist', '.3g')} at the previous close.",
    lambda f: f"ATR(14) is {f.n(f.atr, '.4g', previous=f.before['atr_14'], other=f.other['atr_14'])} ({f.i('natr_14', '.2f')} % of the close).",
    lambda f: f"Volume ratio {f.i('volume_ratio_20', '.2f')} is nothing special.",
    lambda f: f"The 20-candle range runs from {f.ip('lowest_20')} to {f.ip('highest_20')}.",
    lambda f: f"The stop loss at {f.p(f.stop, off=1)} is 2 ATR below the entry, the take profit at {f.p(f.target, off=1)} 5 ATR above it.",
    lambda f: "That plan pays 2.5 times what it risks.",
    lambda f: f"EMA(50) {f.ip('ema_50')} and EMA(200) {f.ip('ema_200')} show the larger trend.",
    lambda f: f"The close lies {f.pct(f.close, f.indicators['ema_50'])} % from EMA(50).",
    lambda f: f"Bollinger bands: lower {f.ip('bb_lower_20')}, upper {f.ip('bb_upper_20')}.",
    lambda f: f"The signal's initial price was {f.p(f.initial, off=1)}, 25 minutes ago.",
    lambda f: f"change_pct_1 of {f.i('change_pct_1', '.2f')} % says little.",
    lambda f: f"RSI(14) was {f.b('rsi_14', '.1f')} at the previous close and is {f.i('rsi_14', '.1f')} now.",
    lambda f: f"The strategy asks for RSI(14) under 40, and it is {f.i('rsi_14', '.1f')}.",
    lambda f: f"The candle's high of {f.p(f.high)} and low of {f.p(f.low)} lie around its close of {f.p(f.close, previous=f.last_close)}.",
    lambda f: f"SMA(50) is {f.ip('sma_50')} and VWAP(20) is {f.ip('vwap_20')}.",
)  # fmt: skip


def labelled(*, count: int, sentences: tuple[Sentence, ...], seed: int) -> Iterator[Labelled]:
    """Half of them true, half with one number made up, by all mutations in turn."""
    chance = random.Random(seed)
    made = 0
    while made < count:
        facts = Facts(chance.choice(SYMBOLS), 37 * chance.randrange(60))
        marked = " ".join(sentence(facts) for sentence in chance.sample(sentences, chance.randint(2, 5)))
        mutation = "" if made % 2 == 0 else MUTATIONS[made // 2 % len(MUTATIONS)]
        changed = ""
        if mutation:
            options = [(k, text) for k, number in enumerate(facts.numbers) if (text := number.mutated(mutation, chance)) is not None]
            if not options:
                continue
            place, changed = chance.choice(options)
            marked = re.sub(f"\x01{place}\x02[^\x03]*\x03", lambda _, new=changed: new, marked)
        plan = TradePlan(Decimal(str(facts.close)), Decimal(str(facts.stop)), Decimal(str(facts.target)))
        reasoning = re.sub("\x01\\d+\x02|\x03", "", marked)
        made += 1
        yield Labelled(Verdict("enter", Decimal("0.7"), reasoning, plan), facts.view, mutation, changed)
