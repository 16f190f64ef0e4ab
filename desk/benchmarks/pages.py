"""
How long pages and admin lists take on a desk with a long history.

Every request goes through the whole of Django in this process: middleware, queries, templates. An admin list is measured with everything
that can be clicked on it: its pages, filters and dates, and a search. A page that answers anything but 200 ends the measurement.
"""

from __future__ import annotations

import html
import random
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

from django.contrib import admin
from django.test import Client
from django.urls import reverse

from desk import stats
from monitoring import clock
from monitoring.admin.base import LogAdmin
from monitoring.models import User, WorkflowRun, WorkflowSchedule
from positions.models import Position

CALLS = 20
LINKS_EACH = 2  # of every filter of a list
LINK = re.compile(r'href="(\?[^"]*)"')


@dataclass(frozen=True)
class Timing:
    """Of one page or list, in ms, over all its calls; `slowest` is the address that took longest in the middle of its calls."""

    name: str
    p50_ms: float
    p95_ms: float
    worst: str


def unsummed(*, who: User) -> Iterator[Timing]:
    """Time the statistics alone, before past days are summed up."""
    client = _client(who)
    for period, addresses in _stats().items():
        yield _timed(client, f"{period}, not summed up", addresses[: len(stats.QUESTIONS_BY)], calls=1)


def measure(*, who: User, seed: int = 7) -> Iterator[Timing]:
    """Time everything that this person may open."""
    client = _client(who)
    chance = random.Random(seed)
    for name, addresses in _pages(who, chance).items():
        yield _timed(client, name, addresses, calls=1)
    for model, registered in sorted(admin.site._registry.items(), key=lambda found: str(found[0]._meta.verbose_name_plural)):
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        if (answer := client.get(address)).status_code == 200:
            links = [address + link for link in _links(answer.content.decode())]
            searched = [f"{address}?q={text}" for text in ("S7USDT", "nothing-like-it")] if registered.search_fields else []
            if searched and isinstance(registered, LogAdmin):
                searched.append(f"{searched[1]}&when={clock.now() - timedelta(days=45):%Y-%m}")
            yield _timed(client, f"list of {model._meta.verbose_name_plural}", [address, *links, *searched], calls=4)


def _client(who: User) -> Client:
    client = Client(SERVER_NAME="localhost")
    client.force_login(who)
    return client


def _timed(client: Client, name: str, addresses: Sequence[str], *, calls: int) -> Timing:
    took: dict[str, list[float]] = {}
    for address in addresses:
        for call in range(calls):
            began = time.perf_counter()
            answer = client.get(address)
            answer.getvalue()
            if call or calls == 1:  # the first one of an admin list warms it up
                took.setdefault(address, []).append((time.perf_counter() - began) * 1000)
            if answer.status_code != 200:
                raise RuntimeError(f"{address}: {answer.status_code}")
    every = [ms for times in took.values() for ms in times]
    worst = max(took, key=lambda address: statistics.median(took[address]))
    p95 = statistics.quantiles(every, n=20, method="inclusive")[-1] if len(every) > 1 else every[0]
    return Timing(name, statistics.median(every), p95, f"{worst} {statistics.median(took[worst]):.0f}")


def _links(page: str) -> list[str]:
    """What a list offers to click: of each parameter some, and its farthest page."""
    found: dict[str, list[str]] = {}
    for link in dict.fromkeys(html.unescape(link) for link in LINK.findall(page)):
        names = sorted(parse_qs(urlsplit(link).query, keep_blank_values=True))
        found.setdefault(" ".join(names), []).append(link)
    return [link for links in found.values() for link in {*links[:LINKS_EACH], links[-1]}]


def _pages(who: User, chance: random.Random) -> dict[str, list[str]]:
    own = {} if who.is_superuser else {"trader__user": who}
    schedules = list(WorkflowSchedule.objects.filter(**own).order_by("id").values_list("id", flat=True)[: 10 * CALLS])
    positions = list(Position.objects.filter(**own).order_by("id").values_list("id", "trader_id", "account_id")[: 10 * CALLS])
    runs = list(WorkflowRun.objects.filter(schedule__in=schedules[:CALLS], status="decided").values_list("schedule_id", "id"))

    def many(address: Callable[[], str]) -> list[str]:
        return [address() for _ in range(CALLS)]

    pages = {
        "desk": many(lambda: reverse("desk:desk")),
        "workflow": many(lambda: reverse("desk:workflow", args=[chance.choice(schedules)])),
        "workflow: chart": many(lambda: reverse("desk:workflow_chart", args=[chance.choice(schedules)])),
        "workflow: timeline": many(lambda: reverse("desk:workflow_timeline", args=[chance.choice(schedules)])),
        "workflow: a close in full": many(lambda: reverse("desk:workflow_close", args=chance.choice(runs))),
        "position": many(lambda: reverse("desk:position", args=[chance.choice(positions)[0]])),
        "position: chart": many(lambda: reverse("desk:position_chart", args=[chance.choice(positions)[0]])),
        "trader": many(lambda: reverse("desk:trader", args=[chance.choice(positions)[1]])),
        "trader: curves": many(lambda: reverse("desk:trader_curves", args=[chance.choice(positions)[1]])),
        "account": many(lambda: reverse("desk:account", args=[chance.choice(positions)[2]])),
        "sessions": many(lambda: reverse("desk:sessions")),
        "admin": many(lambda: reverse("admin:index")),
    }
    if who.is_superuser:
        pages["switches"] = many(lambda: reverse("desk:switches"))
        pages["audit"] = many(lambda: f"{reverse('desk:audit')}?before={chance.randrange(100, 40_000)}&action=halt")
    return {**pages, **_stats()}


def _stats() -> dict[str, list[str]]:
    asked = [f"questions={by}&setups={setup}" for by, setup in zip(stats.QUESTIONS_BY, [*stats.SETUPS_BY] * 2, strict=False)]
    return {f"stats, {period}": [f"{reverse('desk:stats')}?period={period}&{one}" for one in asked] * 3 for period in stats.PERIODS}
