"""What one trader has done: the funnel of its signals, its money over time, and what happened after its decisions."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from monitoring import clock
from monitoring.models import AuditLog, Trader
from positions.models import Position

DECISIONS_LOOKED_AT = 2_000
POINTS = 2_000
AHEAD = (1, 5, 20)  # candles after a decision

FUNNEL = """
SELECT count(*) AS signals,
       count(*) FILTER (WHERE a.decision = 'enter_trade') AS entered_at_once,
       count(*) FILTER (WHERE a.decision = 'wait') AS waited,
       count(*) FILTER (WHERE a.decision = 'bad_setup') AS bad,
       count(*) FILTER (WHERE a.id IS NOT NULL AND a.decision IS NULL) AS no_decision,
       count(*) FILTER (WHERE s.status = 'monitoring') AS waiting_now,
       count(*) FILTER (WHERE s.monitoring_started_at IS NOT NULL AND s.status = 'expired') AS abandoned,
       count(p.id) AS entered,
       count(*) FILTER (WHERE p.status <> 'closed') AS open,
       count(*) FILTER (WHERE p.status = 'closed' AND p.realized_pnl - p.fees > 0) AS won,
       count(*) FILTER (WHERE p.status = 'closed' AND p.realized_pnl - p.fees <= 0) AS lost
  FROM signals s
  LEFT JOIN signal_analyses a ON a.signal_id = s.id AND a.kind = 'initial'
  LEFT JOIN positions p ON p.signal_id = s.id
 WHERE s.trader_id = %s
"""
# Each of the newest decisions with the closes that many candles later; the move is positive when it went the trader's way.
QUALITY = """
WITH d AS (
    SELECT a.kind, a.decision, a.candle_time, s.symbol, s.interval, t.market, CASE WHEN s.side = 'short' THEN -1 ELSE 1 END AS sign
      FROM signal_analyses a JOIN signals s ON s.id = a.signal_id JOIN traders t ON t.id = a.trader_id
     WHERE a.trader_id = %(trader)s AND a.decision IS NOT NULL AND a.candle_time IS NOT NULL
     ORDER BY a.created_at DESC LIMIT %(limit)s
),
moves AS (
    SELECT d.kind, d.decision, n.ahead, d.sign * (c.close / c0.close - 1) * 100 AS pct
      FROM d
      JOIN candles c0 ON c0.market = d.market AND c0.symbol = d.symbol AND c0.interval = d.interval AND c0.open_time = d.candle_time
     CROSS JOIN unnest(%(ahead)s::int[]) AS n(ahead)
      JOIN candles c ON c.market = d.market AND c.symbol = d.symbol AND c.interval = d.interval
       AND c.open_time = d.candle_time + n.ahead * interval_ms(d.interval)
)
SELECT kind, decision, ahead, count(*), avg(pct), 100.0 * count(*) FILTER (WHERE pct > 0) / count(*)
  FROM moves GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
COST = """
SELECT to_ms(date_trunc('hour', created_at)) / 1000, sum(sum(cost_usd)) OVER (ORDER BY date_trunc('hour', created_at))
  FROM signal_analyses WHERE trader_id = %s AND cost_usd > 0 GROUP BY date_trunc('hour', created_at) ORDER BY 1 DESC LIMIT %s
"""


@dataclass(frozen=True)
class Quality:
    """What happened after one kind of decision: by how many candles ahead, (how often, mean move in %, share that went its way in %)."""

    kind: str
    decision: str
    ahead: dict[int, tuple[int, Decimal, Decimal]]

    @property
    def cells(self) -> list[tuple[int, Decimal, Decimal] | None]:
        """In the order of AHEAD."""
        return [self.ahead.get(candles) for candles in AHEAD]


def funnel(trader_id: UUID) -> dict[str, int]:
    """How many signals came to what."""
    with connection.cursor() as cursor:
        cursor.execute(FUNNEL, [trader_id])
        names = [column.name for column in cursor.description or ()]
        return dict(zip(names, cursor.fetchone(), strict=True))


def quality(trader_id: UUID) -> list[Quality]:
    """What happened 1, 5 and 20 candles after the newest decisions, also after those that led to nothing."""
    found: dict[tuple[str, str], Quality] = {}
    with connection.cursor() as cursor:
        cursor.execute(QUALITY, {"trader": trader_id, "limit": DECISIONS_LOOKED_AT, "ahead": list(AHEAD)})
        for kind, decision, ahead, count, mean, share in cursor.fetchall():
            found.setdefault((kind, decision), Quality(kind, decision, {})).ahead[ahead] = (count, mean, share)
    return list(found.values())


def curves(trader: Trader) -> dict[str, Any]:
    """Net profit and money spent on answers, summed up over time: points of unix seconds and value."""
    closed = Position.objects.filter(trader=trader, status=Position.Status.CLOSED).order_by("-closed_at")
    equity: dict[int, float] = {}
    total = Decimal(0)
    for at, pnl, fees in reversed(closed.values_list("closed_at", "realized_pnl", "fees")[:POINTS]):
        assert at is not None, "a closed position has its moment"
        total += pnl - fees
        equity[clock.to_ms(at) // 1000] = float(total)
    with connection.cursor() as cursor:
        cursor.execute(COST, [trader.id, POINTS])
        cost = [{"time": int(at), "value": float(value)} for at, value in reversed(cursor.fetchall())]
    return {"equity": [{"time": at, "value": value} for at, value in equity.items()], "cost": cost}


def changes(trader_id: UUID) -> list[AuditLog]:
    """Who changed its settings or its switch, the newest first."""
    about = AuditLog.objects.filter(subject_type="trader", subject_id=str(trader_id)) | AuditLog.objects.filter(
        subject_type="halt", subject_id=f"trader:{trader_id}"
    )
    return list(about.order_by("-at")[:30])
