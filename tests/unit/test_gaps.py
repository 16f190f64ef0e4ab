"""Why a close had to be fetched: a quiet market and a dead feed told apart."""

from __future__ import annotations

from decimal import Decimal

import pytest

from monitoring import gaps
from monitoring.gaps import FeedSeen, Reason
from tests.support.clocks import START_MS
from tests.support.factories import candle

LENGTH = 300_000
CLOSED = START_MS + LENGTH
LONG_AGO = START_MS - 10 * LENGTH


@pytest.mark.parametrize(
    ("live_since", "last_data", "volume", "expected"),
    [
        (LONG_AGO, CLOSED - 2_000, "10", Reason.LOST_FRAME),
        (LONG_AGO, CLOSED + 1_000, "10", Reason.LOST_FRAME),
        (LONG_AGO, CLOSED - 31_000, "10", Reason.SILENT_FEED),
        (LONG_AGO, None, "10", Reason.SILENT_FEED),
        (LONG_AGO, LONG_AGO, "0", Reason.QUIET_MARKET),
        (CLOSED + 1, CLOSED + 2, "10", Reason.RECONNECT),
        (None, CLOSED - 1, "10", Reason.RECONNECT),
    ],
)
def test_reasons(live_since: int | None, last_data: int | None, volume: str, expected: Reason) -> None:
    assert gaps.reason(candle(open_time=START_MS, volume=Decimal(volume)), FeedSeen(live_since, last_data)) is expected
