"""
Named indicators over a window of closed candles, computed by TA-Lib. Pure.

A name is a family and, where the family takes one, a period: `rsi_14`, `ema_200`, `bb_upper_20`, `macd_hist`.
Without a period the family's usual one is meant. Values are floats; they guide decisions and are never money.

UnknownIndicator   a name that no family answers to, or a period out of bounds
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import talib

Array = npt.NDArray[np.float64]

WINDOW = 300  # candles; recursive averages such as ema_200 have settled by then
LONGEST_PERIOD = 250
NAME = re.compile(r"^([a-z_]+?)(?:_(\d{1,3}))?$")


class UnknownIndicator(ValueError):
    """A name that can't be computed."""


@dataclass(frozen=True)
class Window:
    """Closed candles of one symbol and interval, oldest first. `open_time` in ms, prices in quote, volume in base."""

    open_time: npt.NDArray[np.int64]
    open: Array
    high: Array
    low: Array
    close: Array
    volume: Array

    def __len__(self) -> int:
        return len(self.open_time)

    def until(self, open_time: int) -> Window:
        """The part of the window up to and including the candle that opened at `open_time`."""
        end = int(np.searchsorted(self.open_time, open_time, side="right"))
        return Window(**{column.name: getattr(self, column.name)[:end] for column in fields(self)})


@dataclass(frozen=True)
class Reading:
    """An indicator at the newest candle and at the one before it; None while the window is too short for it."""

    current: float | None
    previous: float | None


@dataclass(frozen=True)
class Family:
    """How to compute one family; `period` is the usual one, None when it takes none."""

    compute: Callable[[Window, int], Array]
    period: int | None
    meaning: str


def _ratio(numerator: Array, denominator: Array) -> Array:
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator != 0)


def _change_pct(w: Window, n: int) -> Array:
    changed = np.full_like(w.close, np.nan)
    if len(w) > n:
        changed[n:] = (w.close[n:] / w.close[:-n] - 1) * 100
    return changed


def _before(values: Array) -> Array:
    """The same series one candle later, so that the newest candle is not compared with itself."""
    return np.concatenate(([np.nan], values[:-1]))


def _bands(w: Window, n: int, which: int) -> Array:
    return talib.BBANDS(w.close, timeperiod=n, nbdevup=2, nbdevdn=2)[which]


def _bb_width(w: Window, n: int) -> Array:
    upper, middle, lower = talib.BBANDS(w.close, timeperiod=n, nbdevup=2, nbdevdn=2)
    return _ratio(upper - lower, middle) * 100


def _bb_percent(w: Window, n: int) -> Array:
    upper, _, lower = talib.BBANDS(w.close, timeperiod=n, nbdevup=2, nbdevdn=2)
    return _ratio(w.close - lower, upper - lower) * 100


def _vwap(w: Window, n: int) -> Array:
    typical = (w.high + w.low + w.close) / 3
    return _ratio(talib.SUM(typical * w.volume, n), talib.SUM(w.volume, n))


def _stoch(w: Window, n: int, which: int) -> Array:
    return talib.STOCH(w.high, w.low, w.close, fastk_period=n, slowk_period=3, slowd_period=3)[which]


