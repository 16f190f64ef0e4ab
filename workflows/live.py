"""The world as a run sees and touches it: our candles, the analyst, signals, events, Polymarket."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction

from monitoring import candles, clock, events, indicators, intake, intervals, recording, snapshot
from monitoring.analyst import rules
from monitoring.analyst.contract import RULES, Answer, Kind, Outcome, Question
from monitoring.analyst.custom import Form
from monitoring.asking import ask as asking
from monitoring.candles import CandleKey, Hole
from monitoring.events import NewEvent
from monitoring.indicators import Window
from monitoring.intake import IntakeError, NewSignal
from monitoring.models import Signal, Trader
from monitoring.notifications import notify
from workflows import fetching, polymarket, rows
from workflows.backfill import window_from_exchange
from workflows.models import WorkflowExecution
from workflows.nodes.contract import Catalogue, Key, NodeFailed, Raised, Row, Start, Wanted

ANSWER_S = 50.0  # real time that a question may take; a node has a little more
MOST_FETCHED = 20  # windows that one call may have to fetch from the exchange
OWN = frozenset({Outcome.REFUSED, Outcome.TRUNCATED, Outcome.FILTERED, Outcome.INVALID})  # no-decisions that the question is to blame for


@dataclass(frozen=True)
class Owner:
    """Whose run it is, and which."""

    user_id: UUID
    root_id: UUID
    name: str
    execution_id: UUID


class Live:
    """A `Context`; one for each run, used by its threads side by side."""

    def __init__(self, owner: Owner, start: Start, *, is_trial: bool) -> None:
        self.owner, self.start, self.is_trial = owner, start, is_trial

    def newest(self, *, market: str, symbols: Sequence[str], interval: str) -> Mapping[str, int]:
        """Where we have none, the newest that the exchange must have."""
        closed = intervals.newest_closed(at_ms=self.start.at_ms, interval=interval)
        return dict.fromkeys(symbols, closed) | candles.newest(market=market, symbols=symbols, interval=interval)

    def windows(self, rows: Sequence[Row], *, interval: str) -> Mapping[Key, Window]:
        """Out of our candles; a few that we lack are fetched from the exchange, for this run only."""
        keys = {
            row.key: CandleKey(row.market, row.symbol, interval, _last_closed(row, interval)) for row in rows if row.open_time is not None
        }
        found: dict[Key, Window] = {}
        known, fetched = candles.windows(set(keys.values())), 0
        for of_row, key in keys.items():
            window = known[key]
            if isinstance(window, Hole) and fetched < MOST_FETCHED:
                fetched += 1
                window = window_from_exchange(key)
            if not isinstance(window, Hole):
                found[of_row] = window
        return found

    def outcomes(self, wanted: Catalogue) -> Sequence[Row]:
        """Gamma's, with the price of our own newest candle where the listener follows the token."""
        return [self._with_live_price(row) for row in polymarket.outcomes(wanted)]

    def history(self, row: Row, *, interval: str) -> Sequence[tuple[int, float]]:
        length = intervals.length_ms(interval)
        start = self.start.at_ms - 300 * length
        return polymarket.history(token=row.symbol, start_ms=start, end_ms=self.start.at_ms, fidelity=max(1, length // intervals.MINUTE_MS))

    def ask(self, rows: Sequence[Row], *, form: Form, model: str, node: str) -> Sequence[Mapping[str, Any] | None]:
        """All rows at once; every question is kept with its answer, whatever came of it (P9)."""
        now = clock.now()
        questions = [self._question(row, form, model) for row in rows]
        answers = asking.ask_all(questions, now=now)
        kept = []
        for question, row in zip(questions, rows, strict=True):
            asked_by = f"session:{self.owner.root_id}:{self.owner.execution_id}:{node}"[:120]
            kept.append(
                recording.analysis_row(
                    question,
                    answers[question.id],
                    trader=None,
                    signal_id=None,
                    run_id=None,
                    candle_time=row.open_time,
                    now=clock.now(),
                    user_id=self.owner.user_id,
                    asked_by=asked_by,
                )
            )
        with transaction.atomic():
            recording.keep(kept)
        return _fields(rows, [answers[question.id] for question in questions], [str(row.id) for row in kept])

    def held_before(self, *, node: str) -> frozenset[str]:
        """Out of the run at that close; where there was none, everything is new."""
        if self.start.open_time is None:
            return frozenset()
        before = self.start.open_time - intervals.length_ms(self.start.interval)
        with rows.system():
            runs = WorkflowExecution.objects.filter(root_id=self.owner.root_id, user_id=self.owner.user_id, candle_time=before)
            outputs = runs.filter(interval=self.start.interval, is_trial=False).values_list("outputs", flat=True).first() or {}
        signals = outputs.get(node, {}).get("signals", {}).get("items", [])
        return frozenset(str(item["symbol"]) for item in signals)

    def raise_signals(self, wanted: Sequence[Wanted]) -> Sequence[Raised]:
        """Each once for its key; of a trader of the session's owner only. In a trial they are only looked at."""
        traders = {
            str(trader.id): trader for trader in Trader.objects.filter(user_id=self.owner.user_id, id__in={w.trader_id for w in wanted})
        }
        raised = [self._raise(one, traders.get(one.trader_id)) for one in wanted]
        if all(not one.id for one in raised) and not self.is_trial:
            raise NodeFailed(f"no signal could be raised: {raised[0].note}")
        return raised

    def tell(self, text: str, *, level: str, node: str) -> None:
        """In a trial nobody is told."""
        if self.is_trial:
            return
        owner = self.owner
        data = {"session": str(owner.root_id), "name": owner.name, "node": node, "execution": str(owner.execution_id)}
        said = NewEvent("session_note", f"{owner.name}: {text}", data, level=level, user_id=owner.user_id)
        with transaction.atomic():
            notify([events.record(said, now=clock.now())])

    def fetch(self, url: str) -> Any:
        return fetching.fetch(url)

    def _with_live_price(self, row: Row) -> Row:
        last = candles.last_price(market=row.market, symbol=row.symbol)
        stale_ms = 2 * intervals.length_ms(self.start.interval or "5m")
        if last is None or self.start.at_ms - last.closed_ms > stale_ms:
            return row
        return row.having({"price": float(last.price)})

    def _question(self, row: Row, form: Form, model: str) -> Question:
        now = clock.now()
        view = self._view(row)
        is_rules = not model and settings.ANALYST == RULES
        return Question(
            id=uuid4(),
            kind=Kind.CUSTOM,
            snapshot={**view, "question": form.as_json()},
            analyst=RULES if is_rules else "llm",
            model="" if is_rules else model or settings.LLM_MODEL,
            deadline=now + timedelta(seconds=ANSWER_S * float(settings.CLOCK_SPEED)),
            scopes=("all", f"symbol:{row.symbol}"),
        )

    def _view(self, row: Row) -> dict[str, Any]:
        """What is known of a row: its candle and the standard indicators where it has one, and what the graph made of it."""
        found = self.windows([row], interval=row.interval).get(row.key) if row.open_time is not None else None
        graph = {"values": dict(row.values), "texts": dict(row.texts)}
        side = "long"
        trader = {
            "side": side,
            "strategy": "",
            "conditions": [{"field": "close", "operator": "gt", "value": 0}],
            "invalidation_conditions": [],
            "stop_atr_multiple": 2.0,
            "target_r": 2.0,
        }
        if found is None:
            return {"market": row.market, "symbol": row.symbol, "interval": row.interval, "row": graph}
        readings = indicators.compute(window=found, names=sorted({*indicators.STANDARD, *rules.NEEDED, "close"}))
        view = snapshot.market_view(symbol=row.symbol, interval=row.interval, market=row.market, window=found, readings=readings)
        return {**view, "row": graph, "trader": trader, "recent_decisions": []}

    def _raise(self, wanted: Wanted, trader: Trader | None) -> Raised:
        if trader is None:
            return Raised(wanted.symbol, wanted.side, note="the trader is not one of this session's owner's")
        if self.is_trial:
            fits = wanted.symbol in trader.symbols and trader.state == Trader.State.RUNNING
            note = "a trial: none was raised" if fits else f"a trial: {trader.name} is {trader.state} or does not trade it"
            return Raised(wanted.symbol, wanted.side, note=note)
        values = dict(wanted.row.values)
        price = values.get("close", values.get("price"))
        new = NewSignal(
            trader=trader,
            symbol=wanted.symbol,
            source=Signal.Source.SESSION,
            side=wanted.side,
            external_id=f"session:{self.owner.root_id}:{hashlib.sha256(wanted.key.encode()).hexdigest()[:40]}",
            price=None if price is None else Decimal(repr(price)),
            matched_conditions=[{"text": wanted.reasons}] if wanted.reasons else [],
            metadata={
                "session": str(self.owner.root_id),
                "session_name": self.owner.name,
                "execution": str(self.owner.execution_id),
                "candle_time": wanted.row.open_time,
                "values": values,
                "reasons": wanted.reasons,
            },
        )
        try:
            signal, is_new = intake.record(new, now=clock.now())
        except IntakeError as error:
            return Raised(wanted.symbol, wanted.side, note=str(error))
        return Raised(wanted.symbol, wanted.side, str(signal.id), "" if is_new else "it was raised before")


def _last_closed(row: Row, interval: str) -> int:
    """The candle of an interval that had closed when the row's own did (P1)."""
    assert row.open_time is not None
    if interval == row.interval:
        return row.open_time
    return intervals.newest_closed(at_ms=intervals.close_time(open_time=row.open_time, interval=row.interval), interval=interval)


def _fields(rows: Sequence[Row], answers: Sequence[Answer], analyses: Sequence[str]) -> list[Mapping[str, Any] | None]:
    """:raises NodeFailed: if nobody got a decision"""
    found: list[Mapping[str, Any] | None] = []
    for answer, analysis in zip(answers, analyses, strict=True):
        verdict = answer.verdict
        known = {} if verdict is None else {"confidence": float(verdict.confidence), "reasoning": verdict.reasoning, **verdict.details}
        found.append((known and {**known, "analysis": analysis}) or None)
    if answers and all(answer.verdict is None for answer in answers):
        first = answers[0]
        text = f"{rows[0].symbol}: no decision: {first.outcome}, {first.error}"[:500]
        raise NodeFailed(text, is_shared=first.outcome not in OWN)
    return found


def start_of(*, at_ms: int, market: str = "", interval: str = "", open_time: int | None = None, missing: Sequence[str] = ()) -> Start:
    """What a run was started by. A run at a close sees nothing that closed later."""
    start = Start(at_ms, market, interval, open_time, tuple(missing))
    return start if open_time is None else replace(start, at_ms=intervals.close_time(open_time=open_time, interval=interval))
