"""
Candles from quotes and trades, for a venue that sends none. Pure.

The price of a token is the middle of the best bid and ask; where they are far apart, or one is missing, it is that of
the last trade, as Polymarket shows it. A candle is closed by the clock, a little after its end, so that what was on its
way gets in; what comes later still is left out, for a closed candle never changes. In an interval in which nothing
happened the price stood still, and so does the candle.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from monitoring import intervals

from .contract import ClosedCandle, Stream, Tick, Trade

WIDEST_SPREAD = Decimal("0.10")


@dataclass
class _Price:
    """What is known of a token."""

    bid: Decimal | None = None
    ask: Decimal | None = None
    traded: Decimal | None = None

    def take(self, tick: Tick) -> None:
        if isinstance(tick, Trade):
            self.traded = tick.price
        else:
            self.bid, self.ask = tick.bid, tick.ask

    @property
    def value(self) -> Decimal | None:
        """The price, or None while none is known; zero is none."""
        if self.bid is not None and self.ask is not None and self.ask - self.bid <= WIDEST_SPREAD:
            return (self.bid + self.ask) / 2 or None
        return self.traded or None


@dataclass
class _Bucket:
    """What happened in one interval."""

    prices: list[Decimal] = field(default_factory=list)  # lowest, highest, last
    volume: Decimal = Decimal(0)
    quote_volume: Decimal = Decimal(0)
    trades: int = 0

    def take(self, tick: Tick, price: Decimal) -> None:
        self.prices = [min(price, *self.prices[:1]), max(price, *self.prices[1:2]), price] if self.prices else [price] * 3
        if isinstance(tick, Trade):
            self.volume += tick.size
            self.quote_volume += tick.size * tick.price
            self.trades += 1


@dataclass
class _Forming:
    """`opens` is the open time (ms) of the candle that is closed next, `last` the price before it."""

    opens: int
    last: Decimal
    buckets: dict[int, _Bucket] = field(default_factory=dict)


class CandleBuilder:
    """The forming candles of all streams of one market."""

    def __init__(self, *, market: str) -> None:
        self._market = market
        self._prices: dict[str, _Price] = {}
        self._forming: dict[Stream, _Forming | None] = {}

    def want(self, streams: Iterable[Stream]) -> None:
        """Build candles of exactly these from now on, each from its first whole interval on."""
        self._forming = {stream: self._forming.get(stream) for stream in streams}
        self._prices = {symbol: self._prices.get(symbol, _Price()) for symbol, _ in self._forming}

    def forget(self) -> None:
        """The connection was lost: until prices come again nobody knows what happens, so no candle of that time is built."""
        self._prices = {symbol: _Price() for symbol in self._prices}
        self._forming = dict.fromkeys(self._forming)

    def take(self, tick: Tick) -> None:
        """Take in a quote or a trade."""
        if (known := self._prices.get(tick.symbol)) is None:
            return
        known.take(tick)
        if (price := known.value) is None:
            return
        for stream, forming in self._forming.items():
            if stream[0] != tick.symbol:
                continue
            length = intervals.length_ms(stream[1])
            opened = tick.at_ms - tick.at_ms % length
            if forming is None:  # the price comes to be known within this interval: the first whole one is the next
                self._forming[stream] = _Forming(opened + length, price)
            elif opened < forming.opens:
                forming.last = price
            else:
                forming.buckets.setdefault(opened, _Bucket()).take(tick, price)

    def due(self, *, now_ms: int, grace_ms: int) -> list[ClosedCandle]:
        """Candles whose end, plus the grace, has passed."""
        closed = []
        for stream, forming in self._forming.items():
            length = intervals.length_ms(stream[1])
            while forming is not None and forming.opens + length + grace_ms <= now_ms:
                closed.append(self._close(stream, forming))
                forming.opens += length
        return closed

    def _close(self, stream: Stream, forming: _Forming) -> ClosedCandle:
        bucket, opened = forming.buckets.pop(forming.opens, _Bucket()), forming.last
        low, high, last = bucket.prices or [opened] * 3
        forming.last = last
        prices = (opened, max(opened, high), min(opened, low), last)
        return ClosedCandle(self._market, *stream, forming.opens, *prices, bucket.volume, bucket.quote_volume, bucket.trades)
