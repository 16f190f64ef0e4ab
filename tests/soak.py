"""
A soak of the path from the exchange to the ledger: `python -m tests.soak --closes 1000000 --seed 1`.

A simulated exchange that loses, delays, repeats, revises and garbles frames, cuts and freezes connections and fails
over REST; two listeners that are killed, a PostgreSQL that is killed, and workers, all of them real processes. At the
end every close is looked up: its candle must be what the exchange closed, and its workflow must have one outcome.

What the exchange does follows from the seed and from the candle; run a seed again to see the same closes go wrong.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitoring.simulator.faults import FaultPlan, Variant
from monitoring.simulator.market import Market, listings
from tests.support.processes import wait_until
from tests.support.rig import Rig, cleaned_up

MINUTE = 60_000
LISTENERS = ("listener 1", "listener 2")

CANDLES = "SELECT symbol, open_time, open, high, low, close, volume, source, gap FROM candles WHERE open_time BETWEEN %s AND %s"
RUNS = """
SELECT s.symbol, r.candle_time, r.status, r.reason, r.gap, coalesce(r.claimed_at < to_timestamp((r.candle_time + 60000) / 1000.0), false)
  FROM workflow_runs r JOIN workflow_schedules s ON s.id = r.schedule_id WHERE r.candle_time BETWEEN %s AND %s
"""
TWICE = "SELECT count(*) FROM (SELECT 1 FROM signal_analyses GROUP BY signal_id, kind, candle_time HAVING count(*) > 1) t"
DECIDED = "SELECT count(*) FROM signal_analyses WHERE candle_time BETWEEN %s AND %s"


@dataclass
class Result:
    """What was found. `failures` is empty when every promise was kept."""

    seed: int
    closes: int
    minutes: float
    outcomes: Counter[str] = field(default_factory=Counter)
    gaps: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    failures: dict[str, list[Any]] = field(default_factory=dict)

    def fail(self, what: str, item: Any) -> None:
        self.failures.setdefault(what, []).append(item)

    def __str__(self) -> str:
        def told(counter: Counter[str]) -> str:
            return ", ".join(f"{count:,} {name or 'by the stream'}" for name, count in counter.most_common())

        lines = [
            f"seed {self.seed}: {self.closes:,} closes in {self.minutes:.1f} minutes",
            f"  closing frames that went wrong: {told(self.faults)}",
            f"  killed: {told(self.kills)}",
            f"  how the closes came: {told(self.gaps)}",
            f"  outcomes in the ledger: {told(self.outcomes)}",
        ]
        for what in ("missing", "acted on twice", "acted on unclosed", "not what the exchange closed", "gap without a label"):
            found = self.failures.get(what, [])
            lines.append(f"  {what}: {len(found)}{f', such as {found[:3]}' if found else ''}")
        return "\n".join(lines)


class Soak:
    """One run in a folder of its own."""

    def __init__(self, *, closes: int, seed: int, data: Path, symbols: int = 400, speed: int = 30) -> None:
        self.symbols = [f"SIM{n:04}USDT" for n in range(symbols)]
        self.seed = seed
        self.candles = -(-closes // symbols)
        self._random = random.Random(seed)
        exchange = ["run_simulated_exchange", "--port", "{port}", "--seed", str(seed), "--faults", str(seed)]
        commands = {
            "exchange": [*exchange, "--more-symbols", str(symbols), "--update-ms", "20000"],
            **{name: ["run_candle_listener"] for name in LISTENERS},
            "workers": ["qcluster"],
        }
        self.rig = Rig(data, speed=speed, commands=commands)

    def run(self) -> Result:
        """Start everything, let it run through the closes and look. Stopping is the caller's."""
        self.rig.python("manage.py", "migrate", "-v", "0")
        self.rig.python("-m", "tests.soak", "--prepare", str(len(self.symbols)))
        began = time.monotonic()
        kills: Counter[str] = Counter()
        self.rig.start()
        first = wait_until(self._first_close, seconds=120, what="the first close")
        last = first + (self.candles - 1) * MINUTE
        self._trouble_until(last, kills)
        wait_until(lambda: self._is_settled(first, last), seconds=120, what="the last closes to be accounted for")
        return self._look(first, last, (time.monotonic() - began) / 60, kills)

    def _trouble_until(self, last: int, kills: Counter[str]) -> None:
        """Kill something every few seconds until the last close has happened."""
        next_kill = time.monotonic() + 3
        while (self._newest() or 0) < last:
            self.rig.keep_running()
            if time.monotonic() >= next_kill:
                victim = self._random.choice((*LISTENERS, *LISTENERS, *LISTENERS, "workers", "PostgreSQL"))
                kills[victim] += 1
                self.rig.kill(victim)
                next_kill = time.monotonic() + self._random.uniform(3, 12)
            time.sleep(0.2)

    def _newest(self) -> int | None:
        rows = self.rig.ask("SELECT max(open_time) FROM candles")
        return rows[0][0] if rows else None

    def _first_close(self) -> int | None:
        """The first candle that every workflow is owed."""
        rows = self.rig.ask("SELECT (extract(epoch FROM max(started_at)) * 1000)::bigint FROM workflow_schedules HAVING count(*) > 0")
        first = rows[0][0] - rows[0][0] % MINUTE if rows else None
        return first if first and (self._newest() or 0) >= first else None

    def _is_settled(self, first: int, last: int) -> bool:
        self.rig.keep_running()
        rows = self.rig.ask(
            "SELECT count(*), count(*) FILTER (WHERE status IN ('due', 'claimed')) FROM workflow_runs WHERE candle_time BETWEEN %s AND %s",
            first,
            last,
        )
        return bool(rows) and rows[0] == (len(self.symbols) * self.candles, 0)

    def _look(self, first: int, last: int, minutes: float, kills: Counter[str]) -> Result:
        result = Result(self.seed, len(self.symbols) * self.candles, minutes, kills=kills)
        candles = {(row[0], row[1]): row[2:] for row in self.rig.ask(CANDLES, first, last)}
        runs = {(row[0], row[1]): row[2:] for row in self.rig.ask(RUNS, first, last)}
        market, plan = Market(seed=self.seed, listings=listings(more=len(self.symbols))), FaultPlan(seed=self.seed)
        for symbol in self.symbols:
            truth = market.candles(symbol=symbol, start=first, length_ms=MINUTE, count=self.candles)
            tick, step = truth.listing.tick, truth.listing.step
            for number in range(self.candles):
                key = symbol, first + number * MINUTE
                sent = plan.deliveries(symbol=symbol, interval="1m", open_time=key[1])
                result.faults.update(_told(sent))
                candle, run = candles.get(key), runs.get(key)
                if candle is None or run is None:
                    result.fail("missing", (*key, "the candle" if candle is None else "its row in the ledger"))
                    continue
                prices = tuple(int(getattr(truth, name)[number]) * tick for name in ("open", "high", "low", "close"))
                volume = int(truth.volume[number]) * step
                volumes = {volume, volume * 2} if any(d.variant is Variant.REVISED for d in sent) else {volume}
                if candle[:4] != prices or candle[4] not in volumes:
                    result.fail("not what the exchange closed", (*key, candle[:5], prices, volume))
                if candle[5] == "backfill" and not candle[6]:
                    result.fail("gap without a label", key)
                result.gaps[candle[6]] += 1
                result.outcomes[f"{run[0]} {run[1]}".strip()] += 1
                if run[3]:
                    result.fail("acted on unclosed", key)
        [(twice,)] = self.rig.ask(TWICE)
        [(analyses,)] = self.rig.ask(DECIDED, first, last)
        if twice:
            result.fail("acted on twice", f"{twice} closes")
        if analyses < result.outcomes["decided"]:
            result.fail("missing", f"evidence of {result.outcomes['decided'] - analyses} decisions")
        return result


