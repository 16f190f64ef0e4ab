"""
Kill switches: who may trade, and why not (P5).

A switch is an open row per scope; the strictest one that applies wins. Whoever sends an order that adds exposure
holds a shared advisory lock from reading the switch until the exchange has answered. A halt commits, then tries
for the exclusive lock: once it has it, nothing that adds exposure is on its way. What still is when it gives up
waiting is named in its answer.

ControlError
  UnknownScope    not all, trader:KEY, symbol:NAME, workflow:KEY or account:KEY
  ReasonMissing   a switch is never moved without a reason
  NotHalted       there is nothing to resume
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from monitoring import audit, events, jobs
from monitoring.audit import Actor
from monitoring.events import NewEvent
from monitoring.models import Halt
from monitoring.notifications import notify

RUNNING = "running"
REDUCING, HALTED = Halt.State.REDUCING.value, Halt.State.HALTED.value
STRICTNESS = {RUNNING: 0, REDUCING: 1, HALTED: 2}
SCOPE = re.compile(r"^(all|symbol:[A-Za-z0-9_.:-]{1,128}|(trader|workflow|account):[0-9a-f-]{36})$")
SHORTEST_REASON = 3
EXPOSURE_LOCK = 7412
HALT_WAIT_S = 0.25


class ControlError(Exception):
    """A switch can't be moved."""


class UnknownScope(ControlError):
    """Not all, trader:KEY, symbol:NAME, workflow:KEY or account:KEY."""


class ReasonMissing(ControlError):
    """A switch is never moved without a reason."""


class NotHalted(ControlError):
    """There is nothing to resume."""


@dataclass(frozen=True)
class Halted:
    """What stands after a switch was moved. `in_flight` are orders that were already on their way."""

    halt: Halt
    changed: bool
    in_flight: tuple[Mapping[str, Any], ...] = ()


# The order journal lives on a higher floor and registers here how to list what it has on its way.
_in_flight_reporters: list[Callable[[], Iterable[Mapping[str, Any]]]] = []


