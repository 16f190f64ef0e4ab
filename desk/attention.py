"""What an operator has to look at: workflows in trouble, markets nobody follows, feeds and clocks that are wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.db import connection
from django.urls import reverse

from desk import switches
from monitoring import clock, coverage, heartbeats
from positions.models import ExchangeAccount

SKEW_MS = 1000
SHOWN = 10

WORKFLOWS = """
SELECT id, symbol, interval, consecutive_errors, last_error, stop_reason
  FROM workflow_schedules
 WHERE (NOT is_active AND stop_reason = 'error_limit_exceeded') OR (is_active AND consecutive_errors > 0)
 ORDER BY last_error_at DESC NULLS LAST LIMIT %s
"""


UNPROTECTED = """
SELECT id, symbol, side, contracts FROM positions
 WHERE status IN ('open', 'closing') AND contracts > 0
   AND NOT EXISTS (SELECT 1 FROM orders o
                    WHERE o.position_id = positions.id AND o.leg = 'stop' AND o.status IN ('open', 'partially_filled'))
 ORDER BY opened_at LIMIT %s
"""
ENDPOINTS = "SELECT base_url, last_error FROM analyst_endpoints WHERE open_until IS NOT NULL ORDER BY base_url"
USED_UP = """
SELECT t.name, d.amount_usd FROM daily_spend d LEFT JOIN traders t ON d.scope = t.id::text
 WHERE d.day = %s AND d.told_at IS NOT NULL ORDER BY d.scope = 'all' DESC, t.name
"""
LATE = """
SELECT s.id, s.symbol, s.interval, count(*) FROM workflow_runs r JOIN workflow_schedules s ON s.id = r.schedule_id
 WHERE r.status = 'late' AND r.created_at > %s GROUP BY 1, 2, 3 ORDER BY 4 DESC LIMIT %s
"""
LATE_LATELY = timedelta(minutes=15)


def read(*, speed: float) -> list[dict[str, Any]]:
    """The items as plain JSON values, the worst first: `title`, `url`, `text`, `tail`, and whether it is `off` for good."""
    return [*_flattening(), *_unprotected(), *_drifted(), *_endpoints(), *_budget(), *_markets(speed), *_workflows(), *_late()]


def _flattening() -> list[dict[str, Any]]:
    found = []
    for one in switches.flattening():
        text = f"{len(one['left'])} refuse to close, and are tried again every second: {', '.join(one['left'][:5])}"
        found.append(_item(f"Flatten {one['scope']}", text, view="desk:switches", tail="stuck", off=True))
    return found


def _unprotected() -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(UNPROTECTED, [SHOWN])
        rows = cursor.fetchall()
    return [
        _item(symbol, f"{side} {contracts.normalize():f} has no stop at the exchange", view="desk:position", key=key, tail="stop", off=True)
        for key, symbol, side, contracts in rows
    ]


def _drifted() -> list[dict[str, Any]]:
    troubled = ExchangeAccount.objects.exclude(reconcile_problem="").values_list("id", "name", "reconcile_problem")[:SHOWN]
    return [_item(name, text[:160], view="desk:account", key=key, tail="drift", off=True) for key, name, text in troubled]


def _endpoints() -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(ENDPOINTS)
        rows = cursor.fetchall()
    view, text = "admin:monitoring_analystendpoint_changelist", "the analyst does not answer: "
    return [_item(urlsplit(url).netloc, text + error[:120], view=view, tail="LLM", off=True) for url, error in rows]


def _budget() -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(USED_UP, [clock.now().date()])
        rows = cursor.fetchall()
    view, text = "admin:monitoring_budgetreservation_changelist", "the analyst's budget of the day is used up"
    return [_item(name or "Everybody", text, view=view, tail=f"${spent:.2f}") for name, spent in rows]


def _late() -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(LATE, [clock.now() - LATE_LATELY, SHOWN])
        rows = cursor.fetchall()
    return [
        _item(f"{symbol} {interval}", "decisions came too late to be acted on", view="desk:workflow", key=key, tail=f"{count} late")
        for key, symbol, interval, count in rows
    ]


def _item(title: str, text: str, *, view: str = "admin:monitoring_heartbeat_changelist", key: Any = None, **more: Any) -> dict[str, Any]:
    url = reverse(view, args=[key] if key else [])
    return {"title": title, "url": url, "text": text, "tail": more.get("tail", ""), "off": more.get("off", False)}


def _markets(speed: float) -> list[dict[str, Any]]:
    found = []
    for market in coverage.unfollowed():
        text = f"no listener follows it; {', '.join(market.traders[:3])}{' …' if len(market.traders) > 3 else ''} wait in vain"
        found.append(_item(market.market, text, off=True))
    for instance, state in heartbeats.living(kind="listener"):
        for market, numbers in state.get("markets", {}).items():
            offset, error = numbers.get("offset_ms"), numbers.get("offset_error_ms") or 0
            if offset is not None and abs(offset) - error > SKEW_MS * speed:
                found.append(_item(market, f"the clock of {instance} is {abs(offset) / 1000 / speed:.1f} s off", tail="clock"))
            if troubled := numbers.get("troubled"):
                others = numbers.get("troubled_count", len(troubled)) - 1
                more = f" and {others} more" if others else ""
                found.append(_item(market, f"gaps can't be fetched: {troubled[0]}{more}", tail="REST"))
    return found


def _workflows() -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(WORKFLOWS, [SHOWN])
        rows = cursor.fetchall()
    view = "desk:workflow"
    return [
        _item(f"{symbol} {interval}", error[:160], view=view, key=key, tail=f"{errors}/5", off=bool(stop_reason))
        for key, symbol, interval, errors, error, stop_reason in rows
    ]
