"""
Lists of tables that only grow, as quick with millions of rows as with a page of them.

- The newest rows first, always: an index has them in that order, and no other order is offered.
- Pages reach back 10,000 rows; what is older is found by its month or day.
- A filter or a search looks at the newest 50,000 rows, or at those of the chosen month or day, and the list says how far back that was:
  what matches rarely would else be looked for in everything there ever was. A link by a key is followed wherever it leads.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

from monitoring import clock

WINDOW = 50_000
REACHED = 10_000
RECENT = 3_000
MONTHS, MONTHS_AT_ONCE = 12, 3
WHEN = "when"
LAST_DAY = "24h"


class EstimatingPaginator(Paginator):
    """
    PostgreSQL's estimate of a whole table that is large, and of what is filtered an exact count up to what pages reach.

    `reached` is where its pages end; the list says so.
    """

    @property
    def reached(self) -> int:
        return REACHED

    @cached_property
    def count(self) -> int:
        query = getattr(self.object_list, "query", None)
        if query is None:
            return super().count
        if not query.where:
            with connection.cursor() as cursor:
                cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [query.model._meta.db_table])
                estimate = cursor.fetchone()[0]
            return int(estimate) if estimate > WINDOW else super().count
        return int(self.object_list.order_by()[: REACHED + 1].count())  # type: ignore[attr-defined]

    @cached_property
    def num_pages(self) -> int:
        return -(-min(self.count, REACHED) // self.per_page) or 1


class MonthOrDay(admin.FieldListFilter):
    """A month or a day of a date, in UTC, offered without a question to the table."""

    template = "admin/when_filter.html"
    is_older = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = "when"
        given: Any = self.used_parameters.get(WHEN) or [""]
        self.chosen = str(given[-1])
        try:
            self.span = _span(self.chosen) if self.chosen else None
        except (ValueError, OverflowError) as error:
            raise IncorrectLookupParameters(error) from error

    def expected_parameters(self) -> list[str | None]:
        return [WHEN]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return between(queryset, self.field_path, self.span)

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        """Any time, the last day, the last months, and the days of the month that is chosen."""
        this_month = clock.now().replace(day=1)
        months = [_months_before(this_month, back) for back in range(MONTHS)]
        if len(self.chosen) >= 7 and self.chosen[:7] not in {f"{month:%Y-%m}" for month in months}:
            months.append(_span(self.chosen[:7])[0])
        offered = [("", "Any time", False), (LAST_DAY, "Last 24 hours", False)]
        for place, month in enumerate(months):
            is_older = place >= MONTHS_AT_ONCE
            offered.append((f"{month:%Y-%m}", f"{month:%B %Y}", is_older))
            if self.chosen.startswith(f"{month:%Y-%m}"):
                self.is_older = is_older
                begin, end = _span(f"{month:%Y-%m}")
                days = [begin + timedelta(days=number) for number in range((end - begin).days)]
                offered += [(f"{day:%Y-%m-%d}", f"– {day:%a} {day.day}", is_older) for day in days if day <= clock.now()]
        for value, text, is_older in offered:
            link = changelist.get_query_string({WHEN: value}) if value else changelist.get_query_string(remove=[WHEN])
            yield {"selected": self.chosen == value, "query_string": link, "display": text, "older": is_older}


class RecentValues(admin.AllValuesFieldListFilter):
    """The values that occur in the newest rows, and the chosen one; all of them would be a look at every row."""

    def __init__(self, field: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(field, request, *args, **kwargs)
        _, model, model_admin = args
        field_path = kwargs["field_path"]
        newest = model._default_manager.order_by(*model_admin.get_ordering(request)).values_list(field_path, flat=True)[:RECENT]
        chosen = [self.lookup_val[-1]] if self.lookup_val else []
        values = {value for value in newest.iterator() if value not in ("", None)} | set(chosen)
        self.lookup_choices: Any = sorted(values)


class LogList(ChangeList):
    """A list that looks for what is rare among the newest rows."""

    looked_back_to: datetime | None = None

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> QuerySet[Any]:
        found = super().get_queryset(request, exclude_parameters)
        field: str = self.model_admin.log_field  # type: ignore[attr-defined]
        if not self._is_narrowed():
            return found
        spans = [spec.span for spec in self.filter_specs if isinstance(spec, MonthOrDay)]
        rows = between(self.model._default_manager.order_by(f"-{field}"), field, spans[0])
        self.looked_back_to = rows.values_list(field, flat=True)[WINDOW : WINDOW + 1].first()
        return found.filter(**{f"{field}__gte": self.looked_back_to}) if self.looked_back_to else found

    def _is_narrowed(self) -> bool:
        """Whether a filter or a search picks rows; a key does that by its own index."""
        used = set(self.get_filters_params()) - {WHEN}
        offered = {name for spec in self.filter_specs for name in spec.expected_parameters()}
        return bool(self.query or used) and used <= offered


def between(rows: QuerySet[Any], field: str, span: tuple[datetime, datetime] | None) -> QuerySet[Any]:
    """The rows whose date lies in the span, if there is one."""
    return rows.filter(**{f"{field}__gte": span[0], f"{field}__lt": span[1]}) if span else rows


def _span(chosen: str) -> tuple[datetime, datetime]:
    """:raises ValueError: if it is no month and no day"""
    if chosen == LAST_DAY:
        return clock.now() - timedelta(days=1), clock.now() + timedelta(days=1)
    if len(chosen) == 7:
        begin = clock.midnight(date.fromisoformat(f"{chosen}-01"))
        return begin, _months_before(begin, -1)
    if len(chosen) == 10:
        begin = clock.midnight(date.fromisoformat(chosen))
        return begin, begin + timedelta(days=1)
    raise ValueError(f"{chosen!r} is no month and no day")


def _months_before(month: datetime, back: int) -> datetime:
    year, number = divmod(month.year * 12 + month.month - 1 - back, 12)
    return clock.midnight(month.replace(year=year, month=number + 1, day=1).date())
