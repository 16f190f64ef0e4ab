"""
The crash matrix: `python -m tests.crashes --runs 10000 --workers 2 [--market bybit]`.

A position at a simulated exchange is opened, its stop moved, reduced, added to, its target moved, and closed, by a
process that is killed (SIGKILL) at one named step of that path: before or after a commit, a statement that writes, or
a request to the exchange. Meanwhile the exchange fails in one of the ways it can. Then a new process does what the desk
does after a restart: jobs are delivered again, and one reconciliation runs. What has to hold is looked up at the
exchange itself. A run depends only on its number, so that any can be repeated: `--first N --runs 1`.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import Any

from tests.support.database import empty_database

NOTHING = "nothing"
WRITES = ("INSERT", "UPDATE", "DELETE")
MARKET = "binance_futures"


@dataclass
class Result:
    """What was found. `steps` and `faults` count runs, with those that broke an invariant."""

    runs: int = 0
    killed: int = 0
    flat: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: Result) -> None:
        """Take over what another worker found."""
        self.runs, self.killed, self.flat = self.runs + other.runs, self.killed + other.killed, self.flat + other.flat
        self.steps.update(other.steps)
        self.faults.update(other.faults)
        self.failures += other.failures

    def __str__(self) -> str:
        steps = "\n".join(f"| {name} | {count} |" for name, count in sorted(self.steps.items()))
        faults = "\n".join(f"| {name} | {count} |" for name, count in sorted(self.faults.items()))
        return (
            f"{self.runs:,} runs in {self.seconds:.0f} s: {self.killed:,} killed at {len(self.steps)} named steps,"
            f" {self.runs - self.killed:,} went on to their end; {self.flat:,} were flat after recovery, the others protected\n"
            f"invariants broken: {len(self.failures)}\n\n| fault of the exchange | runs |\n|---|---|\n{faults}\n\n"
            f"| killed at | runs |\n|---|---|\n{steps}"
        )


class Killer:
    """Names every step of a path, and kills this process at one of them."""

    def __init__(self, target: tuple[str, int] | None = None) -> None:
        self.target, self.seen = target, Counter[str]()

    def step(self, name: str) -> None:
        self.seen[name] += 1
        if self.target == (name, self.seen[name]):
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Around everything that leaves a trace outside this process."""
        import requests
        from django.db import connection

        def writes(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
            words = sql.split(None, 3)
            if words[0].upper() not in WRITES:
                return execute(sql, params, many, context)
            what = f"{_caller()} {words[0].lower()}"
            self.step(f"before {what}")
            found = execute(sql, params, many, context)
            self.step(f"after {what}")
            return found

        def commit() -> None:
            what = f"{_caller()} commit"
            self.step(f"before {what}")
            real_commit()
            self.step(f"after {what}")

        def send(session: Any, request: Any, **more: Any) -> Any:
            what = f"{request.method} {request.path_url.partition('?')[0]}"
            self.step(f"before {what}")
            answer = real_send(session, request, **more)
            self.step(f"after {what}")
            return answer

        real_commit, real_send = connection._commit, requests.Session.send
        connection._commit, requests.Session.send = commit, send  # type: ignore[method-assign]
        try:
            with connection.execute_wrapper(writes):
                yield
        finally:
            connection._commit, requests.Session.send = real_commit, real_send  # type: ignore[method-assign]


def _caller() -> str:
    """The innermost function of the positions app that is at work."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith("positions.") and not name.startswith("positions.models"):
            return f"{name.removeprefix('positions.')}.{frame.f_code.co_name}"
        frame = frame.f_back
    return "elsewhere"


class Desk:
    """One worker's trader, account and exchange; `run` is one run by its number."""

    def __init__(self, server: Any, number: int, market: str = MARKET) -> None:
        from monitoring import clock
        from positions import credentials
        from positions.credentials import Keys
        from positions.models import ExchangeAccount
        from positions.simulator.access import PASSPHRASE, secret_of
        from tests.support.factories import NEVER, make_profile, make_trader, make_user
        from tests.support.venues import list_instruments, symbol_at

        list_instruments(market)
        self.server, self.key, self.market, self.symbol = server, f"worker-{number}", market, symbol_at(market)
        user, sealed = make_user(username=self.key), credentials.seal(Keys(self.key, secret_of(self.key), PASSPHRASE))
        self.account = ExchangeAccount.objects.create(
            user=user, name=self.key, kind=market.partition("_")[0], market=market, leverage=5, credentials=sealed,
            is_live=True, notional_cap=1_000_000, armed_at=clock.now(), armed_by="test",
        )  # fmt: skip
        self.trader = make_trader(user=user, conditions=NEVER, market=market, symbols=[self.symbol], interval="1m")
        make_profile(self.trader, account=self.account)
        self.progress = mmap.mmap(-1, 8)
        self.names: list[tuple[str, int]] = []

    def book(self, *, since: int = 0) -> dict[str, Any]:
        """What the exchange knows of the account."""
        found: dict[str, Any] = self.server.book(self.key, venue=self.market, since=since)
        return found

    def learn(self) -> None:
        """The named steps of the whole path, from one run that nobody disturbs."""
        killer = Killer()
        with killer.installed():
            self._play(self._actions(self._prepare(0), 0))
        self.names = sorted(killer.seen.items())

    def run(self, number: int, result: Result) -> None:
        """Kill, recover, look, and leave the account flat."""
        chance = random.Random(f"crash {number}")
        name, times = self.names[number % len(self.names)]
        faults = [NOTHING, *_troubles()]
        fault = faults[number // len(self.names) % len(faults)]
        before = self.book()
        analysis_id = self._prepare(number)
        actions = self._actions(analysis_id, number)
        plan = [None] * chance.randrange(25) + ([fault] * chance.randint(1, 3) if fault != NOTHING else [])
        self.server.faults(*plan)
        was_killed = self._in_a_child(lambda: self._play(actions), (name, chance.randint(1, times)))
        result.runs, result.killed = result.runs + 1, result.killed + was_killed
        result.faults[fault] += 1
        if was_killed:
            result.steps[name] += 1
        if chance.random() < 0.25:
            self.server.price("97")  # through the stop, while nobody looks
        if chance.random() < 0.5:
            self.server.faults()  # the exchange is well again; else what is left of its trouble meets the recovery
        problems = self._recovered(actions, before["count"], result, redelivers=chance.random() < 0.5)
        result.failures += [f"run {number}, {fault}, killed {name if was_killed else 'nowhere'}: {problem}" for problem in problems]
        self.server.faults()
        self.server.price("100")
        if self._leave_flat():
            result.failures.append(f"run {number}, {fault}, killed {name}: the account could not be left flat")

    def _prepare(self, number: int) -> Any:
        """A signal with its entering answer, and a price that is not stale."""
        from monitoring import clock, intervals
        from monitoring.analyst.contract import TradePlan
        from monitoring.models import Candle, Signal, SignalAnalysis
        from tests.support.factories import make_signal

        opened = intervals.newest_closed(at_ms=clock.now_ms(), interval="1m")
        prices = dict.fromkeys(("open", "high", "low", "close"), Decimal(100))
        amounts = {"volume": 1, "quote_volume": 100, "trades": 1}
        Candle.objects.get_or_create(
            market=self.market, symbol=self.symbol, interval="1m", open_time=opened, defaults={**prices, **amounts, "source": "stream"}
        )
        signal = make_signal(self.trader, status=Signal.Status.READY)
        plan = TradePlan(Decimal(100), Decimal(98), Decimal(104), Decimal(2))
        analysis = SignalAnalysis.objects.create(
            kind="initial", signal=signal, trader=self.trader, user=self.trader.user, decision="enter_trade", confidence="0.9",
            analyst="rules", answer={"tradePlan": plan.as_json()}, created_at=clock.now(),
        )  # fmt: skip
        return analysis.id

    def _actions(self, analysis_id: Any, number: int) -> list[Callable[[], object]]:
        """What the desk's jobs do in the life of this position; each can be delivered again."""
        from monitoring import clock
        from monitoring.models import SignalAnalysis
        from positions import opening, trading
        from positions.intents import Cause
        from positions.models import Order, Position

        def on_position(act: Callable[..., object], name: str, **what: Any) -> Callable[[], object]:
            def job() -> object:
                signal_id = SignalAnalysis.objects.values_list("signal_id", flat=True).get(id=analysis_id)
                position = Position.objects.select_related("account", "trader__profile", "signal").filter(signal_id=signal_id).first()
                if position is None or position.status != Position.Status.OPEN:
                    return None
                cause = Cause(Order.Cause.OPERATOR, f"{name}-{number}")
                return act(position, cause=cause, now=clock.now(), **what)

            return job

        return [
            lambda: opening.open_position(analysis_id=analysis_id, now=clock.now()),
            on_position(trading.adjust_stop, "stop", price=Decimal(99)),
            on_position(trading.reduce, "reduce", fraction=Decimal("0.5")),
            on_position(trading.add, "add", quantity=Decimal(1)),
            on_position(trading.adjust_target, "target", price=Decimal(105)),
            on_position(trading.close, "close", reason="test"),
        ]

    def _play(self, actions: list[Callable[[], object]]) -> None:
        for index, action in enumerate(actions):
            self.progress[0] = index
            action()

    def _in_a_child(self, work: Callable[[], None], target: tuple[str, int]) -> bool:
        """Do it in a process that is killed at the step; whether it was."""
        from django.db import connection

        from positions.exchange.contract import ExchangeError
        from positions.leases import Busy

        connection.close()
        pid = os.fork()
        if pid == 0:
            code = 0
            try:
                with Killer(target).installed():
                    work()
            except (Busy, ExchangeError):
                pass  # the job failed, and is delivered again
            except Exception:
                code = 1
                traceback.print_exc()
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the desk itself broke"
        return os.WIFSIGNALED(status)

    def _recovered(self, actions: list[Callable[[], object]], since: int, result: Result, *, redelivers: bool) -> list[str]:
        """What a restarted desk does, then what has to hold."""
        from monitoring import clock
        from positions import reconciliation
        from positions.exchange.contract import ExchangeError
        from positions.leases import Busy
        from positions.models import ExchangeAccount, Order, Position

        Position.objects.filter(account=self.account).update(lease_until=None)  # the lease of the dead has run out
        index = self.progress[0]
        if redelivers or index == 0:
            for _ in range(3):  # the queue and the sweep deliver again until the job is through
                try:
                    actions[index]()
                    break
                except (Busy, ExchangeError):
                    Position.objects.filter(account=self.account).update(lease_until=None)
        self.server.faults()
        reconciled = reconciliation.reconcile(ExchangeAccount.objects.get(id=self.account.id), now=clock.now())
        found = [] if reconciled.is_clean else [f"not reconciled: {reconciled.error or reconciled.problems}"]
        book = self.book(since=since)
        ids = Counter(row[0] for row in book["orders"])
        found += [f"{count} orders at the exchange with the id {name}" for name, count in ids.items() if count > 1]
        unclear = Order.objects.filter(account=self.account, status__in=("unknown", "sent", "intended")).values_list("leg", "status")
        found += [f"the {leg} is {status}" for leg, status in unclear]
        legs = Counter(kind for _, kind, _ in book["open"])
        found += [f"{count} live orders of leg {leg}" for leg, count in legs.items() if count > 1]
        position = Position.objects.filter(account=self.account).exclude(status="closed").first()
        ours = position.contracts if position else Decimal(0)
        if ours != Decimal(book["amount"]):
            found.append(f"{ours} here, {book['amount']} at the exchange")
        stopped = sum((Decimal(left) for _, kind, left in book["open"] if kind == "stop"), Decimal(0))
        if stopped != ours:
            found.append(f"{ours} held, a stop for {stopped}")
        result.flat += not ours
        return found + self._is_looked_after(position)

    def _is_looked_after(self, position: Any) -> list[str]:
        """A position keeps an owner and a workflow; one that is closed has none."""
        from monitoring.models import WorkflowSchedule

        active = WorkflowSchedule.objects.filter(trader=self.trader, workflow_type="position_management", is_active=True)
        if position is None:
            return ["a workflow of nothing is active"] if active.exists() else []
        found = [] if position.status == "open" else [f"the position is {position.status}"]
        return found if active.filter(entity_id=position.id).exists() else [*found, "no workflow looks after the position"]

    def _leave_flat(self) -> bool:
        """Close what is left for the next run; whether something remains."""
        from monitoring import clock, controls
        from monitoring.audit import Actor
        from monitoring.models import Halt
        from positions import trading
        from positions.intents import Cause
        from positions.models import Order, Position

        for position in Position.objects.select_related("account", "trader__profile", "signal").filter(account=self.account, status="open"):
            trading.close(position, cause=Cause(Order.Cause.OPERATOR, f"end-{time.monotonic_ns()}"), reason="end", now=clock.now())
        for halt in Halt.objects.filter(resumed_at__isnull=True, scope__in=(f"trader:{self.trader.id}", f"account:{self.account.id}")):
            controls.resume(scope=halt.scope, reason="next run", actor=Actor("test", "cli"), now=clock.now())
        book = self.book()
        return bool(Decimal(book["amount"]) or book["open"])


def _troubles() -> list[str]:
    from positions.simulator.faults import Trouble

    return [trouble.value for trouble in Trouble]


def hurry() -> None:
    """Waits as long as this exchange needs: it answers within milliseconds, and knows at once what it knows."""
    from django.conf import settings

    from positions import orders, protection, reconciliation, trading
    from positions.exchange import binance_client, calling
    from positions.simulator import faults, gateway

    binance_client.REST_MS, calling.IS_PACED = 0, False
    settings.ORDER_SETTLES_SECONDS, reconciliation.UNSENT_S = 0.05, 0.0
    orders.FIRST_PAUSE_S, orders.LONGEST_PAUSE_S = 0.02, 0.2
    protection.FIRST_PAUSE_S, protection.LONGEST_PAUSE_S, protection.RETRY_BUDGET_S = 0.05, 0.3, 5.0
    trading.CLOSE_PAUSE_S, gateway.MAINTENANCE_S, gateway.ORDERS_PER_10_S = 0.05, 0.2, 100_000
    faults.SLOW_S = 0.05


def work(number: int, first: int, runs: int, workers: int, market: str) -> Result:
    """One worker's share: every `workers`-th run."""
    from django.conf import settings

    from tests.support.venue_server import venue_server

    result, began = Result(), time.monotonic()
    with venue_server() as server:
        settings.TRADING_URLS = dict.fromkeys(settings.TRADING_URLS, server.url)
        desk = Desk(server, number, market)
        desk.learn()
        desk._leave_flat()
        for index in range(first + number, first + runs, workers):
            known = len(result.failures)
            desk.run(index, result)
            print("\n".join(result.failures[known:]), end="\n" if result.failures[known:] else "", file=sys.stderr, flush=True)
            if result.runs % 500 == 0:
                print(f"worker {number}: {result.runs} runs, {len(result.failures)} failures", file=sys.stderr, flush=True)
    result.seconds = time.monotonic() - began
    return result


def run(*, first: int, runs: int, workers: int = 1, market: str = MARKET) -> Result:
    """Needs Django set up on a test database that other connections can see."""
    hurry()
    if workers == 1:
        return work(0, first, runs, 1, market)
    from django.db import connection

    connection.close()
    total, began, pipes = Result(), time.monotonic(), []
    for number in range(workers):
        reading, writing = os.pipe()
        if os.fork() == 0:
            try:
                found = work(number, first, runs, workers, market)
            except Exception as error:
                traceback.print_exc()
                found = Result(failures=[f"worker {number} gave up: {error}"])
            with os.fdopen(writing, "w") as out:
                json.dump(vars(found), out)
            os._exit(0)
        os.close(writing)
        pipes.append(reading)
    for reading in pipes:
        with os.fdopen(reading) as pipe:
            raw = json.load(pipe)
        total.add(Result(**{**raw, "steps": Counter(raw["steps"]), "faults": Counter(raw["faults"])}))
    total.seconds = time.monotonic() - began
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="The number of the first run.")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--market", default=MARKET, choices=[MARKET, "bybit", "okx"])
    parser.add_argument("--report", type=Path, help="Write the table there.")
    options = parser.parse_args()
    with empty_database():
        import logging

        logging.disable(logging.CRITICAL)
        result = run(first=options.first, runs=options.runs, workers=options.workers, market=options.market)
    print(result)
    print("\n".join(result.failures[:30]))
    if options.report:
        options.report.write_text(f"{result}\n")
    sys.exit(bool(result.failures))


if __name__ == "__main__":
    main()
