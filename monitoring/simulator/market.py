"""
Seeded prices and volumes that depend only on (seed, symbol, time). Pure.

The logarithm of a price is a sum of smooth noises of doubling periods, from seconds to weeks, each a hash of
(seed, symbol, period, place). Any moment can be computed by itself, so that a restart revises nothing and
history reaches back as far as anybody asks. A slower noise scales the fast ones, which makes calm and wild
regimes; the slow ones make trends.

Trades happen on a grid of 5 seconds. Every candle, of whatever interval, is built from that grid, so a 5-minute
candle agrees with its five 1-minute candles. Prices are whole ticks and volumes whole steps.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

GRID_MS = 5_000
OCTAVES = 18  # 10 s doubled 17 times: periods up to 15 days
FAST_OCTAVES = 9  # up to 43 minutes: these feel the regime
CHUNK, CHUNKS_KEPT = 4_096, 1_024  # grid points computed and kept together; each chunk is 64 KiB
LARGEST_BLOCK = 500_000  # grid points computed at once, to bound the memory of a long request
REGIME_PERIOD_MS = 4 * 3_600_000


@dataclass(frozen=True)
class Listing:
    """A symbol of the simulated exchange. `minute_pct` is the usual move in a minute, in percent."""

    symbol: str
    base: str
    quote: str
    price: float
    tick: Decimal
    step: Decimal
    volume: float  # base per grid point
    minute_pct: float


def _listing(base: str, price: float, tick: str, step: str, *usual: float) -> Listing:
    """`usual` is the turnover of a minute in quote, and the move of a minute in percent."""
    turnover, minute_pct = usual
    return Listing(f"{base}USDT", base, "USDT", price, Decimal(tick), Decimal(step), turnover / price / 12, minute_pct)


LISTINGS = {
    listing.symbol: listing
    for listing in (
        _listing("BTC", 64_000, "0.01", "0.00001", 900_000, 0.05),
        _listing("ETH", 3_100, "0.01", "0.0001", 600_000, 0.06),
        _listing("SOL", 150, "0.01", "0.001", 300_000, 0.09),
        _listing("BNB", 580, "0.1", "0.001", 150_000, 0.06),
        _listing("XRP", 0.55, "0.0001", "0.1", 140_000, 0.08),
        _listing("DOGE", 0.12, "0.00001", "1", 130_000, 0.11),
        _listing("ADA", 0.45, "0.0001", "0.1", 70_000, 0.09),
        _listing("AVAX", 28, "0.01", "0.01", 60_000, 0.10),
        _listing("LINK", 14, "0.01", "0.01", 55_000, 0.10),
        _listing("DOT", 6.2, "0.001", "0.01", 40_000, 0.09),
        _listing("LTC", 82, "0.01", "0.001", 45_000, 0.08),
        _listing("TRX", 0.13, "0.00001", "0.1", 35_000, 0.06),
        _listing("UNI", 9.5, "0.001", "0.01", 30_000, 0.11),
        _listing("ATOM", 7.1, "0.001", "0.01", 28_000, 0.10),
        _listing("NEAR", 5.3, "0.001", "0.1", 33_000, 0.12),
        _listing("APT", 8.4, "0.001", "0.01", 30_000, 0.12),
        _listing("ARB", 0.95, "0.0001", "0.1", 32_000, 0.12),
        _listing("OP", 1.9, "0.001", "0.01", 30_000, 0.13),
        _listing("FIL", 5.0, "0.001", "0.01", 25_000, 0.11),
        _listing("INJ", 24, "0.01", "0.01", 27_000, 0.13),
        _listing("SUI", 1.4, "0.0001", "0.1", 40_000, 0.14),
        _listing("AAVE", 130, "0.01", "0.001", 20_000, 0.11),
        _listing("PEPE", 0.00001, "0.00000001", "1", 60_000, 0.16),
        _listing("ETC", 25, "0.01", "0.01", 20_000, 0.10),
    )
}


@dataclass(frozen=True)
class Candles:
    """Rows of candles, oldest first. Prices in whole ticks, volume in whole steps, `quote` in ticks x steps."""

    listing: Listing
    open_time: Integers
    open: Integers
    high: Integers
    low: Integers
    close: Integers
    volume: Integers
    quote: list[int]
    trades: Integers

    def __len__(self) -> int:
        return len(self.open_time)


def listings(*, more: int = 0) -> dict[str, Listing]:
    """The usual symbols, and as many others as are asked for: SIM0000USDT, SIM0001USDT, …"""
    others = (_listing(f"SIM{n:04}", 10 + n % 90, "0.001", "0.01", 30_000, 0.08 + n % 7 / 100) for n in range(more))
    return LISTINGS | {listing.symbol: listing for listing in others}


class Market:
    """The prices of one seed."""

    def __init__(self, *, seed: int, listings: Mapping[str, Listing] = LISTINGS) -> None:
        self.seed, self.listings = seed, listings
        self._grid = lru_cache(maxsize=CHUNKS_KEPT)(self._compute_grid)

    def candles(self, *, symbol: str, start: int, length_ms: int, count: int, until: int | None = None) -> Candles:
        """
        `count` candles of `length_ms` from open time `start` (ms) on.

        With `until` (ms) nothing that happens later is seen: the last candle is as it stood then.
        """
        listing = self.listings[symbol]
        per_candle = length_ms // GRID_MS
        rows_at_once = max(1, LARGEST_BLOCK // per_candle)
        blocks = [
            self._block(listing, start + done * length_ms, length_ms, min(rows_at_once, count - done), until)
            for done in range(0, count, rows_at_once)
        ]
        columns = [np.concatenate(column) for column in zip(*blocks, strict=True)]
        open_time, opened, high, low, close, volume, trades, quote = columns
        return Candles(listing, open_time, opened, high, low, close, volume, [int(q) for q in quote], trades)

    def price(self, *, symbol: str, at_ms: int) -> Decimal:
        """The last traded price at a moment."""
        listing = self.listings[symbol]
        ticks, _ = self._points(listing, at_ms // GRID_MS, 1)
        return int(ticks[0]) * listing.tick

    def _block(self, listing: Listing, start: int, length_ms: int, count: int, until: int | None) -> tuple[Integers, ...]:
        per_candle = length_ms // GRID_MS
        slots = count * per_candle
        ticks, volume = self._points(listing, start // GRID_MS, slots)
        if until is not None and (seen := max(0, (until - start) // GRID_MS)) < slots:
            ticks[seen + 1 :] = ticks[seen]
            volume[seen:] = 0
        # A candle's points are its own grid points and the first of the next, where it closes.
        points = np.lib.stride_tricks.sliding_window_view(ticks, per_candle + 1)[::per_candle]
        trades = np.where(volume > 0, 1 + volume % 37, 0).astype(np.int64)
        quote = volume.astype(object) * ticks[:-1].astype(object)  # exact: the product may pass 64 bits
        shape = (count, per_candle)
        return (
            start + length_ms * np.arange(count, dtype=np.int64),
            points[:, 0],
            points.max(axis=1),
            points.min(axis=1),
            points[:, -1],
            volume.reshape(shape).sum(axis=1),
            trades.reshape(shape).sum(axis=1),
            quote.reshape(shape).sum(axis=1),
        )

    def _points(self, listing: Listing, first: int, slots: int) -> tuple[Integers, Integers]:
        """Prices in ticks at `slots` + 1 points from grid point `first` on, and the volume of each slot between them."""
        last = first + slots
        ticks, volume = np.empty(slots + 1, dtype=np.int64), np.empty(slots, dtype=np.int64)
        for chunk in range(first // CHUNK, (last - 1) // CHUNK + 1):
            begin = chunk * CHUNK
            known_ticks, known_volume = self._grid(listing, chunk)
            low, high = max(first, begin), min(last, begin + CHUNK)
            ticks[low - first : high - first + 1] = known_ticks[low - begin : high - begin + 1]
            volume[low - first : high - first] = known_volume[low - begin : high - begin]
        return ticks, volume

    def _compute_grid(self, listing: Listing, chunk: int) -> tuple[Integers, Integers]:
        """Of CHUNK slots: the prices at their ends, and their volumes. Kept, since many candles are cut from the same points."""
        times = GRID_MS * (chunk * CHUNK + np.arange(CHUNK + 1, dtype=np.int64))
        ticks = self._ticks(listing, times)
        moved = np.abs(np.diff(np.log(ticks.astype(np.float64))))
        return ticks, self._volume(listing, times[:-1], moved).astype(np.int64)

    def _ticks(self, listing: Listing, times: Integers) -> Integers:
        unit = listing.minute_pct / 100 / 2.2  # in a calm regime the usual 1-minute move is then about `minute_pct`
        regime = np.exp(0.7 * self._noise(listing, 100, REGIME_PERIOD_MS, times))
        log_price = np.zeros(len(times))
        for octave in range(OCTAVES):
            period = 10_000 * 2**octave
            wave = self._noise(listing, octave, period, times) * unit * (period / 60_000) ** 0.5
            log_price += wave * regime if octave < FAST_OCTAVES else wave
        ticks = np.rint(listing.price * np.exp(log_price) / float(listing.tick))
        return np.maximum(ticks, 1).astype(np.int64)

    def _volume(self, listing: Listing, times: Integers, moved: Floats) -> Floats:
        mood = np.exp(0.6 * self._noise(listing, 200, 600_000, times) + 0.5 * self._noise(listing, 201, GRID_MS, times))
        excited = 1 + moved / (listing.minute_pct / 100) * 2
        return np.maximum(np.rint(listing.volume * mood * excited / float(listing.step)), 1)

    def _noise(self, listing: Listing, octave: int, period_ms: int, times: Integers) -> Floats:
        """Smooth noise of about unit variance: hashed values at multiples of the period, eased in between."""
        place, rest = np.divmod(times, period_ms)
        key = np.uint64((zlib.crc32(listing.symbol.encode()) << 20) ^ (self.seed << 8) ^ octave)
        left, right = _gauss(place, key), _gauss(place + 1, key)
        part = rest / period_ms
        eased = part * part * (3 - 2 * part)
        return left + (right - left) * eased


def _gauss(place: Integers, key: np.uint64) -> Floats:
    """A nearly normal number for each place: the sum of four 16-bit pieces of a hash, centred and scaled."""
    hashed = _mix(place.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ _mix(np.array([key], dtype=np.uint64)))
    pieces = np.zeros(len(place), dtype=np.float64)
    for shift in (0, 16, 32, 48):
        pieces += ((hashed >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.float64)
    return (pieces / 65_536 - 2) * 3**0.5


def _mix(value: Hashes) -> Hashes:
    """The finalizer of SplitMix64 (Steele, Lea, Flood 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
