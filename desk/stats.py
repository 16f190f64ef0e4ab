"""
How well the desk does, grouped by what somebody wants to compare: questions to analysts, setups, and trades.

Money is in quote, and counted over positions that are closed; times are the app clock's.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from monitoring import rollup

PERIODS = {"24h": 1, "7d": 7, "30d": 30, "365d": 365}  # days

# What each table can be grouped by; the keys are what a person may choose, the values never come from outside.
QUESTIONS_BY = {
    "trader": "t.name",
    "symbol": "f.symbol",
    "interval": "f.interval",
    "analyst": "f.analyst",
    "model": "nullif(f.model, '')",
    "prompt": "nullif(f.prompt_version, '')",
    "kind": "f.kind",
}
TRADES_BY = {"trader": "t.name", "symbol": "p.symbol", "interval": "t.interval", "side": "p.side", "reason": "p.close_reason"}
SETUPS_BY = {"trader": "t.name", "symbol": "s.symbol", "interval": "s.interval", "source": "s.source"}

# The figures come from the sums of past days; of each group, the distribution of its latencies is put together again.
QUESTIONS = f"""
WITH figures AS MATERIALIZED (
    SELECT {{by}} AS what, f.* FROM ({rollup.SINCE}) f LEFT JOIN traders t ON t.id = f.trader_id
     WHERE %(user)s::uuid IS NULL OR f.user_id = %(user)s
),
latencies AS (
    SELECT what, step, sum(sum(count)) OVER (PARTITION BY what ORDER BY step) AS up_to, sum(sum(count)) OVER (PARTITION BY what) AS measured
      FROM figures, unnest(latency_steps, latency_counts) AS l(step, count) GROUP BY what, step
),
p95 AS (SELECT what, power(2, min(step)::numeric / {rollup.STEPS_A_DOUBLING}) AS ms, min(measured) AS measured
          FROM latencies WHERE up_to >= 0.95 * measured GROUP BY what)
SELECT f.what, sum(questions) AS questions, sum(decided) AS decided,
       round(100.0 * sum(questions - decided) / sum(questions), 2) AS "no decision %%",
       round(sum(latency_ms) / max(p95.measured)) AS "mean ms", round(max(p95.ms)) AS "p95 ms",
       round(sum(tokens) / sum(questions)) AS "tokens each",
       sum(cost_usd) AS "cost, USD"
  FROM figures f LEFT JOIN p95 ON p95.what IS NOT DISTINCT FROM f.what
 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 500
"""
SETUPS = """
SELECT {by} AS what, count(*) AS signals,
       count(*) FILTER (WHERE s.monitoring_started_at IS NOT NULL) AS waited,
       count(*) FILTER (WHERE p.id IS NOT NULL) AS entered,
       round(100.0 * count(p.id) / count(*), 1) AS "entered %%",
       count(*) FILTER (WHERE s.status = 'expired') AS expired,
       round(avg(s.reanalysis_count) FILTER (WHERE s.monitoring_started_at IS NOT NULL), 1) AS "looks each",
       count(*) FILTER (WHERE p.status = 'closed' AND p.realized_pnl - p.fees > 0) AS won,
       count(*) FILTER (WHERE p.status = 'closed' AND p.realized_pnl - p.fees <= 0) AS lost
  FROM signals s JOIN traders t ON t.id = s.trader_id LEFT JOIN positions p ON p.signal_id = s.id
 WHERE s.created_at >= %(since)s AND (%(user)s::uuid IS NULL OR t.user_id = %(user)s)
 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 500
