"""
The first look at a new signal: enter_trade, bad_setup or wait, asked once per signal.

Signals are claimed in batches with a lease and asked about at once. No decision is not a wait: the signal expires
and says why, since the moment it was raised for has passed.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, connection, transaction

from monitoring import candles, clock, controls, events, indicators, intervals, jobs, ledger, rollout, signal_life, snapshot
from monitoring.analyst.contract import Answer, Kind, Question
from monitoring.asking import ask
from monitoring.candles import CandleKey, Hole
from monitoring.conditions import ConditionError
from monitoring.events import NewEvent
from monitoring.indicators import Window
from monitoring.models import Signal, WorkflowSchedule
from monitoring.models.schedules import WorkflowType
from monitoring.recording import analysis_row, keep
from monitoring.setup_workflow import confident_enough, indicator_names, signal_view, trader_view
from monitoring.signal_life import Move

logger = logging.getLogger(__name__)
BATCH = 500

CLAIM = """
WITH picked AS (
    SELECT s.id FROM signals s JOIN traders t ON t.id = s.trader_id
     WHERE (s.status = 'new' AND t.auto_analyze_signals AND t.state = 'running')
        OR (s.status = 'analyzing' AND s.lease_until < now())
     ORDER BY s.created_at LIMIT %(limit)s FOR UPDATE OF s SKIP LOCKED
)
UPDATE signals s SET status = 'analyzing', claimed_by = %(token)s, lease_until = now() + make_interval(secs => %(lease)s)
  FROM picked WHERE s.id = picked.id
RETURNING s.id
"""
NEWEST = """
SELECT s.id, (SELECT max(c.open_time) FROM candles c WHERE c.market = s.market AND c.symbol = s.symbol AND c.interval = s.interval)
  FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) AS s(id, market, symbol, interval)
"""


def run() -> int:
    """Judge new signals until none is left; returns how many."""
    done = 0
    while signals := _claim():
        _judge(signals, now=clock.now())
        done += len(signals)
    return done


def waiting(*, created_before: datetime) -> bool:
    """Whether signals wait that nobody works on: inserted by SQL, or left by a worker that died."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM signals s JOIN traders t ON t.id = s.trader_id"
            " WHERE (s.status = 'new' AND s.created_at < %s AND t.auto_analyze_signals AND t.state = 'running')"
            "    OR (s.status = 'analyzing' AND s.lease_until < now()))",
            [created_before],
        )
        return bool(cursor.fetchone()[0])


def _claim() -> list[Signal]:
    lease = ledger.DEADLINE_CAP_S / float(settings.CLOCK_SPEED) + ledger.LEASE_MARGIN_S
    with connection.cursor() as cursor:
        cursor.execute(CLAIM, {"limit": BATCH, "token": uuid.uuid4(), "lease": lease})
        ids = [row[0] for row in cursor.fetchall()]
    return list(Signal.objects.select_related("trader").filter(id__in=ids).order_by("created_at", "symbol", "trader_id"))


def _judge(signals: Sequence[Signal], *, now: datetime) -> None:
    dropped: dict[UUID, str] = {}
    open_signals = _not_dropped(signals, dropped, now)
    keys = _newest(open_signals)
    windows = candles.windows(set(keys.values()))
    questions = []
    for signal in open_signals:
        window = windows[keys[signal.id]] if signal.id in keys else Hole("no candle is known")
        stale = not isinstance(window, Hole) and _is_stale(int(window.open_time[-1]), signal.interval, now)
        if isinstance(window, Hole) or stale:
            dropped[signal.id] = f"no market data: {window.reason if isinstance(window, Hole) else 'the newest candle is old'}"
            continue
        try:
            questions.append(_question(signal, window, now=now))
        except DatabaseError:
            raise  # everybody's trouble: the job comes back when the lease has run out
        except Exception as error:  # one trader's unusable settings must not cost the others of the batch their decision
            if not isinstance(error, ConditionError):
                logger.exception("signal %s can't be judged", signal.id)
            dropped[signal.id] = f"trader {signal.trader.name}: {error}"[:300]
    answers = ask.ask_all(questions, now=clock.now())
    _record(signals, dropped, questions, answers, keys, now=clock.now())


def _not_dropped(signals: Sequence[Signal], dropped: dict[UUID, str], now: datetime) -> list[Signal]:
    halts = controls.open_halts()
    for signal in signals:
        halt = controls.strictest(halts, controls.scopes(trader_id=signal.trader_id, symbol=signal.symbol))
        if halt:
            dropped[signal.id] = f"halted: {halt.scope} is {halt.state}"
        elif now > _deadline(signal):
            dropped[signal.id] = "late: it waited longer than a decision may take"
    return [signal for signal in signals if signal.id not in dropped]


def _deadline(signal: Signal) -> datetime:
    length_s = intervals.length_ms(signal.interval) / 1000
    return signal.created_at + timedelta(seconds=min(length_s, ledger.DEADLINE_CAP_S))


def _is_stale(open_time: int, interval: str, now: datetime) -> bool:
    newest = intervals.newest_closed(at_ms=clock.to_ms(now), interval=interval)
    return open_time < newest - intervals.length_ms(interval)  # the newest close itself may still be on its way here


def _newest(signals: Sequence[Signal]) -> dict[UUID, CandleKey]:
    with connection.cursor() as cursor:
        columns = [[s.id for s in signals], [s.trader.market for s in signals], [s.symbol for s in signals], [s.interval for s in signals]]
        cursor.execute(NEWEST, columns)
        newest = dict(cursor.fetchall())
    return {s.id: CandleKey(s.trader.market, s.symbol, s.interval, newest[s.id]) for s in signals if newest[s.id] is not None}


