"""Flatten: close every position of a scope, re-read the venue until it is flat, then halt the scope."""

from __future__ import annotations

import logging
import time
from datetime import datetime
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.db.models import QuerySet

from monitoring import controls, events
from monitoring.audit import Actor
from monitoring.controls import HALTED
from monitoring.events import NewEvent
from monitoring.models import Event, WorkflowSchedule
from positions import leases, trading, venue
from positions.exchange.contract import ExchangeError
from positions.intents import Cause
from positions.models import Order, Position

logger = logging.getLogger(__name__)
ROUND_S, PATIENCE_S = 60.0, 3.0  # a job may take three minutes


class NotFlat(Exception):
    """Something is still held; the job comes back."""


def flatten(*, scope: str, reason: str, actor: Actor, now: datetime) -> int:
    """
    Close what is held in a scope and halt it; returns how many positions were closed. One after the other.

    In another order every time, and with little patience for each: one that refuses or an exchange that does not answer
    must not keep the others from their turn. What is not reached within `ROUND_S` (real time) is left for the next round.

    :raises NotFlat: if the venue still holds something, so that the job is tried again; progress is an event
    """
    found = list(positions_of(scope).select_related("account", "trader", "signal").order_by("?"))
    left, until = [], time.monotonic() + ROUND_S
    for position in found:
        if time.monotonic() > until:
            left.append(position)
            continue
        cause = Cause(Order.Cause.OPERATOR, "flatten")
        try:
            trading.close(position, cause=cause, reason="flatten", now=now, patience_s=PATIENCE_S)
        except (leases.Busy, ExchangeError) as error:
            logger.info("flatten waits: %s", error)
        except (OperationalError, InterfaceError):
            raise  # the database is away: the whole job comes back
        except Exception:  # what is wrong with one position must not keep the others from being closed
            logger.exception("flatten of %s: it could not be closed; it is tried again", position)
        position.refresh_from_db()
        if position.status != Position.Status.CLOSED or _is_held(position):
            left.append(position)
    _tell(scope, closed=len(found) - len(left), left=left, now=now)
    if left:
        raise NotFlat(f"{len(left)} positions of {scope} are still open")
    controls.halt(scope=scope, state=HALTED, reason=f"flattened: {reason}", actor=actor, now=now)
    return len(found)


def _is_held(position: Position) -> bool:
    """Whether the venue still holds something; one that does not answer is asked again."""
    try:
        return bool(venue.held(position))
    except ExchangeError as error:
        logger.warning("flatten of %s: the exchange does not say whether it is flat: %s", position, error)
        return True


def positions_of(scope: str) -> QuerySet[Position]:
    """Positions of a scope that are not closed."""
    kind, _, key = scope.partition(":")
    open_positions = Position.objects.exclude(status=Position.Status.CLOSED).order_by("created_at")
    match kind:
        case "trader":
            return open_positions.filter(trader_id=UUID(key))
        case "account":
            return open_positions.filter(account_id=UUID(key))
        case "symbol":
            return open_positions.filter(symbol=key)
        case "workflow":
            entities = WorkflowSchedule.objects.filter(id=UUID(key)).values("entity_id")
            return open_positions.filter(id__in=entities)
    return open_positions


def _tell(scope: str, *, closed: int, left: list[Position], now: datetime) -> None:
    """Progress is told when there is some; a flatten that is stuck is tried every second and must not fill the log."""
    symbols = sorted(position.symbol for position in left)
    last = Event.objects.filter(kind="flatten_progress", data__scope=scope).order_by("-id").first()
    if last and left and not last.data["done"] and last.data["left"] == symbols:
        return
    text = f"flatten {scope}: {closed} closed, {len(left)} left {' '.join(symbols)}".strip()
    data = {"scope": scope, "closed": closed, "left": symbols, "done": not left}
    events.record(NewEvent("flatten_progress", text, data, level=events.CRITICAL if left else events.WARNING), now=now)
