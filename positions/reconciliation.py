"""
Our positions and orders against the exchange's: at the start, every minute, and whenever somebody asks.

1. Follow what ended there without us: fills, cancels, orders whose fate was open.
2. Mend what a crash left: intents that nobody will send, a second stop, a stop that is missing or of the wrong size.
3. Compare. What differs twice in a row is drift: the trader is put to *reducing* and its owner told; a position or an
   order that is not ours puts its account to *reducing*, or is taken over where the installation says so.

Nothing here ever books a trade that the exchange does not list.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models import Count, F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from monitoring import clock, controls, events, jobs
from monitoring.audit import Actor
from monitoring.events import NewEvent
from monitoring.notifications import notify
from positions import adoption, comparison, following, leases, orders, protection, trading, venue
from positions.comparison import Ours, Problem
from positions.exchange.contract import ExchangeError
from positions.intents import Cause
from positions.models import ExchangeAccount, Order, Position
from positions.telling import about
from positions.venue import AtVenue

logger = logging.getLogger(__name__)
EVERY_S = 60.0  # real time
MARGIN_S = 2.0
UNSENT_S = 120.0  # real time after which an intent that nobody sent is given up
RULE = Actor("reconciliation", "rule")
Leg, Status = Order.Leg, Order.Status


@dataclass(frozen=True)
class Reconciled:
    """What was found. `error` says why the exchange could not be asked."""

    followed: int = 0
    mended: int = 0
    problems: tuple[Problem, ...] = ()
    error: str = ""

    @property
    def is_clean(self) -> bool:
        """Whether both sides agree."""
        return not self.problems and not self.error


def accounts() -> QuerySet[ExchangeAccount]:
    """Those that hold something, have something resting, or may begin to."""
    held = Position.objects.exclude(status=Position.Status.CLOSED).values("account")
    live = Order.objects.filter(status__in=Order.LIVE).values("account")
    return ExchangeAccount.objects.filter(Q(id__in=held) | Q(id__in=live) | Q(is_live=True)).order_by("created_at")


def enqueue_due(before: datetime) -> int:
    """Have every account reconciled that was not for a minute."""
    late = clock.now() - timedelta(seconds=EVERY_S * float(settings.CLOCK_SPEED))
    found = list(accounts().filter(Q(reconcile_asked_at__isnull=True) | Q(reconcile_asked_at__lt=late)))
    for account in found:
        # Marked at once, so that a slow worker does not make a second job of it.
        ExchangeAccount.objects.filter(id=account.id).update(reconcile_asked_at=clock.now())
        jobs.enqueue(jobs.Job.RECONCILE, account_id=str(account.id))
    return len(found)


def reconcile(account: ExchangeAccount, *, now: datetime, adopt: bool | None = None) -> Reconciled:
    """
    Follow, mend, compare, and tell; safe to run at any time and beside itself.

    :param adopt: whether what somebody did at the exchange by hand is taken over; None: as the installation says
    """
    takes_over = settings.UNKNOWN_AT_EXCHANGE == "adopt" if adopt is None else adopt
    try:
        there = venue.at_venue(account)
        # Long enough for the exchange to know every order that is on its way: none stays unknown.
        patience_s = there.features.settles_after_s + MARGIN_S
        followed = following.follow(account, there, now=now, patience_s=patience_s)
        mended = sum(_mended(position, now=now) for position in _to_mend(account, now=now))
        problems = _lasting_problems(account)
        if takes_over:
            problems = [problem for problem in problems if not _taken_over(account, problem, now=now)]
    except ExchangeError as error:
        found = Reconciled(error=str(error))
    else:
        found = Reconciled(followed, mended, tuple(problems))
    _note(account, found, now=now)
    return found


def _to_mend(account: ExchangeAccount, *, now: datetime) -> list[Position]:
    """Open positions that are flat, whose stop is not for their size, or with an order too many; usually none."""
    of_leg = {leg: Q(orders__leg=leg, orders__status__in=Order.LIVE) for leg in (Leg.STOP, Leg.TARGET)}
    resting = Q(orders__leg=Leg.STOP, orders__status__in=protection.RESTING)
    # Those that are opening or closing are taken up again by their own jobs.
    found = _open_positions(account).filter(status=Position.Status.OPEN)
    found = found.annotate(
        stopped=Coalesce(Sum(F("orders__quantity") - F("orders__filled"), filter=resting), Decimal(0)),
        stops=Count("orders", filter=of_leg[Leg.STOP]),
        targets=Count("orders", filter=of_leg[Leg.TARGET]),
        unsent=Count("orders", filter=Q(orders__status=Status.INTENDED, orders__intended_at__lt=_long_ago(now))),
    )
    is_wrong = ~Q(stopped=F("contracts")) | Q(contracts=0) | Q(stops__gt=1) | Q(targets__gt=1) | Q(unsent__gt=0)
    return list(found.filter(is_wrong))


def _mended(position: Position, *, now: datetime) -> bool:
    """Whether something that a crash left had to be put right; a position that somebody works on is left alone."""
    try:
        leases.take(position)
    except leases.Busy:
        return False
    try:
        forgotten = _forget_unsent(position, now=now)
        position.refresh_from_db()
        dropped = _drop_extras(position)
    finally:
        leases.release(position)
    if trading.settle(position, reason="stop", now=now):
        return True
    if _is_protected(position):
        return bool(forgotten or dropped)
    cause = Cause(Order.Cause.RECONCILIATION, f"protect-{clock.to_ms(now)}")
    try:
        outcome = trading.keep_safe(position, cause=cause, now=now)
    except leases.Busy:
        return False
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # one position's trouble must not keep the others from their stops (P8)
        logger.exception("position %s could not be protected; the next look tries again", position.id)
        return False
    logger.warning("%s had no stop of its size; protected again: %s", position, outcome)
    return True


def _long_ago(now: datetime) -> datetime:
    return now - timedelta(seconds=UNSENT_S * float(settings.CLOCK_SPEED))


def _forget_unsent(position: Position, *, now: datetime) -> int:
    unsent = Order.objects.filter(position=position, status=Status.INTENDED, intended_at__lt=_long_ago(now))
    found = list(unsent.select_related("account", "position__trader"))
    for order in found:
        orders.forget(order, why="nobody sent it, and by now it is too late")
    return len(found)


def _drop_extras(position: Position) -> int:
    """One live order for each leg: of stops the one that fits, else the newest."""
    dropped = 0
    for leg, price in ((Leg.STOP, position.stop_loss), (Leg.TARGET, position.take_profit)):
        live = sorted(orders.live(position, leg), key=lambda order: order.intended_at)
        if len(live) < 2 or price is None:
            continue
        best = next((order for order in reversed(live) if protection.fits(order, position, price)), live[-1])
        for order in live:
            if order.id != best.id:
                orders.cancel(order)
                dropped += 1
    return dropped


def _is_protected(position: Position) -> bool:
    resting = Order.objects.filter(position=position, leg=Leg.STOP, status__in=protection.RESTING)
    size = resting.aggregate(size=Sum(F("quantity") - F("filled")))["size"] or Decimal(0)
    return bool(size == position.contracts)


def _lasting_problems(account: ExchangeAccount) -> list[Problem]:
    """What differs now and still differs when everything is asked again: a fill in between is no drift."""
    first = _problems(account, venue.at_venue(account))
    if not first:
        return []
    there = venue.at_venue(account)
    following.follow(account, there, now=clock.now())
    again = {(problem.code, problem.symbol) for problem in first}
    return [problem for problem in _problems(account, venue.at_venue(account)) if (problem.code, problem.symbol) in again]


def _problems(account: ExchangeAccount, there: AtVenue) -> list[Problem]:
    fills = F("orders__fills__price") * F("orders__fills__quantity")
    summed = _open_positions(account).annotate(venue_realized=Sum("orders__fills__realized"), turnover=Sum(fills))
    ours = [_as_ours(position) for position in summed]
    known = set(Order.objects.filter(account=account, status__in=Order.LIVE).values_list("client_order_id", flat=True))
    return comparison.compare(ours, holdings=there.holdings, resting=there.resting, known_ids=known, owns_wallet=there.features.owns_wallet)


def _open_positions(account: ExchangeAccount) -> QuerySet[Position]:
    found = Position.objects.filter(account=account).exclude(status=Position.Status.CLOSED)
    return found.select_related("trader__profile", "account", "signal").order_by("created_at")


def _as_ours(position: Any) -> Ours:
    """`position` comes with the sums of its fills."""
    return Ours(
        position.id,
        position.symbol,
        position.sign * position.contracts,
        position.cost,
        position.realized_pnl,
        position.venue_realized,
        position.turnover or position.cost,
    )


def _taken_over(account: ExchangeAccount, problem: Problem, *, now: datetime) -> bool:
    if problem.code == "unknown_position":
        return adoption.adopt(account, problem.symbol, now=now)
    if problem.code != "quantity" or problem.position_id is None:
        return False
    position = Position.objects.select_related("trader__profile", "account", "signal").get(id=problem.position_id)
    return adoption.adopt_trades(position, now=now)


def _note(account: ExchangeAccount, found: Reconciled, *, now: datetime) -> None:
    """Keep the result; act on problems, and tell those that are new."""
    text = found.error or "; ".join(problem.text for problem in found.problems)
    before = ExchangeAccount.objects.values_list("reconcile_problem", flat=True).get(id=account.id)
    for problem in found.problems:
        _act_on(account, problem, is_new=problem.text not in before, now=now)
    updates: dict[str, Any] = {"reconcile_problem": text[:2000]}
    if not found.error:
        updates["reconciled_at"] = now
    ExchangeAccount.objects.filter(id=account.id).update(**updates)
    if found.error and found.error != before:
        logger.warning("account %s could not be reconciled: %s", account.name, found.error)


def _act_on(account: ExchangeAccount, problem: Problem, *, is_new: bool, now: datetime) -> None:
    position = Position.objects.select_related("trader").get(id=problem.position_id) if problem.position_id else None
    scope = f"trader:{position.trader_id}" if position else f"account:{account.id}"
    controls.halt(scope=scope, state=controls.REDUCING, reason=f"drift: {problem.text}"[:500], actor=RULE, now=now)
    if is_new:
        data = {"account": account.name, "symbol": problem.symbol, "code": problem.code, "text": problem.text}
        if position:
            event = about(position, "position_drifted", problem.text, data, level=events.CRITICAL)
        else:
            event = NewEvent("position_drifted", problem.text, data, level=events.CRITICAL, user_id=account.user_id)
        notify([events.record(event, now=now)])


def report(results: Sequence[tuple[ExchangeAccount, Reconciled]]) -> str:
    """For people: a line for each account."""
    lines = []
    for account, found in results:
        state = found.error or ("agrees" if found.is_clean else "; ".join(problem.text for problem in found.problems))
        lines.append(f"{account.name} ({account.kind}): {found.followed} followed, {found.mended} mended; {state}")
    return "\n".join(lines) or "no account holds anything"
