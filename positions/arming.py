"""
Letting an exchange account trade: its API key, and the arming by a person with a cap on all that it may hold.

An account that is not armed still protects, reduces and closes what it holds. Every step is in the audit log, which
never holds a key.

ArmingError   it can't be done like this
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal, InvalidOperation

from django.conf import settings
from django.db import transaction

from monitoring import audit, events
from monitoring.audit import Actor
from monitoring.events import NewEvent
from monitoring.notifications import notify
from positions import credentials, venue
from positions.credentials import Keys
from positions.exchange.contract import Balance, ExchangeError
from positions.models import ExchangeAccount

SHORTEST_REASON = 3


class ArmingError(ValueError):
    """It can't be done like this."""


def set_keys(account: ExchangeAccount, *, keys: Keys, actor: Actor, now: datetime) -> None:
    """
    Keep an API key, encrypted. The account is disarmed: a new key has to be allowed anew.

    :raises ArmingError: if the account is of paper, or a part is missing
    """
    if not account.needs_arming:
        raise ArmingError("a paper account has no API key")
    keys = Keys(*(part.strip() for part in (keys.api_key, keys.secret, keys.passphrase)))
    if not keys.api_key or not keys.secret:
        raise ArmingError("the API key and its secret are both needed")
    if account.has_passphrase and not keys.passphrase:
        raise ArmingError("a key of OKX has a passphrase; it is needed as well")
    before = account.api_key_hint
    account.credentials = credentials.seal(keys)
    account.api_key_hint = f"…{keys.api_key[-4:]}"
    with transaction.atomic():
        if account.is_live:
            _write(account, is_armed=False, cap=None, reason="its API key was changed", actor=actor, now=now)
        account.save(update_fields=["credentials", "api_key_hint"])
        subject = ("account", str(account.id))
        hints = {"api_key": before}, {"api_key": account.api_key_hint}
        audit.record(action="set keys", subject=subject, actor=actor, before=hints[0], after=hints[1], reason="", now=now)


def arm(account: ExchangeAccount, *, cap: str, name: str, reason: str, actor: Actor, now: datetime) -> Balance:
    """
    Allow the account to add exposure, up to `cap` in quote for all that it holds. Returns its balance, as a proof of the key.

    :raises ArmingError: if the name is not typed right, the cap is no amount, the reason too short, or the exchange refuses the key
    """
    if not account.needs_arming:
        raise ArmingError("a paper account needs no arming")
    if name.strip() != account.name:
        raise ArmingError(f"type the account's name, {account.name}, to arm it")
    limit, reason = _amount(cap), _checked(reason)
    if settings.CLOCK_SPEED != 1 and not account.is_simulated:
        raise ArmingError("the clock runs at another speed than the exchange's")
    try:
        balance = venue.balance(account)
    except ExchangeError as error:
        raise ArmingError(f"the exchange refuses: {error}") from error
    with transaction.atomic():
        _write(account, is_armed=True, cap=limit, reason=reason, actor=actor, now=now)
    return balance


def disarm(account: ExchangeAccount, *, reason: str, actor: Actor, now: datetime) -> None:
    """From now on the account only protects, reduces and closes what it holds. :raises ArmingError: without a reason"""
    reason = _checked(reason)
    with transaction.atomic():
        _write(account, is_armed=False, cap=None, reason=reason, actor=actor, now=now)


def _write(account: ExchangeAccount, *, is_armed: bool, cap: Decimal | None, reason: str, actor: Actor, now: datetime) -> None:
    locked = ExchangeAccount.objects.select_for_update().get(id=account.id)
    before = {"armed": locked.is_live, "notional_cap": str(locked.notional_cap or "")}
    account.is_live, account.notional_cap = is_armed, cap
    account.armed_at, account.armed_by = (now, actor.name) if is_armed else (None, "")
    account.save(update_fields=["is_live", "notional_cap", "armed_at", "armed_by"])
    after = {"armed": is_armed, "notional_cap": str(cap or "")}
    audit.record(
        action="arm" if is_armed else "disarm", subject=("account", str(account.id)), actor=actor, before=before, after=after,
        reason=reason, now=now,
    )  # fmt: skip
    data = {"account": account.name, "armed": is_armed, "by": actor.name, "reason": reason, "notional_cap": str(cap or "")}
    text = f"account {account.name} is {f'armed up to {cap:f}' if is_armed else 'disarmed'} by {actor.name}: {reason}"
    notify([events.record(NewEvent("account_armed", text, data, level=events.WARNING, user_id=account.user_id), now=now)])


def _checked(reason: str) -> str:
    if len(reason.strip()) < SHORTEST_REASON:
        raise ArmingError(f"a reason of at least {SHORTEST_REASON} characters is needed")
    return reason.strip()[:500]


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text.strip())
    except InvalidOperation as error:
        raise ArmingError(f"the cap has to be an amount, was {text!r}") from error
    if not amount.is_finite() or amount <= 0:
        raise ArmingError("the cap has to be above 0")
    return amount
