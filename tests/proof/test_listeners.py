"""Listeners as real processes, on a day when everything fails and on one when one of two is killed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.soak import MINUTE, Soak
from tests.support.processes import wait_until
from tests.support.rig import Rig, cleaned_up

pytestmark = pytest.mark.proof


def test_ten_thousand_closes_while_everything_fails(tmp_path: Path) -> None:
    soak = Soak(closes=10_000, seed=20, data=tmp_path)
    with cleaned_up(soak.rig):
        result = soak.run()
    assert not result.failures, str(result)
    assert result.closes == 10_000
    assert result.kills, "something was killed"
    assert result.gaps["lost_frame"], "some closes had to be fetched"


def test_no_close_is_late_when_one_of_two_listeners_is_killed_as_it_happens(tmp_path: Path) -> None:
    listeners = ("listener 1", "listener 2")
    commands = {"exchange": ["run_simulated_exchange", "--port", "{port}", "--more-symbols", "50"]}
    rig = Rig(tmp_path, speed=10, commands={**commands, **{name: ["run_candle_listener"] for name in listeners}})
    received = """
        SELECT max(extract(epoch FROM received_at) * 1000 - open_time - 60000), count(*), count(*) FILTER (WHERE source = 'stream')
          FROM candles WHERE open_time = %s
    """
    with cleaned_up(rig):
        rig.python("manage.py", "migrate", "-v", "0")
        rig.python("-m", "tests.soak", "--prepare", "50")
        rig.start()

        def both_follow() -> bool:
            rows = rig.ask(
                "SELECT sum((state #>> '{markets,binance,connections}')::int) FROM heartbeats WHERE beat_at > now() - interval '5 s'"
            )
            return bool(rows) and rows[0][0] == 2

        def caught_up() -> bool:
            rows = rig.ask("SELECT count(*) FROM candles WHERE open_time >= %s", rig.app_ms() - 5 * MINUTE)
            return bool(rows) and rows[0][0] >= 4 * 50

        for number in range(4):
            wait_until(lambda: both_follow() and caught_up(), seconds=60, what="both listeners to follow")
            opened = rig.app_ms() - rig.app_ms() % MINUTE
            wait_until(lambda opened=opened: rig.app_ms() >= opened + MINUTE - 300, seconds=30, what="the second of the close")
            while rig.app_ms() < opened + MINUTE:
                time.sleep(0.001)
            rig.kill(listeners[number % 2])
            wait_until(lambda opened=opened: rig.ask(received, opened)[0][1] == 50, seconds=10, what="all closes")
            [(latest_ms, _, streamed)] = rig.ask(received, opened)
            assert streamed == 50
            assert float(latest_ms) / rig.speed <= 250, (
                f"close {number}: the last of 50 came {float(latest_ms) / rig.speed:.0f} ms after it"
            )
            rig.keep_running()
        began = time.monotonic()
        rig.processes[listeners[0]].terminate()
        assert rig.processes[listeners[0]].wait(10) == 0
        assert time.monotonic() - began < 5
