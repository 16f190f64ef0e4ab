"""What every page shows around its content, and what the desk's side panels hold: read in a fixed number of queries."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import close_old_connections, connection

from desk import attention, health
from monitoring import clock, controls, heartbeats
from monitoring.asking import budget

SILENT_FEED_S = 30.0  # real time; every followed exchange sends something more often

TODAY = """
SELECT (SELECT count(*) FROM signal_analyses WHERE created_at >= %(since)s AND outcome = 'ok'),
       (SELECT count(*) FROM workflow_runs WHERE created_at >= %(since)s AND status = 'late'),
       (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY close_to_decision_ms)
          FROM (SELECT close_to_decision_ms FROM workflow_runs WHERE status = 'decided' ORDER BY created_at DESC LIMIT 200) r),
       (SELECT coalesce(sum(unrealized_pnl), 0) FROM positions WHERE status <> 'closed'),
       (SELECT coalesce(sum(realized_pnl - fees), 0) FROM positions WHERE status = 'closed' AND closed_at >= %(since)s)
"""
POSITIONS = """
SELECT p.id, p.symbol, p.side, t.name, p.contracts, p.entry_price, p.stop_loss, p.take_profit, p.unrealized_pnl, p.cost, l.close
  FROM positions p
  JOIN traders t ON t.id = p.trader_id
  LEFT JOIN LATERAL (SELECT close FROM candles c WHERE c.market = p.market AND c.symbol = p.symbol AND c.interval = t.interval
                      ORDER BY open_time DESC LIMIT 1) l ON true
 WHERE p.status <> 'closed' AND p.contracts > 0 ORDER BY p.opened_at DESC NULLS FIRST LIMIT 50
"""


def read() -> dict[str, Any]:
    """The desk's state as plain JSON values."""
    close_old_connections()
    seen = health.overview()
    now = clock.now()
    spent = budget.spent_today(now=now)
    with connection.cursor() as cursor:
        cursor.execute(TODAY, {"since": now.replace(hour=0, minute=0, second=0, microsecond=0)})
        decisions, late, lag_ms, open_pnl, closed_pnl = cursor.fetchone()
        cursor.execute(POSITIONS)
        positions = [_position(row) for row in cursor.fetchall()]
    return {
        "now": clock.to_ms(now),
        "speed": float(settings.CLOCK_SPEED),
        "listener": {"live": seen.listener_is_live, "age": seen.listener_age_s, "feed": _feed()},
        "queue": seen.queue_depth,
        "workflows": seen.active_workflows,
        "late": late,
        "decisions": decisions,
        "cost": float(spent.amount_usd),
        "budget": None if spent.budget_usd is None else float(spent.budget_usd),
        "projected": float(budget.projected(spent=spent.amount_usd, now=now)),
        "lag_ms": None if lag_ms is None else float(lag_ms) / float(settings.CLOCK_SPEED),
        "open_pnl": float(open_pnl),
        "closed_pnl": float(closed_pnl),
        "positions": positions,
        "attention": attention.read(speed=float(settings.CLOCK_SPEED)),
        "halts": [_halt(halt) for halt in controls.open_halts().values()],
    }


def _feed() -> str:
    """Whether the living listeners receive anything: live, silent, or not connected."""
    markets = [market for _, state in heartbeats.living(kind="listener") for market in state.get("markets", {}).values()]
    followed = [market for market in markets if market["streams"]]
    if any(not market["connections"] for market in followed):
        return "not connected"
    silent = [market for market in followed if (market["last_frame_age_s"] or 0) > SILENT_FEED_S]
    return "silent" if silent else "live"


def _position(row: tuple[Any, ...]) -> dict[str, Any]:
    key, symbol, side, trader, contracts, entry, stop, target, pnl, cost, close = row
    mark = close if close is not None else entry
    return {
        "id": str(key),
        "symbol": symbol,
        "side": side,
        "trader": trader,
        "size": float(contracts),
        "entry": float(entry or 0),
        "mark": float(mark or 0),
        "stop_pct": float(abs(mark - stop) / mark * 100) if stop and mark else None,
        "target": float(target or 0),
        "pnl": float(pnl),
        "pnl_pct": float(pnl / cost * 100) if cost else 0.0,
    }


def _halt(halt: Any) -> dict[str, Any]:
    return {"scope": halt.scope, "state": halt.state, "reason": halt.reason, "by": halt.halted_by, "at": clock.to_ms(halt.halted_at)}
