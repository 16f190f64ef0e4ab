"""
What a market adapter gives and takes. Pure.

FeedError
  BadFrame         a message of the stream, or a REST row, that is not what the exchange documents
  NotSupported     a market for which there is no adapter
  RestError
    RestRefused    the exchange understood and said no (unknown symbol, wrong interval)
    RestLimited    too many requests; `retry_after_s` says how long to be quiet
      RestNotAsked the same, known before the call was made
    RestDown       no answer, or one that is the server's fault
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from monitoring import intervals

Stream = tuple[str, str]  # symbol, interval
MARKETS = ("binance", "binance_futures", "bybit", "bybit_spot", "okx", "polymarket")


class FeedError(Exception):
    """The feed can't be followed as asked."""


class BadFrame(FeedError):
    """A message that is not what the exchange documents."""


class NotSupported(FeedError):
    """A market for which there is no adapter."""


class RestError(FeedError):
    """A REST call that gave no candles."""


class RestRefused(RestError):
    """The exchange understood the call and refused it."""


class RestLimited(RestError):
    """The exchange asks for silence."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RestNotAsked(RestLimited):
    """The exchange has asked for silence before, and this call was not made."""


class RestDown(RestError):
    """No answer, or one that is the server's fault."""


@dataclass(frozen=True)
class ClosedCandle:
    """A candle that the exchange has closed. Times in ms; prices in quote; volume in base, `quote_volume` in quote."""

    market: str
    symbol: str
    interval: str
    open_time: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    trades: int

    def __post_init__(self) -> None:
        """:raises BadFrame: if it can't be a candle: not aligned, not finite, not positive, or out of order"""
        prices = (self.open, self.high, self.low, self.close)
        if not all(number.is_finite() and abs(number.adjusted()) < 20 for number in (*prices, self.volume, self.quote_volume)):
            raise BadFrame("a number is not finite or out of all bounds")
        if min(prices) <= 0 or self.low != min(prices) or self.high != max(prices):
            raise BadFrame(f"prices are out of order: open {self.open} high {self.high} low {self.low} close {self.close}")
        if self.volume < 0 or self.quote_volume < 0 or self.trades < 0:
            raise BadFrame("a volume or the number of trades is negative")
        if self.open_time <= 0 or self.open_time % intervals.length_ms(self.interval):
            raise BadFrame(f"open time {self.open_time} does not begin a candle of {self.interval}")


@dataclass(frozen=True)
class FormingCandle:
    """A candle that is still open, as it stands; never judged, only shown. Open time in ms, prices in quote."""

    symbol: str
    interval: str
    open_time: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal

    def __post_init__(self) -> None:
        """:raises BadFrame: if a price is not finite or not positive"""
        if not all(price.is_finite() and price > 0 for price in (self.open, self.high, self.low, self.close)):
            raise BadFrame("a price is not finite or not positive")


@dataclass(frozen=True)
class Quote:
    """The best bid and ask of a symbol at a moment in ms; None where a side is empty."""

    symbol: str
    at_ms: int
    bid: Decimal | None
    ask: Decimal | None


@dataclass(frozen=True)
class Trade:
    """A trade at a moment in ms; size in base."""

    symbol: str
    at_ms: int
    price: Decimal
    size: Decimal


Tick = Quote | Trade


@dataclass(frozen=True)
class InstrumentInfo:
    """A symbol and the filters its orders must pass."""

    symbol: str
    base: str
    quote: str
    tick_size: Decimal
    step_size: Decimal
    min_quantity: Decimal
    min_notional: Decimal
    is_trading: bool


@dataclass(frozen=True)
class Limits:
    """
    What the exchange allows: on one connection, in connecting, and over REST.

    `connects` may be begun in `connects_within_s`; a connection is cut after `lifetime_s` (None: it is not).
    `weight_header` of REST answers tells what was used of `weight_per_minute`.
    """

    streams_per_connection: int
    messages_per_second: int
    streams_per_message: int
    rows_per_call: int
    connects: int
    connects_within_s: float
    lifetime_s: float | None = None
    weight_header: str = ""
    weight_per_minute: int = 0


@dataclass(frozen=True)
class Notice:
    """Something the exchange says of the connection itself: that it is about to close it, or that it refuses what was asked."""

    text: str
    leaving: bool = False


@dataclass(frozen=True)
class RestCall:
    """A GET relative to an address of the market: that of its REST API, or of its catalog of instruments."""

    path: str
    query: Mapping[str, str | int]
    api: str = "rest"


class Adapter(Protocol):
    """One market's wire format. Adding a market is one module with these and a line in the registry."""

    market: str
    sends_candles: bool
    """Whether closed candles come by the stream; else they are built from its `ticks`."""
    limits: Limits
    marks: tuple[bytes, ...]
    """Byte patterns one of which every message with a closed candle bears, or a notice of 126 bytes or more; others of that length
    are never looked at."""
    keepalive: str | None
    """What the client has to send every `keepalive_s` by itself; None where answering pings is enough."""
    keepalive_s: float
    time_resolution_ms: int

    def stream_url(self, base: str) -> str:
        """The address to connect to, given the market's stream base address."""

    def channels(self, streams: Iterable[Stream]) -> frozenset[Stream]:
        """What has to be subscribed to for these streams; where one channel serves all intervals, its interval is empty."""

    def subscribe(self, streams: Sequence[Stream], *, request_id: int) -> str:
        """The message that subscribes to channels; `request_id` counts from 1 on each connection."""

    def unsubscribe(self, streams: Sequence[Stream], *, request_id: int) -> str:
        """The message that ends them."""

    def ticks(self, frame: bytes) -> list[Tick]:
        """The quotes and trades of a frame, of a venue that sends no candles. :raises BadFrame: if it is not as documented"""

    def closed_candles(self, frame: bytes) -> list[ClosedCandle]:
        """The closed candles of a frame; none of anything else the exchange sends. :raises BadFrame: if it is neither"""

    def notice(self, frame: bytes) -> Notice | None:
        """What a frame without candles says of the connection, if anything."""

    def candles_call(self, *, symbol: str, interval: str, start: int, limit: int) -> RestCall:
        """The call for up to `limit` candles from open time `start` (ms) on, oldest first."""

    def candles(self, body: Any, *, symbol: str, interval: str, now_ms: int) -> list[ClosedCandle]:
        """The closed candles of such an answer, oldest first; one still open is left out."""

    def newest_row(self, body: Any) -> Sequence[Any] | None:
        """Open time and four prices, as they were sent, of the newest row of such an answer; None where a venue gives no such rows."""

    def time_call(self) -> RestCall:
        """The call for the exchange's own time."""

    def time_ms(self, body: Any) -> int:
        """The time (ms) of such an answer. :raises BadFrame:"""

    def instruments_call(self) -> RestCall:
        """The call for all symbols of the market."""

    def instruments(self, body: Any) -> list[InstrumentInfo]:
        """The symbols of such an answer."""


class CandleVenue:
    """What adapters of venues that send closed candles have in common."""

    sends_candles = True
    time_resolution_ms = 1

    def channels(self, streams: Iterable[Stream]) -> frozenset[Stream]:
        """Each stream is a channel of its own."""
        return frozenset(streams)

    def ticks(self, frame: bytes) -> list[Tick]:
        """None: candles are not built here."""
        return []