def report_in_flight(reporter: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
    """Register a function that lists orders adding exposure whose answer is still out."""
    if reporter not in _in_flight_reporters:
        _in_flight_reporters.append(reporter)


def scopes(*, trader_id: UUID, symbol: str, schedule_id: UUID | None = None) -> tuple[str, ...]:
    """All scopes that apply to an order or a question."""
    found = ("all", f"trader:{trader_id}", f"symbol:{symbol}")
    return found if schedule_id is None else (*found, f"workflow:{schedule_id}")


def open_halts() -> dict[str, Halt]:
    """Every open switch by its scope: one query, to ask many times."""
    return {halt.scope: halt for halt in Halt.objects.filter(resumed_at__isnull=True)}


def strictest(halts: Mapping[str, Halt], applying: Iterable[str]) -> Halt | None:
    """The strictest open switch among the scopes that apply, or None: running."""
    found = [halts[scope] for scope in applying if scope in halts]
    return max(found, key=lambda halt: STRICTNESS[halt.state], default=None)


def check_scope(scope: str) -> str:
    """:raises UnknownScope: if it is not a scope"""
    kind, _, key = scope.partition(":")
    if not SCOPE.match(scope) or (kind in ("trader", "workflow", "account") and not _is_key(key)):
        raise UnknownScope(f"scope was {scope!r}, allowed are all, trader:KEY, symbol:NAME, workflow:KEY and account:KEY")
    return scope


def _is_key(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def halt(*, scope: str, state: str, reason: str, actor: Actor, now: datetime, wait_s: float = HALT_WAIT_S) -> Halted:
    """
    Stop trading in `scope` until somebody resumes it: `reducing` or `halted`.

    1. Lock the open switch of the scope, if any. The same or a stricter one stands: nothing changes.
    2. Replace a milder one in one transaction; record the event and the audit row.
    3. After the commit wait up to `wait_s` (real time) for orders that read the switch before it.

    :raises UnknownScope: if the scope is not one
    :raises ReasonMissing: if the reason is too short
    """
    check_scope(scope)
    reason = _checked_reason(reason)
    with transaction.atomic():
        _serialize(scope)
        standing = Halt.objects.select_for_update().filter(scope=scope, resumed_at__isnull=True).first()
        changed = standing is None or STRICTNESS[standing.state] < STRICTNESS[state]
        if changed:
            before = standing.state if standing else RUNNING
            if standing:
                _close(standing, by=actor.name, reason=f"replaced by {state}", now=now)
            standing = Halt.objects.create(
                scope=scope, state=state, reason=reason, halted_by=actor.name, halted_at=now, source=actor.source
            )
            _tell(scope, before=before, after=state, reason=reason, actor=actor, now=now)
    assert standing is not None
    return Halted(standing, changed, _wait_for_senders(wait_s))


def resume(*, scope: str, reason: str, actor: Actor, now: datetime) -> None:
    """
    Let trading in `scope` go on; a stricter scope that also applies still holds.

    :raises NotHalted: if no switch was open, or somebody else resumed it first
    """
    check_scope(scope)
    reason = _checked_reason(reason)
    with transaction.atomic():
        _serialize(scope)
        standing = Halt.objects.select_for_update().filter(scope=scope, resumed_at__isnull=True).first()
        if standing is None:
            raise NotHalted(f"{scope} is not halted")
        _close(standing, by=actor.name, reason=reason, now=now)
        _tell(scope, before=standing.state, after=RUNNING, reason=reason, actor=actor, now=now)


def flatten(*, scope: str, reason: str, actor: Actor, now: datetime) -> Halted:
    """Reduce at once, and have a job close every position of the scope, re-read the exchange until it is flat, then halt."""
    with transaction.atomic():
        reduced = halt(scope=scope, state=REDUCING, reason=reason, actor=actor, now=now, wait_s=0)
        jobs.enqueue(jobs.Job.FLATTEN, scope=scope, reason=reason, by=actor.name, source=actor.source)
    return Halted(reduced.halt, reduced.changed, _wait_for_senders(HALT_WAIT_S))


@contextlib.contextmanager
def sending_exposure(applying: Iterable[str]) -> Iterator[Halt | None]:
    """
    Hold the shared lock around reading the switch and sending an order that adds exposure.

    Yields the switch that forbids it, or None. A session lock, since the exchange is called outside transactions.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock_shared(%s)", [EXPOSURE_LOCK])
    try:
        yield strictest(open_halts(), applying)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock_shared(%s)", [EXPOSURE_LOCK])


def _wait_for_senders(wait_s: float) -> tuple[Mapping[str, Any], ...]:
    """Wait until nobody is sending exposure any more; if that takes too long, list what is on its way."""
    if connection.in_atomic_block:
        return ()  # the caller has not committed yet; it waits itself
    deadline = time.monotonic() + wait_s
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [EXPOSURE_LOCK])
            if cursor.fetchone()[0]:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [EXPOSURE_LOCK])
                return ()
        if time.monotonic() >= deadline:
            return tuple(order for reporter in _in_flight_reporters for order in reporter())
        time.sleep(0.005)


def _serialize(scope: str) -> None:
    # Two switches on a scope that has no open row would both find none; the second now waits for the first.
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [7413, scope])


def _checked_reason(reason: str) -> str:
    reason = reason.strip()
    if len(reason) < SHORTEST_REASON:
        raise ReasonMissing(f"a reason of at least {SHORTEST_REASON} characters is needed")
    return reason


def _close(standing: Halt, *, by: str, reason: str, now: datetime) -> None:
    standing.resumed_by, standing.resumed_at, standing.resume_reason = by, now, reason
    standing.save(update_fields=["resumed_by", "resumed_at", "resume_reason"])


def _tell(scope: str, *, before: str, after: str, reason: str, actor: Actor, now: datetime) -> None:
    level = events.INFO if after == RUNNING else events.CRITICAL if after == HALTED else events.WARNING
    data = {"scope": scope, "before": before, "after": after, "reason": reason, "by": actor.name, "source": actor.source}
    notify([events.record(NewEvent("switch_changed", f"{scope}: {before} → {after}: {reason}", data, level=level), now=now)])
    audit.record(
        action="switch",
        subject=("halt", scope),
        actor=actor,
        before={"state": before},
        after={"state": after},
        reason=reason,
        now=now,
    )
