"""A trader that loses too often in a row is paused, until a person looks and lets it run again."""

from __future__ import annotations

from datetime import datetime
from itertools import takewhile

from monitoring import audit, events
from monitoring.audit import Actor
from monitoring.events import NewEvent
from monitoring.models import Trader
from monitoring.notifications import notify
from positions.models import Position

RULE = Actor("max consecutive losses", "rule")


def pause_after_losses(position: Position, *, now: datetime) -> bool:
    """
    In the transaction that ends a position: pause its trader if this was one loss too many. Returns whether it did.

    Counted are losses since the trader began to run, so that one who was let go on starts anew.
    """
    most = position.trader.profile.max_consecutive_losses
    if most == 0 or position.realized_pnl - position.fees >= 0:
        return False
    trader = Trader.objects.select_for_update(no_key=True).get(id=position.trader_id)
    closed = Position.objects.filter(trader=trader, status=Position.Status.CLOSED, closed_at__gte=trader.screened_since)
    results = closed.order_by("-closed_at", "-created_at").values_list("realized_pnl", "fees")[:most]
    losses = sum(1 for _ in takewhile(lambda result: result[0] - result[1] < 0, results))
    if losses < most or trader.state != Trader.State.RUNNING:
        return False
    Trader.objects.filter(id=trader.id).update(state=Trader.State.PAUSED)
    reason = f"{losses} losses in a row"
    audit.record(
        action="pause", subject=("trader", str(trader.id)), actor=RULE, before={"state": "running"}, after={"state": "paused"},
        reason=reason, now=now,
    )  # fmt: skip
    data = {"trader": trader.name, "reason": reason, "losses": losses}
    event = NewEvent(
        "trader_paused", f"{trader.name} is paused: {reason}", data, level=events.CRITICAL, user_id=trader.user_id, trader_id=trader.id
    )
    notify([events.record(event, now=now)])
    return True
