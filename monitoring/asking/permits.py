"""
What an attempt needs before it may go out: a slot, a place in the minute, money of the day, and an endpoint that answers.

All processes and hosts share these through the database. The row of the endpoint is locked while permits are given
out, so that two processes never count the same slot twice. An attempt holds its slot until it is settled, or until
its lease ends: no attempt outlives its lease, so a killed process gives its slots back and the limit still holds.

A request counts for the minute from when it is granted until a minute after it was sent. Money is reserved as an upper
bound and replaced by the cost once that is known; when it never is, the reservation stays: it may have been spent.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from monitoring import events
from monitoring.analyst.backoff import Circuit
from monitoring.analyst.catalog import Endpoint
from monitoring.asking import budget
from monitoring.events import NewEvent
from monitoring.models import AnalystEndpoint
from monitoring.notifications import notify

MINUTE_S = 60.0
TRANSIT_S = 1.0  # by how much two requests may differ in their time on the wire
LEASE_MARGIN_S = 5.0
WAITING_S = 2.0  # how long a process that waits is taken at its word

COUNTS = """
SELECT clock_timestamp(),
       (SELECT count(*) FROM budget_reservations WHERE endpoint = %(url)s AND finished_at IS NULL),
       (SELECT count(*) FROM budget_reservations WHERE endpoint = %(url)s AND finished_at IS NOT NULL
           AND sent_at > clock_timestamp() - make_interval(secs => %(window)s)),
       (SELECT coalesce(sum(urgent), 0) FROM waiting_askers
         WHERE endpoint = %(url)s AND holder <> %(holder)s AND until > clock_timestamp())
"""
ABANDONED = """
UPDATE budget_reservations SET finished_at = lease_until, sent_at = lease_until
 WHERE endpoint = %s AND finished_at IS NULL AND lease_until < clock_timestamp()
"""
GRANT = """
INSERT INTO budget_reservations (id, endpoint, model, trader_id, day, reserved_usd, granted_at, lease_until)
SELECT w.id, %(url)s, w.model, w.trader, %(day)s, w.reserved, clock_timestamp(), clock_timestamp() + make_interval(secs => w.lease)
  FROM unnest(%(ids)s::uuid[], %(models)s::text[], %(traders)s::uuid[], %(reserved)s::numeric[], %(leases)s::float8[])
    AS w(id, model, trader, reserved, lease)
"""
SETTLE = """
UPDATE budget_reservations r
   SET cost_usd = s.cost, finished_at = clock_timestamp(), sent_at = clock_timestamp() - make_interval(secs => s.sent_ago)
  FROM unnest(%(ids)s::uuid[], %(costs)s::numeric[], %(sent_ago)s::float8[]) AS s(id, cost, sent_ago)
 WHERE r.id = s.id AND r.finished_at IS NULL
RETURNING r.trader_id, r.day, r.reserved_usd, r.cost_usd
"""
WAITING = """
INSERT INTO waiting_askers (holder, endpoint, urgent, until) VALUES (%s, %s, %s, clock_timestamp() + make_interval(secs => %s))
ON CONFLICT (holder) DO UPDATE SET endpoint = excluded.endpoint, urgent = excluded.urgent, until = excluded.until
"""


@dataclass(frozen=True)
class Wish:
    """An attempt that wants to go out: for how long it will be out at most (real seconds), and the most it can cost."""

    key: UUID
    model: str
    trader_id: UUID | None
    is_urgent: bool
    lasts_s: float
    most_usd: Decimal | None  # None: it has no price
    trader_budget_usd: Decimal | None


@dataclass(frozen=True)
class Permit:
    """An attempt may go out now. A probe decides whether an endpoint that failed is asked again."""

    id: UUID
    key: UUID
    is_probe: bool


@dataclass(frozen=True)
class Granted:
    """What became of the wishes; those in none of the three wait. `quiet_s` is how long waiting lasts at least, and why."""

    permits: Sequence[Permit] = ()
    over_budget: Mapping[UUID, str] = field(default_factory=dict)
    quiet_s: float = 0.0
    is_broken: bool = False


class Health(Enum):
    """What an attempt says of its endpoint."""

    ANSWERED = "answered"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Settled:
    """How an attempt ended. `cost_usd` None: not known; `sent_ago_s` None: it never left."""

    permit: Permit
    cost_usd: Decimal | None
    sent_ago_s: float | None
    health: Health
    quiet_s: float | None
    error: str


def grant(wishes: Sequence[Wish], *, endpoint: Endpoint, holder: UUID, now: datetime) -> Granted:
    """
    Permits for as many of the wishes as there is room for, urgent ones first, in one transaction.

    :param holder: this process, so that it is not held up by its own waiting
    :param now: app time; its day is the budget's
    """
    url = endpoint.base_url
    with transaction.atomic(), connection.cursor() as cursor:
        state = _lock(url)
        cursor.execute(ABANDONED, [url])
        cursor.execute(COUNTS, {"url": url, "window": MINUTE_S + TRANSIT_S, "holder": holder})
        at, in_flight, sent, others_urgent = cursor.fetchone()
        circuit = _circuit(state)
        quiet_s = (state.quiet_until - at).total_seconds() if state.quiet_until else 0.0
        if (wait_s := circuit.wait_s(now=at.timestamp())) > 0:
            return Granted(quiet_s=wait_s, is_broken=True)
        if quiet_s > 0:
            return Granted(quiet_s=quiet_s)
        room = endpoint.max_concurrency - in_flight
        if endpoint.requests_per_minute:
            room = min(room, endpoint.requests_per_minute - in_flight - sent)
        chosen, refused = _choose(wishes, budget.Purse(wishes, now=now), room=1 if circuit.is_open else room, others_urgent=others_urgent)
        permits = [Permit(uuid.uuid4(), wish.key, circuit.is_open) for wish in chosen]
        if chosen:
            _write(cursor, chosen, permits, url, now.date())
            if circuit.is_open:
                _save(state, circuit.probing(until=at.timestamp() + chosen[0].lasts_s + LEASE_MARGIN_S), at)
        urgent = [wish for wish in wishes if wish.is_urgent and wish.key not in refused]
        if urgent:
            left = len(urgent) - sum(wish.is_urgent for wish in chosen)
            cursor.execute(WAITING, [holder, url, left, WAITING_S if left > 0 else 0.0])
        return Granted(permits, refused)


def settle(ended: Sequence[Settled], *, endpoint: Endpoint, now: datetime) -> None:
    """Give back what the attempts held, put their cost in the place of their reservation, and note how the endpoint fares."""
    with transaction.atomic(), connection.cursor() as cursor:
        state = _lock(endpoint.base_url)
        cursor.execute("SELECT clock_timestamp()")
        at: datetime = cursor.fetchone()[0]
        columns: dict[str, Any] = {
            "ids": [one.permit.id for one in ended],
            "costs": [one.cost_usd for one in ended],
            "sent_ago": [MINUTE_S * 2 if one.sent_ago_s is None else one.sent_ago_s for one in ended],
        }
        cursor.execute(SETTLE, columns)
        budget.settle(cursor.fetchall())
        circuit = before = _circuit(state)
        for one in ended:
            if one.health is Health.FAILED:
                circuit = circuit.failed(now=at.timestamp(), was_probe=one.permit.is_probe)
                state.last_error = one.error[:500]
            elif one.health is Health.ANSWERED:
                circuit = circuit.succeeded()
        quiet = [at + timedelta(seconds=one.quiet_s) for one in ended if one.quiet_s]
        if quiet and (state.quiet_until is None or max(quiet) > state.quiet_until):
            state.quiet_until = max(quiet)
        _save(state, circuit, at)
        _tell(state, before, circuit, now)


def done(*, holder: UUID) -> None:
    """This process waits for nothing any more."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM waiting_askers WHERE holder = %s OR until < clock_timestamp() - interval '1 hour'", [holder])