def _told(sent: tuple[Any, ...]) -> list[str]:
    if not sent:
        return ["dropped"]
    bad = [delivery.variant.value for delivery in sent if delivery.variant is not Variant.TRUE]
    if bad or len(sent) > 1:
        return bad or ["duplicated"]
    return ["delayed"] if sent[0].delay_ms else []


def prepare(symbols: int) -> None:
    """A workflow for every symbol that goes on as long as it is let; run with the settings of the soak."""
    import django

    django.setup()
    from datetime import timedelta

    from monitoring import clock
    from tests.support.factories import NEVER, make_schedule, make_signal, make_trader

    names = [f"SIM{n:04}USDT" for n in range(symbols)]
    trader = make_trader(
        symbols=names,
        interval="1m",
        state="paused",
        conditions=NEVER,
        max_reanalyses=2_000_000_000,
        max_monitoring_duration=timedelta(days=3650),
        decision_deadline_pct=100,
    )
    for symbol in names:
        signal = make_signal(trader, symbol=symbol, status="monitoring", monitoring_started_at=clock.now())
        make_schedule(trader, signal)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--closes", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--symbols", type=int, default=400)
    parser.add_argument("--speed", type=int, default=30)
    parser.add_argument("--keep", action="store_true", help="Leave the folder with its database and logs.")
    parser.add_argument("--prepare", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.prepare:
        prepare(options.prepare)
        return
    data = Path(tempfile.mkdtemp(prefix="soak-"))
    soak = Soak(closes=options.closes, seed=options.seed, symbols=options.symbols, speed=options.speed, data=data)
    with cleaned_up(soak.rig, keep=options.keep):
        result = soak.run()
    print(result)
    sys.exit(bool(result.failures))


if __name__ == "__main__":
    main()
