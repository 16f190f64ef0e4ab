"""
The candle that is still forming, for pages alone: a chart shows it in grey, and no decision ever sees it.

It is asked of the exchange when a page wants it and never stored. However many pages are open, each stream is asked for once in a
while, and only by one of them at a time: the others get what is known.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field

from django.conf import settings

from monitoring import intervals
from monitoring.feed.contract import FeedError, FormingCandle
from monitoring.feed.rest import RestClient

logger = logging.getLogger(__name__)

SOONEST_S, LOOKS_A_CANDLE = 0.5, 6
FORGOTTEN_AFTER_S = 120.0  # real time since a page last wanted the stream


@dataclass
class _Stream:
    asked: float = 0.0
    candle: FormingCandle | None = None


@dataclass
class _Market:
    client: RestClient
    busy: threading.Lock = field(default_factory=threading.Lock)
    streams: dict[tuple[str, str], _Stream] = field(default_factory=dict)


_markets: dict[str, _Market] = {}
_making = threading.Lock()


def read(*, market: str, symbol: str, interval: str) -> FormingCandle | None:
    """The newest that is known of the candle, asked for when that is old; None when the exchange does not tell, or none is to be shown."""
    every = every_s(interval)
    if not every:
        return None
    place = _market(market)
    known = place.streams.get((symbol, interval)) or _Stream()
    if time.monotonic() - known.asked < every or not place.busy.acquire(blocking=False):
        return known.candle
    try:
        known = _Stream(time.monotonic(), _ask(place.client, symbol=symbol, interval=interval))
        place.streams = {key: stream for key, stream in place.streams.items() if known.asked - stream.asked < FORGOTTEN_AFTER_S}
        place.streams[symbol, interval] = known
    finally:
        place.busy.release()
    return known.candle


def every_s(interval: str) -> float:
    """How often (real seconds) it is asked for at most: as the settings say, and some times in the life of a candle. 0: never."""
    life_s = intervals.length_ms(interval) / 1000 / float(settings.CLOCK_SPEED)
    return min(float(settings.FORMING_CANDLE_SECONDS), max(SOONEST_S, life_s / LOOKS_A_CANDLE))


def _ask(client: RestClient, *, symbol: str, interval: str) -> FormingCandle | None:
    try:
        return client.forming(symbol=symbol, interval=interval)
    except FeedError as error:
        logger.info("the forming candle of %s %s is not known: %s", symbol, interval, error)
        return None


def _market(name: str) -> _Market:
    with _making:
        if name not in _markets:
            _markets[name] = _Market(RestClient(market=name, read_timeout_s=settings.FORMING_CANDLE_SECONDS))
        return _markets[name]