def _choose(wishes: Sequence[Wish], purse: budget.Purse, *, room: int, others_urgent: int) -> tuple[list[Wish], dict[UUID, str]]:
    """Who may go out, and who never can today; setups leave room for the urgent questions of other processes."""
    chosen: list[Wish] = []
    refused: dict[UUID, str] = {}
    for wish in sorted(wishes, key=lambda wish: not wish.is_urgent):
        free = room - len(chosen) - (0 if wish.is_urgent else others_urgent)
        if why := purse.refusal(wish):
            refused[wish.key] = why
        elif free > 0 and purse.take(wish):
            chosen.append(wish)
    purse.tell()
    return chosen, refused


def _write(cursor: Any, chosen: Sequence[Wish], permits: Sequence[Permit], url: str, day: date) -> None:
    columns = {
        "url": url,
        "day": day,
        "ids": [permit.id for permit in permits],
        "models": [wish.model for wish in chosen],
        "traders": [wish.trader_id for wish in chosen],
        "reserved": [wish.most_usd for wish in chosen],
        "leases": [wish.lasts_s + LEASE_MARGIN_S for wish in chosen],
    }
    cursor.execute(GRANT, columns)
    budget.reserve(((wish.trader_id, wish.most_usd or Decimal(0)) for wish in chosen), day=day)


def _lock(url: str) -> AnalystEndpoint:
    found = AnalystEndpoint.objects.select_for_update().filter(base_url=url).first()
    if found is None:
        AnalystEndpoint.objects.bulk_create([AnalystEndpoint(base_url=url)], ignore_conflicts=True)
        found = AnalystEndpoint.objects.select_for_update().get(base_url=url)
    return found


def _circuit(state: AnalystEndpoint) -> Circuit:
    open_until, probe_until = (None if moment is None else moment.timestamp() for moment in (state.open_until, state.probe_until))
    return Circuit(state.failures, state.opened, open_until, probe_until)


def _save(state: AnalystEndpoint, circuit: Circuit, at: datetime) -> None:
    state.failures, state.opened = circuit.failures, circuit.opened
    state.open_until, state.probe_until = (
        None if moment is None else datetime.fromtimestamp(moment, tz=at.tzinfo) for moment in (circuit.open_until, circuit.probe_until)
    )
    state.changed_at = at
    state.save()


def _tell(state: AnalystEndpoint, before: Circuit, after: Circuit, now: datetime) -> None:
    if bool(before.opened) == bool(after.opened):
        return
    is_down = bool(after.opened)
    data = {"endpoint": state.base_url, "failures": after.failures or before.failures, "error": state.last_error}
    text = f"{state.base_url} {'does not answer' if is_down else 'answers again'}"
    event = NewEvent("analyst_down" if is_down else "analyst_up", text, data, level=events.CRITICAL if is_down else events.INFO)
    notify([events.record(event, now=now)])
