"""
Screening: at each close the conditions of every running trader are looked at, and every look has its row.

A signal is raised when the conditions hold on this closed candle and did not on the one before; at most once per
trader, symbol and candle, whatever is delivered twice.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection, transaction

from monitoring import candles, conditions, controls, indicators, intake
from monitoring.candles import CandleKey, Hole
from monitoring.conditions import Condition, ConditionError
from monitoring.handlers import Close
from monitoring.indicators import Reading, Window
from monitoring.intake import NewSignal
from monitoring.models import ScreeningCheck, Signal, Trader

logger = logging.getLogger(__name__)
Status = ScreeningCheck.Status

FINISH = """
UPDATE screenings c SET status = o.status, reason = o.reason, signal_id = o.signal_id
  FROM unnest(%(id)s::bigint[], %(status)s::text[], %(reason)s::text[], %(signal_id)s::uuid[]) AS o(id, status, reason, signal_id)
 WHERE c.id = o.id AND c.status = 'due'
"""


@dataclass
class _Look:
    """One check on its way to its outcome."""

    check: ScreeningCheck
    key: CandleKey
    trader: Trader
    status: str = Status.DUE
    reason: str = ""
    conditions: tuple[Condition, ...] = ()
    signal_id: UUID | None = None


def run(close: Close, *, now: datetime) -> int:
    """Carry out every check that is due on these closes; returns how many signals were raised."""
    with transaction.atomic():
        due = (
            ScreeningCheck.objects.select_for_update(of=("self",), skip_locked=True)
            .filter(market=close.market, interval=close.interval, candle_time=close.open_time, symbol__in=close.symbols, status=Status.DUE)
            .select_related("trader")
            .order_by("id")
        )
        looks = [_Look(c, CandleKey(c.market, c.symbol, c.interval, c.candle_time), c.trader) for c in due]
        if not looks:
            return 0
        _leave_out(looks)
        open_looks = [look for look in looks if look.status == Status.DUE]
        windows = candles.windows(look.key for look in open_looks)
        _evaluate(open_looks, windows)
        raised = _raise(looks, windows, now=now)
        _finish(looks)
    return raised


def _leave_out(looks: Sequence[_Look]) -> None:
    """Checks that are not carried out, with the reason."""
    halts = controls.open_halts()
    for look in looks:
        halt = controls.strictest(halts, controls.scopes(trader_id=look.trader.id, symbol=look.key.symbol))
        if halt:
            look.status, look.reason = Status.SKIPPED, "halted"
        elif look.trader.state != Trader.State.RUNNING:
            look.status, look.reason = Status.SKIPPED, look.trader.state
        else:
            try:
                look.conditions = conditions.parse(look.trader.conditions)
            except ConditionError as error:
                look.status, look.reason = Status.NOT_READY, str(error)


def _evaluate(looks: Sequence[_Look], windows: Mapping[CandleKey, Window | Hole]) -> None:
    names: dict[CandleKey, set[str]] = defaultdict(set)
    for look in looks:
        names[look.key] |= conditions.names(look.conditions)
    readings: dict[tuple[CandleKey, int], dict[str, Reading]] = {}

    def at(key: CandleKey, back: int) -> dict[str, Reading]:
        if (key, back) not in readings:
            window = windows[key]
            assert isinstance(window, Window)
            seen = window.until(int(window.open_time[-1 - back])) if back else window
            readings[key, back] = indicators.compute(window=seen, names=sorted(names[key]))
        return readings[key, back]

    for look in looks:
        window = windows[look.key]
        if isinstance(window, Hole):
            look.status, look.reason = Status.NOT_READY, window.reason
            continue
        held = conditions.hold(look.conditions, readings=at(look.key, 0))
        before = conditions.hold(look.conditions, readings=at(look.key, 1)) if held and len(window) > 1 else False
        if held is None:
            look.status, look.reason = Status.NOT_READY, f"only {len(window)} candles are known"
        elif not held:
            look.status = Status.NO_MATCH
        elif before is not False:
            look.status = Status.STILL_MATCHING
        else:
            look.status = Status.FIRED
            results = conditions.evaluate(look.conditions, readings=at(look.key, 0))
            look.reason = "; ".join(f"{r.condition} ({r.value:.6g})" for r in results if r.value is not None)


def _raise(looks: Sequence[_Look], windows: Mapping[CandleKey, Window | Hole], *, now: datetime) -> int:
    fired = [look for look in looks if look.status == Status.FIRED]
    new = []
    for look in fired:
        window = windows[look.key]
        assert isinstance(window, Window)
        matched = [{**raw, "text": str(c)} for raw, c in zip(look.trader.conditions, look.conditions, strict=True)]
        new.append(
            NewSignal(
                trader=look.trader,
                symbol=look.key.symbol,
                source=Signal.Source.SCREEN,
                external_id=f"screen:{look.key.symbol}:{look.key.interval}:{look.key.open_time}",
                price=Decimal(repr(float(window.close[-1]))),
                matched_conditions=matched,
                metadata={"candle_time": look.key.open_time, "values": look.reason},
            )
        )
    created = {(signal.trader_id, signal.external_id): signal.id for signal in intake.record_many(new, now=now)}
    for look, signal in zip(fired, new, strict=True):
        look.signal_id = created.get((look.trader.id, signal.external_id))
    return len(created)


def _finish(looks: Sequence[_Look]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            FINISH,
            {
                "id": [look.check.id for look in looks],
                "status": [look.status for look in looks],
                "reason": [look.reason[:500] for look in looks],
                "signal_id": [look.signal_id for look in looks],
            },
        )
