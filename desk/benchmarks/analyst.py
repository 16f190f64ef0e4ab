"""
What asking costs: many questions at once to a model that takes its time, from one process.

The overhead is everything around the call: from candles that are read already to the records that are written. The
HTTP client is measured beside it: the same requests by the bare client, with the same endpoint.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from django.conf import settings
from django.db import connection, transaction
from django.test import override_settings

from desk.benchmarks.closes import MODEL, serving
from monitoring import clock, indicators, intervals, recording, snapshot
from monitoring.analyst.contract import Answer, Kind, Outcome, Question
from monitoring.analyst.request import build
from monitoring.asking import ask, models
from monitoring.indicators import Window
from monitoring.models import SignalAnalysis, Trader, User

MODELS_FILE = Path(__file__).with_name("models.toml")
INTERVAL = "5m"
SYMBOLS = 20


@dataclass(frozen=True)
class Asked:
    """Wall time of a round and CPU of this process, in seconds; shares of the CPU by what it went into."""

    questions: int
    latency_s: float
    wall_s: float
    answered: int
    cpu_s: float
    around_s: float
    bare_cpu_s: float


def run(*, questions: int, latency_s: float, rounds: int) -> list[Asked]:
    """Rounds after a warm one."""
    with serving(latency_s) as url, override_settings(**_settings(url, questions)):
        return [_round(questions, latency_s, url) for _ in range(rounds + 1)][1:]


def _settings(url: str, questions: int) -> dict[str, Any]:
    files = [*settings.LLM_FILES, MODELS_FILE]
    return {"LLM_BASE_URL": url, "LLM_MODEL": MODEL, "LLM_MAX_CONCURRENCY": questions, "LLM_FILES": files}


def _round(count: int, latency_s: float, url: str) -> Asked:
    trader = _trader()
    windows = [_window(number) for number in range(SYMBOLS)]
    readings = [_readings(window) for window in windows]  # once per symbol, as the engine does
    began, cpu = time.perf_counter(), time.process_time()
    now = clock.now()
    asked = [_question(trader, windows[n % SYMBOLS], readings[n % SYMBOLS], now) for n in range(count)]
    answers = ask.ask_all(asked, now=now)
    _record(asked, answers, trader, now)
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    bodies = [build(question, spec=models.catalog().spec(MODEL)).body for question in asked]
    bare_s = _bare(url, bodies)
    answered = sum(answer.outcome is Outcome.OK for answer in answers.values())
    return Asked(count, latency_s, wall_s, answered, cpu_s, cpu_s - bare_s, bare_s)


def _bare(url: str, bodies: Sequence[bytes]) -> float:
    """CPU of the same requests by the HTTP client alone."""
    cpu = time.process_time()
    asyncio.run(_post_all(url, bodies))
    return time.process_time() - cpu


async def _post_all(url: str, bodies: Sequence[bytes]) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def post(body: bytes) -> None:
            async with session.post(f"{url}/chat/completions", data=body, headers={"Content-Type": "application/json"}) as answer:
                await answer.read()

        await asyncio.gather(*(post(body) for body in bodies))


def _trader() -> Trader:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE users, budget_reservations, daily_spend CASCADE")
    user = User.objects.create(username="benchmark")
    rules = [{"field": "rsi_14", "operator": "lt", "value": 40}, {"field": "ema_20", "operator": "gt", "value": "ema_50"}]
    text = "Buys pullbacks in an uptrend: RSI(14) under 40 while EMA(20) is above EMA(50)."
    return Trader.objects.create(
        user=user, name="benchmark", strategy=text, symbols=["BTCUSDT"], interval=INTERVAL, conditions=rules, analyst="llm", ai_model=MODEL
    )


def _window(seed: int) -> Window:
    chance = np.random.default_rng(seed)
    close = 65_000 * np.exp(np.cumsum(chance.normal(0, 0.001, 300)))
    opened = intervals.newest_closed(at_ms=clock.now_ms(), interval=INTERVAL) - np.arange(299, -1, -1) * intervals.length_ms(INTERVAL)
    return Window(opened, close, close * 1.001, close * 0.999, close, chance.uniform(1, 100, 300))


def _readings(window: Window) -> Any:
    return indicators.compute(window=window, names=sorted(snapshot.indicator_names(raised_by=([],), also=[])))


def _question(trader: Trader, window: Window, readings: Any, now: datetime) -> Question:
    view = snapshot.market_view(symbol="BTCUSDT", interval=INTERVAL, market="binance", window=window, readings=readings)
    decision = {"timestamp": now, "decision": "continue", "confidence": 0.6, "price": 65_000, "reasoning": "The pullback is not over. " * 6}
    told = {
        **view,
        "trader": {"name": trader.name, "strategy": trader.strategy, "side": "long", "conditions": trader.conditions},
        "signal": {"age_minutes": 25.0, "side": "long", "initial_price": 65_010.5, "matched_conditions": ["rsi_14 lt 40 (38.2)"]},
        "recent_decisions": snapshot.recent_decisions([decision] * 5),
    }
    return Question(uuid.uuid4(), Kind.MONITORING, told, "llm", MODEL, now + timedelta(seconds=60), trader_id=trader.id)


def _record(asked: Sequence[Question], answers: Any, trader: Trader, now: datetime) -> None:
    def row(question: Question, answer: Answer) -> SignalAnalysis:
        return recording.analysis_row(question, answer, trader=trader, signal_id=None, run_id=None, candle_time=0, now=now)

    with transaction.atomic():
        recording.keep([row(question, answers[question.id]) for question in asked])
