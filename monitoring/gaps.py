"""
Why a close had to be fetched instead of coming by the stream. Pure.

A quiet market and a dead feed look the same from the stream: nothing comes. The candle that REST has tells them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from monitoring import intervals
from monitoring.feed.contract import ClosedCandle

SILENT_MS = 30_000  # exchanges send something of a candle that is traded every 2 s or sooner


class Reason(StrEnum):
    """What the ledger and the pages say of a close that was fetched."""

    HISTORY = "history"  # from before the stream was followed: windows of indicators, an outage of the listener
    RECONNECT = "reconnect"  # the connection was not up when the candle closed
    LOST_FRAME = "lost_frame"  # the connection sent other frames, this one never or too late
    SILENT_FEED = "silent_feed"  # the connection was up and sent nothing, although there were trades
    QUIET_MARKET = "quiet_market"  # nothing was traded, and the exchange sends no frame for that


@dataclass(frozen=True)
class FeedSeen:
    """
    What a stream's connection looked like when a close was missed; moments in ms of the exchange's time.

    `live_since` is None while it is not up, `last_data` None if nothing has come since it is.
    """

    live_since_ms: int | None
    last_data_ms: int | None


def reason(candle: ClosedCandle, seen: FeedSeen) -> Reason:
    """Why this candle had to be fetched."""
    closed = intervals.close_time(open_time=candle.open_time, interval=candle.interval)
    if candle.volume == 0:
        return Reason.QUIET_MARKET
    if seen.live_since_ms is None or seen.live_since_ms > closed:
        return Reason.RECONNECT
    patience = min(SILENT_MS, intervals.length_ms(candle.interval) // 2)
    if seen.last_data_ms is None or seen.last_data_ms < closed - patience:
        return Reason.SILENT_FEED
    return Reason.LOST_FRAME
