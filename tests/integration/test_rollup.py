"""Past days are summed up once, and the figures stay the same."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from desk import stats
from monitoring import rollup
from monitoring.models import QuestionDay, RolledDay, SignalAnalysis
from tests.support import queue
from tests.support.clocks import SteppingClock
from tests.support.factories import make_signal, make_trader

pytestmark = pytest.mark.django_db

OUTCOMES = ("ok", "ok", "ok", "timeout", "halted", "over_budget")


def ask(trader: Any, at: datetime, **over: Any) -> None:
    outcome = over.pop("outcome", "ok")
    values = {"analyst": "llm", "model": "m", "prompt_version": "v1", "latency_ms": 1000, "prompt_tokens": 10, "completion_tokens": 5}
    values |= {"cost_usd": Decimal("0.001"), "attempt_log": [{"analyst": "llm"}], "decision": "wait" if outcome == "ok" else None}
    signal = over.pop("signal", None) or make_signal(trader)
    row = {**values, "kind": "monitoring", "trader": trader, "user": trader.user, "signal": signal, "outcome": outcome, **over}
    SignalAnalysis.objects.create(created_at=at, **row)


def ask_many(clock: SteppingClock, *, days: int, count: int = 120, seed: int = 3) -> None:
    chance = random.Random(seed)
    traders = [make_trader(symbols=["BTCUSDT"]), make_trader(symbols=["ETHUSDT"])]
    signals = [make_signal(trader) for trader in traders]
    for _ in range(count):
        which, by_model = chance.randrange(2), chance.random() < 0.7
        more = {"analyst": "llm"} if by_model else {"analyst": "rules", "model": "", "attempt_log": [], "prompt_tokens": None}
        more["latency_ms"] = chance.choice([None, 1, 40, chance.randrange(1, 60_000)])
        at = clock.now - timedelta(seconds=chance.uniform(1, days * 86_400))
        ask(traders[which], at, signal=signals[which], outcome=chance.choice(OUTCOMES), **more)


def figures(since: datetime, user_id: Any = None) -> Any:
    tables = [stats.read("questions", by=by, since=since, user_id=user_id) for by in stats.QUESTIONS_BY]
    return [(table.by, table.rows) for table in tables], stats.targets(since=since, days=7, user_id=user_id)


def test_figures_are_the_same_before_and_after(clock: SteppingClock) -> None:
    ask_many(clock, days=6)
    user = SignalAnalysis.objects.earliest("created_at").user_id
    moments = [clock.now - timedelta(hours=hours) for hours in (3, 24, 30, 72, 24 * 30)]
    moments.append(clock.now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2))
    before = [(figures(since), figures(since, user)) for since in moments]
    assert rollup.run(now=clock.now) >= 5
    assert (
        sum(QuestionDay.objects.values_list("questions", flat=True))
        == SignalAnalysis.objects.filter(created_at__lt=clock.now.replace(hour=0, minute=0, second=0, microsecond=0)).count()
    )
    assert [(figures(since), figures(since, user)) for since in moments] == before


def test_what_is_summed_up_is_not_read_again(clock: SteppingClock) -> None:
    ask_many(clock, days=4)
    rollup.run(now=clock.now)
    QuestionDay.objects.all().delete()
    today = clock.now.replace(hour=0, minute=0, second=0, microsecond=0)
    table = stats.read("questions", by="kind", since=today - timedelta(days=2), user_id=None)
    expected = SignalAnalysis.objects.filter(created_at__gte=today).count()
    assert sum(row[1] for row in table.rows) == expected


def test_a_day_that_is_summed_up_meanwhile_is_not_counted_twice(clock: SteppingClock, monkeypatch: pytest.MonkeyPatch) -> None:
    ask_many(clock, days=4)
    since = clock.now - timedelta(days=30)
    known = rollup.arguments(since=since)
    before = figures(since)
    rollup.run(now=clock.now)
    monkeypatch.setattr(rollup, "arguments", lambda since: known)
    assert figures(since) == before


def test_percentiles_are_at_most_a_step_too_high(clock: SteppingClock) -> None:
    trader = make_trader()
    signal = make_signal(trader)
    for latency in range(1, 201):
        ask(trader, clock.now - timedelta(minutes=1), latency_ms=latency * 25, signal=signal)
    table = stats.read("questions", by="kind", since=clock.now - timedelta(days=1), user_id=None)
    row = dict(zip(["what", *table.columns], table.rows[0], strict=True))
    assert 190 * 25 <= row["p95 ms"] <= 190 * 25 * 2 ** (1 / rollup.STEPS_A_DOUBLING) + 1
    assert row["mean ms"] == 2512 or row["mean ms"] == 2513


def test_what_never_went_out_has_no_latency(clock: SteppingClock) -> None:
    trader = make_trader()
    ask(trader, clock.now - timedelta(minutes=2), latency_ms=2000)
    ask(trader, clock.now - timedelta(minutes=1), latency_ms=None, outcome="halted")
    shown = {one.name: one.value for one in stats.targets(since=clock.now - timedelta(days=1), days=1, user_id=None)}
    assert (shown["Mean latency"], shown["Error rate"]) == ("2.0 s", "0.00 %")


def test_a_day_is_summed_up_only_when_it_is_long_over_and_once(clock: SteppingClock) -> None:
    midnight = clock.now.replace(hour=0, minute=0, second=0, microsecond=0)
    ask(make_trader(), midnight - timedelta(minutes=1))
    at = midnight + rollup.GRACE
    assert rollup.run(now=at - timedelta(seconds=1)) == 0
    assert (rollup.run(now=at), rollup.run(now=at)) == (1, 0)
    assert QuestionDay.objects.get().questions == 1
    assert RolledDay.objects.get().rolled_at is not None


def test_days_without_questions_leave_no_gap(clock: SteppingClock) -> None:
    trader = make_trader()
    ask(trader, clock.now - timedelta(days=5))
    ask(trader, clock.now - timedelta(days=2))
    rollup.run(now=clock.now)
    days = list(RolledDay.objects.order_by("day").values_list("day", flat=True))
    assert days == [days[0] + timedelta(days=number) for number in range(len(days))]
    assert len(days) >= 4
    assert stats.read("questions", by="kind", since=clock.now - timedelta(days=7), user_id=None).rows[0][1] == 2


def test_the_sweep_asks_for_one_job_at_a_time(clock: SteppingClock) -> None:
    assert rollup.sweep(clock.now) == 0, "nothing was ever asked"
    ask(make_trader(), clock.now - timedelta(days=3))
    assert (rollup.sweep(clock.now), rollup.sweep(clock.now)) == (1, 0)
    queue.run_all()
    assert rollup.sweep(clock.now) == 0, "everything is summed up"
    assert RolledDay.objects.filter(rolled_at=None).count() == 0


def test_a_job_that_was_lost_is_asked_for_again(clock: SteppingClock) -> None:
    ask(make_trader(), clock.now - timedelta(days=3))
    assert rollup.sweep(clock.now) == 1
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rolled_days SET asked_at = now() - interval '1 hour'")
    assert rollup.sweep(clock.now) == 1
