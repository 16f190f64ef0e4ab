"""`/stats/`: how well the desk does, on a page and as CSV."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.admin.views.decorators import staff_member_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from desk import stats
from monitoring import clock
from monitoring.admin.base import sees_all


@require_GET
@staff_member_required
def page(request: HttpRequest) -> HttpResponse:
    """All tables for a period; with `csv` one of them for a spreadsheet."""
    period = request.GET.get("period", "7d")
    period = period if period in stats.PERIODS else "7d"
    since = clock.now() - timedelta(days=stats.PERIODS[period])
    user_id = None if sees_all(request.user) else request.user.pk
    chosen = {key: request.GET.get(key, "trader") for key in stats.TABLES}
    if (key := request.GET.get("csv", "")) in stats.TABLES:
        table = stats.read(key, by=chosen[key], since=since, user_id=user_id)
        answer = HttpResponse(table.as_csv(), content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="{key}-by-{table.by}-{period}.csv"'
        return answer
    tables = [stats.read(key, by=by, since=since, user_id=user_id) for key, by in chosen.items()]
    targets = stats.targets(since=since, days=stats.PERIODS[period], user_id=user_id)
    return render(request, "desk/stats.html", {"tables": tables, "targets": targets, "periods": list(stats.PERIODS), "period": period})