"""
TRADES = """
SELECT {by} AS what, count(*) AS trades,
       round(100.0 * count(*) FILTER (WHERE p.realized_pnl - p.fees > 0) / count(*), 1) AS "won %%",
       round(sum(p.realized_pnl - p.fees), 2) AS "net P&L",
       round(sum(p.fees), 2) AS fees,
       round(avg((p.realized_pnl - p.fees) / nullif(abs(p.entry_price - p.initial_stop_loss) * p.initial_contracts, 0)), 2) AS "mean R",
       round(avg(extract(epoch FROM p.closed_at - p.opened_at) / 60)) AS "minutes held",
       round(avg((SELECT count(*) FROM position_management_decisions d WHERE d.position_id = p.id)), 1) AS "decisions each",
       round(100.0 * sum(greatest(p.realized_pnl - p.fees, 0)) / nullif(sum(greatest(p.max_pnl, 0)), 0), 1) AS "kept of best %%",
       round(sum(p.unprotected_seconds), 1) AS "unprotected s"
  FROM positions p JOIN traders t ON t.id = p.trader_id
 WHERE p.status = 'closed' AND p.closed_at >= %(since)s AND (%(user)s::uuid IS NULL OR t.user_id = %(user)s)
 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 500
"""
TABLES = {
    "trades": ("Trades", TRADES, TRADES_BY),
    "setups": ("Signals and setups", SETUPS, SETUPS_BY),
    "questions": ("Questions", QUESTIONS, QUESTIONS_BY),
}


TARGETS = f"""
SELECT coalesce(sum(questions), 0), sum(failed), sum(latency_ms) / nullif(sum((SELECT sum(n) FROM unnest(latency_counts) n)), 0),
       sum(tokens), sum(counted)
  FROM ({rollup.SINCE}) f WHERE asked_model AND (%(user)s::uuid IS NULL OR user_id = %(user)s)
"""
ERROR_RATE_PCT, MEAN_LATENCY_S, TOKENS_EACH = 1.0, 5.0, 1100  # what a model should keep to


@dataclass(frozen=True)
class Target:
    """A figure of the models that were asked, and what it should be; `is_met` None: nobody was asked."""

    name: str
    value: str
    target: str
    is_met: bool | None


@dataclass(frozen=True)
class Table:
    """One table: what it is grouped by, what else it could be, and its rows."""

    key: str
    title: str
    by: str
    choices: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def as_csv(self) -> str:
        """The rows with their header."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow([self.by, *self.columns])
        writer.writerows([[_harmless(value) for value in row] for row in self.rows])
        return text.getvalue()


def read(key: str, *, by: str, since: datetime, user_id: UUID | None) -> Table:
    """
    One table since a moment, of one user's traders or of all (None). What it can't be grouped by falls back to traders.

    :raises KeyError: if there is no such table
    """
    title, sql, choices = TABLES[key]
    by = by if by in choices else "trader"
    with connection.cursor() as cursor:
        cursor.execute(sql.format(by=choices[by]), {**rollup.arguments(since=since), "user": user_id})
        columns = [column.name for column in cursor.description or ()][1:]
        rows = [("–" if row[0] is None else row[0], *row[1:]) for row in cursor.fetchall()]
    return Table(key, title, by, list(choices), columns, rows)


def targets(*, since: datetime, days: int, user_id: UUID | None) -> list[Target]:
    """How models do against what they should: errors, latency, tokens of an analysis and of a day."""
    with connection.cursor() as cursor:
        cursor.execute(TARGETS, {**rollup.arguments(since=since), "user": user_id})
        asked, failed, latency_ms, tokens, counted = cursor.fetchone()
    if not asked:
        return []
    error_pct, mean_s = 100 * failed / asked, float(latency_ms or 0) / 1000  # none: nothing went out to a model
    each = float(tokens) / counted if counted else None
    return [
        Target("Error rate", f"{error_pct:.2f} %", f"under {ERROR_RATE_PCT:.0f} %", error_pct < ERROR_RATE_PCT),
        Target("Mean latency", f"{mean_s:.1f} s", f"under {MEAN_LATENCY_S:.0f} s", mean_s < MEAN_LATENCY_S),
        Target(
            "Tokens an analysis",
            "–" if each is None else f"{each:,.0f}",
            f"about {TOKENS_EACH:,}",
            each is not None and each < 1.5 * TOKENS_EACH,
        ),
        Target("Tokens a day", f"{tokens / days:,.0f}", f"about {asked / days * TOKENS_EACH:,.0f}", tokens < 1.5 * asked * TOKENS_EACH),
    ]


def _harmless(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets a quote in front."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") else value
