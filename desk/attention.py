"""What an operator has to look at: workflows in trouble, markets nobody follows, feeds and clocks that are wrong."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.urls import reverse

from monitoring import coverage, heartbeats

SKEW_MS = 1000
SHOWN = 10

WORKFLOWS = """
SELECT id, symbol, interval, consecutive_errors, last_error, stop_reason
  FROM workflow_schedules
 WHERE (NOT is_active AND stop_reason = 'error_limit_exceeded') OR (is_active AND consecutive_errors > 0)
 ORDER BY last_error_at DESC NULLS LAST LIMIT %s
"""


def read(*, speed: float) -> list[dict[str, Any]]:
    """The items as plain JSON values, the broadest first: `title`, `url`, `text`, `tail`, and whether it is `off` for good."""
    return [*_markets(speed), *_workflows()]


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
