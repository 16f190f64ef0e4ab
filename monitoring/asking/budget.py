"""
What a day may cost: of everybody, and of each trader.

The totals are rows that are locked while money is reserved, so that any number of processes together never reserve a
cent more than the budget. A day is a day of the desk's clock, in UTC.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from django.conf import settings
from django.db import connection

from monitoring import events
from monitoring.events import NewEvent
from monitoring.models import DailySpend, Trader
from monitoring.notifications import notify

EVERYBODY = "all"
ADD = """
INSERT INTO daily_spend (day, scope, amount_usd)
SELECT a.day, a.scope, a.amount FROM unnest(%s::date[], %s::text[], %s::numeric[]) AS a(day, scope, amount)
ON CONFLICT (day, scope) DO UPDATE SET amount_usd = daily_spend.amount_usd + excluded.amount_usd
"""
RESERVED = "SELECT trader_id, sum(reserved_usd) FROM budget_reservations WHERE finished_at IS NULL AND day = %s GROUP BY 1"
TELL = "UPDATE daily_spend SET told_at = clock_timestamp() WHERE day = %s AND scope = %s AND told_at IS NULL"


class Wanting(Protocol):
    """What wants to be paid for."""

    @property
    def model(self) -> str: ...
    @property
    def trader_id(self) -> UUID | None: ...
    @property
    def most_usd(self) -> Decimal | None: ...
    @property
    def trader_budget_usd(self) -> Decimal | None: ...


@dataclass(frozen=True)
class Spent:
    """Of one day and scope, reservations included; `budget_usd` None: no limit."""

    amount_usd: Decimal
    budget_usd: Decimal | None


class Purse:
    """
    What the budgets still allow, while permits are given out.

    Made in the transaction that then reserves: the totals of every budget that applies stay locked until it ends. What
    is only reserved may come back, so a question waits for it; it is refused when what is spent leaves no room for it.
    """

    def __init__(self, wishes: Sequence[Wanting], *, now: datetime) -> None:
        self._now, self._limits = now, _limits(wishes)
        self._total = _locked(self._limits, day=now.date()) if self._limits else {}
        self._reserved = _reserved(day=now.date()) if self._limits else {}
        self._used_up: set[str] = set()

    def refusal(self, wish: Wanting) -> str:
        """Why this can't be paid for today, or nothing."""
        if wish.most_usd is None:
            return f"{wish.model} has no price: give it one in LLM_MODELS_FILE (0 for a local model)"
        for scope in self._scopes(wish):
            spent = self._total[scope] - self._reserved.get(scope, Decimal(0))
            if spent + wish.most_usd > self._limits[scope]:
                self._used_up.add(scope)
                return f"{spent:.4f} of {self._limits[scope]:f} USD of the day are spent ({_named(scope)})"
        return ""

    def take(self, wish: Wanting) -> bool:
        """Whether it can be paid for now; it is counted then."""
        most = wish.most_usd or Decimal(0)
        scopes = self._scopes(wish)
        if any(self._total[scope] + most > self._limits[scope] for scope in scopes):
            return False
        for scope in scopes:
            self._total[scope] += most
            self._reserved[scope] = self._reserved.get(scope, Decimal(0)) + most
        return True

    def tell(self) -> None:
        """Say which budgets are used up, once a day each."""
        for scope in sorted(self._used_up):
            _tell(scope, budget=self._limits[scope], spent=self._total[scope], now=self._now)

    def _scopes(self, wish: Wanting) -> list[str]:
        return [scope for scope in (EVERYBODY, str(wish.trader_id)) if scope in self._limits]


def reserve(amounts: Iterable[tuple[UUID | None, Decimal]], *, day: date) -> None:
    """Add to the totals of a day."""
    _add((day, trader_id, amount) for trader_id, amount in amounts)


def settle(rows: Iterable[tuple[UUID | None, date, Decimal, Decimal | None]]) -> None:
    """Replace reservations by what was spent; rows are trader, day, reserved and cost. An unknown cost stays reserved."""
    _add((day, trader_id, cost - reserved) for trader_id, day, reserved, cost in rows if cost is not None)


def spent_today(*, now: datetime) -> Spent:
    """Of everybody."""
    row = DailySpend.objects.filter(day=now.date(), scope=EVERYBODY).first()
    return Spent(row.amount_usd if row else Decimal(0), settings.DAILY_BUDGET_USD or None)


def projected(*, spent: Decimal, now: datetime) -> Decimal:
    """What the day comes to if it goes on as it went so far; not before a quarter of an hour of it has passed."""
    passed = Decimal(now.hour * 3600 + now.minute * 60 + now.second)
    return spent * 86_400 / passed if passed >= 900 else spent


def _limits(wishes: Iterable[Wanting]) -> dict[str, Decimal]:
    limits = {str(wish.trader_id): wish.trader_budget_usd for wish in wishes if wish.trader_id and wish.trader_budget_usd is not None}
    if settings.DAILY_BUDGET_USD:
        limits[EVERYBODY] = settings.DAILY_BUDGET_USD
    return limits


def _locked(scopes: Mapping[str, Decimal], *, day: date) -> dict[str, Decimal]:
    """The totals of these scopes, locked in one order; asked for at every poll, so nothing is written but a day's first rows."""
    wanted = DailySpend.objects.filter(day=day, scope__in=scopes)
    if missing := scopes.keys() - set(wanted.values_list("scope", flat=True)):
        _add_all([(day, scope, Decimal(0)) for scope in sorted(missing)])
    return {row.scope: row.amount_usd for row in wanted.select_for_update().order_by("scope")}


def _reserved(*, day: date) -> dict[str, Decimal]:
    """What is reserved for attempts that are out."""
    with connection.cursor() as cursor:
        cursor.execute(RESERVED, [day])
        rows = cursor.fetchall()
    found = {str(trader_id): amount for trader_id, amount in rows if trader_id}
    return {**found, EVERYBODY: sum((amount for _, amount in rows), Decimal(0))}


def _add(amounts: Iterable[tuple[date, UUID | None, Decimal]]) -> None:
    totals: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for day, trader_id, amount in amounts:
        totals[day, EVERYBODY] += amount
        if trader_id:
            totals[day, str(trader_id)] += amount
    if totals:
        _add_all([(day, scope, totals[day, scope]) for day, scope in sorted(totals)])


def _add_all(rows: Sequence[tuple[date, str, Decimal]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(ADD, [list(column) for column in zip(*rows, strict=True)])


def _named(scope: str) -> str:
    return "the daily budget of everybody" if scope == EVERYBODY else "the trader's own"


def _tell(scope: str, *, budget: Decimal, spent: Decimal, now: datetime) -> None:
    """Once a day and scope."""
    with connection.cursor() as cursor:
        cursor.execute(TELL, [now.date(), scope])
        if not cursor.rowcount:
            return
    trader = None if scope == EVERYBODY else Trader.objects.filter(pk=scope).first()
    name, day = trader.name if trader else EVERYBODY, now.date().isoformat()
    data = {"scope": name, "day": day, "budget_usd": str(budget), "spent_usd": str(spent)}
    text = f"the daily budget of {trader.name if trader else 'everybody'} is used up: {spent:.4f} of {budget:f} USD"
    event = NewEvent(
        "budget_used_up",
        text,
        data,
        level=events.WARNING,
        user_id=trader.user_id if trader else None,
        trader_id=trader.id if trader else None,
    )
    notify([events.record(event, now=now)])
