"""Candles that we do not keep, fetched from the exchange for one run: so that a draft can be tried on any symbol."""

from __future__ import annotations

import logging

import numpy as np

from monitoring import intervals
from monitoring.candles import CandleKey, Hole
from monitoring.feed.contract import ClosedCandle, FeedError
from monitoring.feed.rest import RestClient
from monitoring.indicators import WINDOW, Window

logger = logging.getLogger(__name__)


def window_from_exchange(key: CandleKey) -> Window | Hole:
    """The window that ends with a close, or why the exchange does not give it."""
    length = intervals.length_ms(key.interval)
    try:
        pages = RestClient(market=key.market).candles(
            symbol=key.symbol, interval=key.interval, start=key.open_time - (WINDOW - 1) * length, end=key.open_time
        )
        found = [candle for page in pages for candle in page]
    except (FeedError, OSError) as error:
        logger.info("%s %s %s can't be fetched: %s", key.market, key.symbol, key.interval, error)
        return Hole(f"the exchange does not give it: {error}"[:300])
    if not found or found[-1].open_time != key.open_time:
        return Hole("the exchange does not have the candle itself")
    return _window(found)


def _window(found: list[ClosedCandle]) -> Window:
    columns = [np.array([float(getattr(candle, name)) for candle in found]) for name in ("open", "high", "low", "close", "volume")]
    return Window(np.array([candle.open_time for candle in found], dtype=np.int64), *columns)
