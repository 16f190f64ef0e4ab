"""What is watched by whom: shards, markets that nobody follows, and what the pages and Prometheus say of it."""

from __future__ import annotations

import pytest
from django.test import Client

from desk import attention
from monitoring import coverage, heartbeats, watchlist
from monitoring.coverage import Unfollowed
from monitoring.models import WorkflowRun
from monitoring.watchlist import Shard
from tests.support.clocks import SteppingClock
from tests.support.factories import make_schedule, make_trader
from tests.support.trading import TradingDesk

pytestmark = pytest.mark.django_db
STREAMS = [(f"S{n}USDT", "1m") for n in range(500)]


def listener(instance: str, *, market: str = "binance", shard: tuple[int, int] = (1, 1), **numbers: object) -> None:
    """A listener that has just said that it is alive."""
    state = {"streams": 5, "connections": 1, "gaps": {"lost_frame": 3}, "troubled": [], **numbers}
    heartbeats.beat(
        kind="listener", instance=instance, state={"shard": list(shard), "markets": {market: state}, "last_close": {"lag_s": 0.05}}
    )


class TestShards:
    @pytest.mark.parametrize("count", [1, 2, 3, 7])
    def test_every_stream_belongs_to_exactly_one(self, count: int) -> None:
        shards = [Shard(index, count) for index in range(1, count + 1)]
        owners = [sum(shard.has("binance", stream) for shard in shards) for stream in STREAMS]
        assert set(owners) == {1}
        sizes = [sum(shard.has("binance", stream) for stream in STREAMS) for shard in shards]
        assert min(sizes) > 500 / count / 2, "no shard is much smaller than the others"

    @pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "a/b", "1/0", "-1/2"])
    def test_nonsense_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="1/4"):
            Shard.parse(text)

    def test_a_listener_wants_only_its_own(self) -> None:
        make_trader(symbols=[symbol for symbol, _ in STREAMS[:20]], interval="1m")
        parts = [watchlist.wanted(shard=Shard(index, 2)).get("binance", {}) for index in (1, 2)]
        assert set(parts[0]) | set(parts[1]) == set(STREAMS[:20])
        assert not set(parts[0]) & set(parts[1])


class TestCoverage:
    def test_a_market_that_nobody_follows_is_named_with_its_traders(self) -> None:
        make_trader(name="here")
        schedule = make_schedule(make_trader(name="there", market="okx", symbols=["BTC-USDT-SWAP"], state="paused"))
        assert schedule.market == "okx"
        listener("a")
        assert coverage.unfollowed() == [Unfollowed("okx", ["there"])]
        [item] = attention.read(speed=1.0)
        assert (item["title"], item["off"]) == ("okx", True)
        assert "there" in item["text"]

    def test_all_shards_are_needed(self) -> None:
        make_trader()
        listener("a", shard=(1, 2))
        assert [missing.market for missing in coverage.unfollowed()] == ["binance"]
        listener("b", shard=(2, 2), streams=0)
        assert coverage.unfollowed() == [], "the second follows it too, and has no stream of it"

    def test_without_a_listener_everything_is_unfollowed(self) -> None:
        make_trader()
        assert [missing.market for missing in coverage.unfollowed()] == ["binance"]


class TestAttention:
    def test_a_wrong_clock_and_gaps_that_stay_open_are_named(self) -> None:
        listener("a", offset_ms=-90_000, offset_error_ms=20, troubled=["BTCUSDT 1m", "ETHUSDT 1m"], troubled_count=7)
        texts = [item["text"] for item in attention.read(speed=1.0)]
        assert texts == ["the clock of a is 90.0 s off", "gaps can't be fetched: BTCUSDT 1m and 6 more"]

    def test_a_position_without_a_resting_stop_is_named_first(self, clock: SteppingClock) -> None:
        desk = TradingDesk(clock)
        listener("a")
        position = desk.open()
        assert attention.read(speed=1.0) == []
        position.orders.filter(leg="stop").update(status="canceled")
        [item] = attention.read(speed=1.0)
        assert (item["title"], item["url"], item["off"]) == ("BTCUSDT", f"/positions/{position.id}/", True)

    def test_decisions_that_came_too_late_are_counted(self, clock: SteppingClock) -> None:
        schedule = make_schedule(make_trader())
        listener("a")
        for number in range(3):
            WorkflowRun.objects.create(schedule=schedule, candle_time=number, status="late", finished_at=clock.now, created_at=clock.now)
        assert [item["tail"] for item in attention.read(speed=1.0)] == ["3 late"]
        clock.forward(seconds=3600)
        assert attention.read(speed=1.0) == []

    def test_a_scaled_clock_is_judged_in_real_time(self) -> None:
        listener("a", offset_ms=900, offset_error_ms=20)
        assert attention.read(speed=60.0) == []


def test_prometheus_is_told_of_each_market(client: Client) -> None:
    listener("host:1", frames=12_000, closes=30, offset_ms=4, last_frame_age_s=0.2)
    text = client.get("/metrics").content.decode()
    assert 'candle_desk_market_frames_total{instance="host:1",market="binance"} 12000.0' in text
    assert 'candle_desk_market_gaps_filled_total{instance="host:1",market="binance",reason="lost_frame"} 3.0' in text
    assert 'candle_desk_listener_last_close_lag_seconds{instance="host:1"} 0.05' in text
    assert "candle_desk_queue_depth 0.0" in text
