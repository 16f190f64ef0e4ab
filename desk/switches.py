"""What a person has to know before moving a switch: what is held and working in a scope, and what nobody will look after."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Case, F, QuerySet, Sum, When

from monitoring import clock, controls
from monitoring.audit import Actor
from monitoring.controls import ControlError, Halted
from monitoring.models import Event, Halt, Trader, WorkflowSchedule
from monitoring.models.schedules import WorkflowType
from positions import flatten
from positions.models import ExchangeAccount, Order

FLATTEN_WORD = "FLATTEN"
HISTORY = 50


def facts(scope: str) -> dict[str, Any]:
    """
    The scope's state and what a switch would leave alone, as plain JSON values.

    :raises UnknownScope: if it is not a scope
    """
    controls.check_scope(scope)
    positions = flatten.positions_of(scope)
    working = Order.objects.filter(position__in=positions.order_by().values("id"), status__in=Order.LIVE)
    exposure = positions.order_by().aggregate(total=Sum("cost"))["total"] or 0
    unclear = working.filter(status__in=(Order.Status.INTENDED, Order.Status.SENT, Order.Status.UNKNOWN))
    drifted = ExchangeAccount.objects.exclude(reconcile_problem="").order_by("name")
    unprotected = positions.filter(contracts__gt=0, stop_loss__isnull=True)
    halt = controls.open_halts().get(scope)
    return {
        "scope": scope,
        "state": halt.state if halt else controls.RUNNING,
        "positions": positions.count(),
        "symbols": list(positions.values_list("symbol", flat=True)[:8]),
        "orders": working.count(),
        "adding": working.filter(leg__in=Order.ADDS_EXPOSURE).count(),
        "unclear": unclear.count(),
        "drifted": list(drifted.values_list("name", flat=True)[:8]),
        "exposure": f"{exposure:,.2f}",
        "unprotected": list(unprotected.values_list("symbol", flat=True)[:8]),
        "setups": _workflows(scope).filter(workflow_type=WorkflowType.SIGNAL_MONITORING).count(),
        "managed": _workflows(scope).filter(workflow_type=WorkflowType.POSITION_MANAGEMENT).count(),
    }


def move(action: str, *, scope: str, reason: str, word: str, actor: Actor, now: datetime) -> dict[str, Any]:
    """
    Move a switch; what was done, and the orders that were on their way, as texts.

    :raises ControlError: if it can't be moved as asked
    """
    match action:
        case "reduce" | "halt":
            state = controls.HALTED if action == "halt" else controls.REDUCING
            return _told(controls.halt(scope=scope, state=state, reason=reason, actor=actor, now=now))
        case "flatten":
            if word.strip() != FLATTEN_WORD:
                raise ControlError(f"type {FLATTEN_WORD} to close everything in the scope")
            done = _told(controls.flatten(scope=scope, reason=reason, actor=actor, now=now))
            return {**done, "text": f"{scope} is being flattened: positions are closed one after the other, then it is halted"}
        case "resume":
            controls.resume(scope=scope, reason=reason, actor=actor, now=now)
            return {"text": f"{scope} is running", "in_flight": []}
    raise ControlError(f"action was {action!r}, allowed are reduce, halt, flatten and resume")


def scopes() -> list[dict[str, str]]:
    """Scopes to choose from: everything, traders, symbols that are held or stopped, and whatever is stopped."""
    found = {"all": "everything"}
    for key, name in Trader.objects.exclude(state=Trader.State.ARCHIVED).order_by("name").values_list("id", "name"):
        found[f"trader:{key}"] = f"trader {name}"
    for key, name in ExchangeAccount.objects.order_by("name").values_list("id", "name"):
        found[f"account:{key}"] = f"account {name}"
    for symbol in flatten.positions_of("all").order_by("symbol").values_list("symbol", flat=True).distinct():
        found[f"symbol:{symbol}"] = f"symbol {symbol}"
    for scope in controls.open_halts():
        found.setdefault(scope, scope.replace(":", " "))
    return [{"scope": scope, "name": name} for scope, name in found.items()]


def history() -> QuerySet[Halt]:
    """Switches moved lately, the open ones first."""
    is_open = Case(When(resumed_at__isnull=True, then=0), default=1)
    return Halt.objects.order_by(is_open, F("halted_at").desc())[:HISTORY]


def flattening() -> list[dict[str, Any]]:
    """How far each flatten is that has not ended, from its latest event."""
    reduced = [scope for scope, halt in controls.open_halts().items() if halt.state == controls.REDUCING]
    found = []
    for scope in reduced:
        latest = Event.objects.filter(kind="flatten_progress", data__scope=scope).order_by("-seq").first()
        if latest and not latest.data["done"]:
            found.append({"scope": scope, "at": clock.to_ms(latest.at), **{key: latest.data[key] for key in ("closed", "left")}})
    return found


def _workflows(scope: str) -> QuerySet[WorkflowSchedule]:
    kind, _, key = scope.partition(":")
    active = WorkflowSchedule.objects.filter(is_active=True)
    match kind:
        case "trader":
            return active.filter(trader_id=key)
        case "symbol":
            return active.filter(symbol=key)
        case "workflow":
            return active.filter(id=key)
    return active


def _told(done: Halted) -> dict[str, Any]:
    on_the_way = [
        f"{order['leg']} {order['side']} {order['quantity'].normalize():f} {order['position__symbol']} ({order['client_order_id']})"
        for order in done.in_flight
    ]
    again = "" if done.changed else " (it was before)"
    return {"text": f"{done.halt.scope} is {done.halt.state}{again}", "in_flight": on_the_way}