def _question(signal: Signal, window: Window, *, now: datetime) -> Question:
    trader = signal.trader
    readings = indicators.compute(window=window, names=sorted(indicator_names(trader)))
    market = snapshot.market_view(symbol=signal.symbol, interval=signal.interval, market=trader.market, window=window, readings=readings)
    view = {
        **market,
        "trader": trader_view(trader, side=signal.side),
        "signal": signal_view(signal, now=now),
        "recent_decisions": [],
    }
    return Question(
        id=signal.id,
        kind=Kind.INITIAL,
        snapshot=view,
        analyst=trader.analyst,
        model=trader.ai_model or settings.LLM_MODEL,
        deadline=_deadline(signal),
        fallbacks=trader.fallback_chain(),
        trader_id=trader.id,
        daily_budget_usd=trader.daily_budget_usd,
        scopes=controls.scopes(trader_id=trader.id, symbol=signal.symbol),
    )


def _record(
    signals: Sequence[Signal],
    dropped: Mapping[UUID, str],
    questions: Sequence[Question],
    answers: Mapping[UUID, Answer],
    keys: Mapping[UUID, CandleKey],
    *,
    now: datetime,
) -> None:
    by_id = {signal.id: signal for signal in signals}
    with transaction.atomic():
        # Only signals that are still ours: a lease that ran out has given them to somebody else.
        tokens = {signal.id: signal.claimed_by for signal in signals}
        locked = Signal.objects.select_for_update(no_key=True).filter(id__in=by_id).order_by("id")
        ours = {row.id for row in locked if row.claimed_by == tokens[row.id]}
        rows = {
            question.id: analysis_row(
                question,
                answers[question.id],
                trader=by_id[question.id].trader,
                signal_id=question.id,
                run_id=None,
                candle_time=keys[question.id].open_time,
                now=now,
            )
            for question in questions
            if question.id in ours
        }
        keep(list(rows.values()))
        moves = [Move(by_id[i], Signal.Status.EXPIRED, reason) for i, reason in dropped.items() if i in ours]
        admitted = rollout.admitted({by_id[i].trader for i in rows})
        moves += [_move(by_id[i], answers[i], may_wait=by_id[i].trader_id in admitted) for i in rows]
        events.record_many((_event(by_id[i], answers[i]) for i in rows), now=now)
        moved = signal_life.move(moves, now=now)
        _start_monitoring([signal for signal in moved if signal.status == Signal.Status.MONITORING], now=now)
        for signal in moved:
            if signal.status == Signal.Status.READY:
                jobs.enqueue(jobs.Job.OPEN_POSITION, analysis_id=str(rows[signal.id].id))


def _move(signal: Signal, answer: Answer, *, may_wait: bool) -> Move:
    verdict = answer.verdict
    if verdict is None:
        return Move(signal, Signal.Status.EXPIRED, f"no decision: {answer.outcome}")
    if verdict.decision == "bad_setup":
        return Move(signal, Signal.Status.EXPIRED, f"bad setup: {verdict.reasoning[:300]}")
    if verdict.decision == "enter_trade" and confident_enough(verdict, signal.trader):
        return Move(signal, Signal.Status.READY, "analyst: enter_trade")
    if not may_wait:
        return Move(signal, Signal.Status.EXPIRED, f"{verdict.decision}, and continuous monitoring is not on for this trader")
    if verdict.decision == "enter_trade":
        return Move(signal, Signal.Status.MONITORING, f"confidence {verdict.confidence} is under {signal.trader.min_confidence_to_enter}")
    return Move(signal, Signal.Status.MONITORING, "analyst: wait")


def _start_monitoring(signals: Sequence[Signal], *, now: datetime) -> None:
    schedules = WorkflowSchedule.objects.bulk_create(
        WorkflowSchedule(
            workflow_type=WorkflowType.SIGNAL_MONITORING,
            entity_id=signal.id,
            trader=signal.trader,
            user_id=signal.user_id,
            market=signal.trader.market,
            symbol=signal.symbol,
            interval=signal.interval,
            started_at=now,
        )
        for signal in signals
    )
    events.record_many(
        (
            NewEvent(
                "monitoring_started",
                f"{signal.symbol} {signal.interval} is judged at every close from now on",
                {
                    "symbol": signal.symbol,
                    "interval": signal.interval,
                    "monitoring_interval": signal.interval,
                    "max_monitoring_duration": int(signal.trader.max_monitoring_duration.total_seconds()),
                },
                user_id=signal.user_id,
                trader_id=signal.trader_id,
                signal_id=signal.id,
                schedule_id=schedule.id,
            )
            for signal, schedule in zip(signals, schedules, strict=True)
        ),
        now=now,
    )


def _event(signal: Signal, answer: Answer) -> NewEvent:
    verdict = answer.verdict
    data = {
        "symbol": signal.symbol,
        "interval": signal.interval,
        "decision": verdict.decision if verdict else None,
        "confidence": str(verdict.confidence) if verdict else None,
        "reasoning": verdict.reasoning if verdict else "",
        "outcome": answer.outcome.value,
    }
    text = verdict.reasoning[:500] if verdict else f"no decision: {answer.outcome}, {answer.error[:300]}"
    level = events.INFO if verdict else events.WARNING
    return NewEvent("signal_analyzed", text, data, level=level, user_id=signal.user_id, trader_id=signal.trader_id, signal_id=signal.id)
