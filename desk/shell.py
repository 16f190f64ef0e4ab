"""What the shell of every page needs to draw itself; its numbers arrive over the socket."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from monitoring.models import Event
from positions.models import ExchangeAccount

HISTORY = 200  # events shown when a page opens


def context(request: HttpRequest) -> dict[str, Any]:
    """Navigation and the feed's starting place, for staff only."""
    if not getattr(request, "user", None) or not request.user.is_staff:
        return {}
    path = request.path
    items = [
        ("Desk", reverse("desk:desk"), "bolt"),
        ("Workflows", reverse("admin:monitoring_workflowschedule_changelist"), "clock"),
        ("Signals", reverse("admin:monitoring_signal_changelist"), "wave"),
        ("Positions", reverse("admin:positions_position_changelist"), "layers"),
        ("Traders", reverse("admin:monitoring_trader_changelist"), "bot"),
        ("Sessions", reverse("desk:sessions"), "graph"),
        ("Stats", reverse("desk:stats"), "bars"),
        ("Switches", reverse("desk:switches"), "stop"),
        *([("Audit", reverse("desk:audit"), "scroll")] if request.user.has_perm("monitoring.view_auditlog") else []),
        ("Records", reverse("admin:index"), "table"),
    ]
    active = max((url for _, url, _ in items if path.startswith(url) and (url != "/" or path == "/")), key=len, default="")
    live = ExchangeAccount.objects.filter(is_live=True).exclude(kind__in=settings.SIMULATED_TRADING).exists()
    newest = Event.objects.order_by("-seq").exclude(seq=None).values_list("seq", flat=True).first() or 0
    return {
        "shell": {
            "items": [{"name": name, "url": url, "icon": icon, "active": url == active} for name, url, icon in items],
            "after": max(0, newest - HISTORY),
            "tag": "LIVE" if live else "SIMULATED" if settings.MARKET_IS_SIMULATED else "PAPER",
            "trades_live": live,
        }
    }
