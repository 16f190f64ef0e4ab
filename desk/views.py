"""Pages and endpoints of the desk: each translates, makes one call, and translates back."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.views.decorators import staff_member_required
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from desk import health, webhook
from desk.metrics import text as metrics_text
from monitoring import clock, intake
from monitoring.intake import NewSignal
from monitoring.models import Signal, Trader


@require_GET
@staff_member_required
def desk(request: HttpRequest) -> HttpResponse:
    """The desk: feed, positions, what needs attention. Everything but the frame arrives over the socket."""
    traders = list(Trader.objects.exclude(state=Trader.State.ARCHIVED).values("id", "name", "interval", "analyst", "state"))
    return render(request, "desk/desk.html", {"traders": traders, "names": {str(t["id"]): t["name"] for t in traders}})


@csrf_exempt
@require_POST
def signal_webhook(request: HttpRequest, token: str) -> HttpResponse:
    """Take a signal for the trader whose token this is; answers at once, the analysis is a job."""
    trader = intake.trader_of_token(token)
    if trader is None:
        return _problem(404, "token: unknown")
    if int(request.headers.get("Content-Length") or 0) > webhook.LARGEST_BODY:
        return _problem(413, f"body: at most {webhook.LARGEST_BODY} bytes are taken")
    try:
        payload = webhook.parse(request.body)
        new = NewSignal(
            trader=trader,
            symbol=payload.symbol,
            side=payload.side,
            price=payload.price,
            external_id=payload.external_id,
            source=Signal.Source.WEBHOOK,
            metadata=payload.metadata,
        )
        signal, created = intake.record(new, now=clock.now())
    except webhook.BadPayload as error:
        return _problem(400, str(error))
    except intake.TraderPaused as error:
        return _problem(409, str(error))
    except intake.NotOfTrader as error:
        return _problem(422, str(error))
    return JsonResponse({"id": str(signal.id), "status": signal.status, "created": created}, status=201 if created else 200)


@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


@require_GET
def readyz(request: HttpRequest) -> HttpResponse:
    """The database answers and a listener is alive."""
    try:
        seen = health.overview()
    except DatabaseError as error:
        return JsonResponse({"status": "unready", "database": type(error).__name__}, status=503)
    body: dict[str, Any] = {"listener_age_s": seen.listener_age_s, "queue_depth": seen.queue_depth}
    return JsonResponse({"status": "ready" if seen.listener_is_live else "unready", **body}, status=200 if seen.listener_is_live else 503)


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus' text format."""
    return HttpResponse(metrics_text(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _problem(status: int, detail: str) -> JsonResponse:
    return JsonResponse({"error": detail}, status=status)