FAMILIES: dict[str, Family] = {
    "open": Family(lambda w, n: w.open, None, "open price"),
    "high": Family(lambda w, n: w.high, None, "high price"),
    "low": Family(lambda w, n: w.low, None, "low price"),
    "close": Family(lambda w, n: w.close, None, "close price"),
    "volume": Family(lambda w, n: w.volume, None, "volume in base"),
    "sma": Family(lambda w, n: talib.SMA(w.close, n), 20, "simple moving average"),
    "ema": Family(lambda w, n: talib.EMA(w.close, n), 20, "exponential moving average"),
    "wma": Family(lambda w, n: talib.WMA(w.close, n), 20, "weighted moving average"),
    "dema": Family(lambda w, n: talib.DEMA(w.close, n), 20, "double exponential moving average"),
    "tema": Family(lambda w, n: talib.TEMA(w.close, n), 20, "triple exponential moving average"),
    "kama": Family(lambda w, n: talib.KAMA(w.close, n), 20, "Kaufman adaptive moving average"),
    "vwap": Family(_vwap, 20, "volume-weighted average price over the period"),
    "rsi": Family(lambda w, n: talib.RSI(w.close, n), 14, "relative strength index, 0 to 100"),
    "stoch_k": Family(lambda w, n: _stoch(w, n, 0), 14, "slow stochastic %K, 0 to 100"),
    "stoch_d": Family(lambda w, n: _stoch(w, n, 1), 14, "slow stochastic %D, 0 to 100"),
    "cci": Family(lambda w, n: talib.CCI(w.high, w.low, w.close, n), 20, "commodity channel index"),
    "mfi": Family(lambda w, n: talib.MFI(w.high, w.low, w.close, w.volume, n), 14, "money flow index, 0 to 100"),
    "willr": Family(lambda w, n: talib.WILLR(w.high, w.low, w.close, n), 14, "Williams %R, -100 to 0"),
    "roc": Family(lambda w, n: talib.ROC(w.close, n), 10, "rate of change, percent"),
    "mom": Family(lambda w, n: talib.MOM(w.close, n), 10, "momentum in quote"),
    "macd": Family(lambda w, n: talib.MACD(w.close)[0], None, "MACD line (12, 26, 9)"),
    "macd_signal": Family(lambda w, n: talib.MACD(w.close)[1], None, "MACD signal line"),
    "macd_hist": Family(lambda w, n: talib.MACD(w.close)[2], None, "MACD histogram"),
    "bb_upper": Family(lambda w, n: _bands(w, n, 0), 20, "upper Bollinger band, 2 deviations"),
    "bb_middle": Family(lambda w, n: _bands(w, n, 1), 20, "middle Bollinger band"),
    "bb_lower": Family(lambda w, n: _bands(w, n, 2), 20, "lower Bollinger band, 2 deviations"),
    "bb_width": Family(_bb_width, 20, "width of the Bollinger bands, percent of the middle"),
    "bb_percent": Family(_bb_percent, 20, "place within the Bollinger bands, percent"),
    "atr": Family(lambda w, n: talib.ATR(w.high, w.low, w.close, n), 14, "average true range in quote"),
    "natr": Family(lambda w, n: talib.NATR(w.high, w.low, w.close, n), 14, "average true range, percent of the close"),
    "stddev": Family(lambda w, n: talib.STDDEV(w.close, n), 20, "standard deviation of the close"),
    "adx": Family(lambda w, n: talib.ADX(w.high, w.low, w.close, n), 14, "trend strength, 0 to 100"),
    "plus_di": Family(lambda w, n: talib.PLUS_DI(w.high, w.low, w.close, n), 14, "positive directional indicator"),
    "minus_di": Family(lambda w, n: talib.MINUS_DI(w.high, w.low, w.close, n), 14, "negative directional indicator"),
    "aroon_up": Family(lambda w, n: talib.AROON(w.high, w.low, n)[1], 25, "Aroon up, 0 to 100"),
    "aroon_down": Family(lambda w, n: talib.AROON(w.high, w.low, n)[0], 25, "Aroon down, 0 to 100"),
    "linreg_slope": Family(lambda w, n: talib.LINEARREG_SLOPE(w.close, n), 20, "slope of the regression line, quote per candle"),
    "sar": Family(lambda w, n: talib.SAR(w.high, w.low), None, "parabolic stop and reverse"),
    "obv": Family(lambda w, n: talib.OBV(w.close, w.volume), None, "on-balance volume from the window's start"),
    "ad": Family(lambda w, n: talib.AD(w.high, w.low, w.close, w.volume), None, "accumulation/distribution line"),
    "volume_sma": Family(lambda w, n: talib.SMA(w.volume, n), 20, "average volume"),
    "volume_ratio": Family(lambda w, n: _ratio(w.volume, talib.SMA(w.volume, n)), 20, "volume over its average"),
    "change_pct": Family(_change_pct, 1, "change of the close, percent"),
    "highest": Family(lambda w, n: talib.MAX(w.high, n), 20, "highest high, this candle included"),
    "lowest": Family(lambda w, n: talib.MIN(w.low, n), 20, "lowest low, this candle included"),
    "prev_highest": Family(lambda w, n: _before(talib.MAX(w.high, n)), 20, "highest high before this candle"),
    "prev_lowest": Family(lambda w, n: _before(talib.MIN(w.low, n)), 20, "lowest low before this candle"),
}

# What every analyst is shown, and what the rules need.
STANDARD = (
    "rsi_14",
    "ema_20",
    "ema_50",
    "ema_200",
    "macd_hist",
    "bb_upper_20",
    "bb_lower_20",
    "atr_14",
    "natr_14",
    "adx_14",
    "plus_di_14",
    "minus_di_14",
    "volume_ratio_20",
    "change_pct_1",
    "highest_20",
    "lowest_20",
)


def parse(name: str) -> tuple[Family, int]:
    """
    The family and the period that a name means.

    :raises UnknownIndicator: if there is no such family, it takes no period, or the period is not 1 to 250
    """
    # A family's own name may end in a word that looks like nothing else ("stoch_k"), so the whole name is tried first.
    if family := FAMILIES.get(name):
        return family, family.period or 0
    match = NAME.match(name) if isinstance(name, str) else None
    family = FAMILIES.get(match[1]) if match else None
    if match is None or family is None:
        raise UnknownIndicator(f"indicator was {name!r}, known are {', '.join(FAMILIES)}")
    period = int(match[2] or family.period or 0)
    if family.period is None:
        raise UnknownIndicator(f"indicator was {name!r}, but {match[1]} takes no period")
    if not 1 <= period <= LONGEST_PERIOD:
        raise UnknownIndicator(f"indicator was {name!r}, its period must be 1 to {LONGEST_PERIOD}")
    return family, period


def compute(*, window: Window, names: Iterable[str]) -> dict[str, Reading]:
    """Each named indicator at the newest candle of the window and at the one before."""
    readings = {}
    for name in names:
        family, period = parse(name)
        # TA-Lib refuses a window shorter than its period; to the caller that is the same as "not yet known".
        values = family.compute(window, period) if len(window) > period else np.full(len(window), np.nan)
        readings[name] = Reading(current=_value(values, 1), previous=_value(values, 2))
    return readings


def _value(values: Array, back: int) -> float | None:
    if len(values) < back:
        return None
    value = float(values[-back])
    return value if np.isfinite(value) else None
