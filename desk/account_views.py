"""The page of one account: what it holds, whether it agrees with its exchange, its API key and its arming."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.admin.views.decorators import staff_member_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from desk import access
from monitoring import clock
from monitoring.admin.base import actor_of
from positions import arming
from positions.credentials import Keys
from positions.models import ExchangeAccount, Position

ARM = "positions.arm_exchangeaccount"


@require_GET
@staff_member_required
def account(request: HttpRequest, key: UUID) -> HttpResponse:
    """The whole page."""
    found = _account(request, key)
    held = Position.objects.filter(account=found).exclude(status=Position.Status.CLOSED).select_related("trader")
    context = {
        "account": found,
        "positions": held.order_by("symbol"),
        "address": settings.TRADING_URLS.get(found.kind) or "the exchange's own",
        "may_arm": request.user.has_perm(ARM) and found.needs_arming,
    }
    return render(request, "desk/account.html", context)


@require_POST
@staff_member_required
@sensitive_post_parameters("api_key", "secret", "passphrase")
def act(request: HttpRequest, key: UUID) -> HttpResponse:
    """Set the API key, arm or disarm."""
    if not request.user.has_perm(ARM):
        raise PermissionDenied
    found, form, actor, now = _account(request, key), request.POST, actor_of(request), clock.now()
    try:
        match form.get("action"):
            case "keys":
                keys = Keys(form.get("api_key", ""), form.get("secret", ""), form.get("passphrase", ""))
                arming.set_keys(found, keys=keys, actor=actor, now=now)
                messages.success(request, "The API key is kept, encrypted. The account is disarmed.")
            case "arm":
                typed = {name: form.get(name, "") for name in ("cap", "name", "reason")}
                balance = arming.arm(found, **typed, actor=actor, now=now)
                messages.success(
                    request, f"Armed. The exchange says {balance.total:.2f} {balance.currency}, {balance.available:.2f} available."
                )
            case "disarm":
                arming.disarm(found, reason=form.get("reason", ""), actor=actor, now=now)
                messages.success(request, "Disarmed: it only protects, reduces and closes what it holds.")
            case _:
                messages.error(request, "There is no such action.")
    except arming.ArmingError as error:
        messages.error(request, str(error))
    return redirect("desk:account", key=found.id)


def _account(request: HttpRequest, key: UUID) -> ExchangeAccount:
    rows = ExchangeAccount.objects.select_related("user")
    return get_object_or_404(access.visible(rows, request, owner="user"), id=key)
