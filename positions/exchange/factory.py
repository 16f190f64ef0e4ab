"""The venue of an account."""

from __future__ import annotations

import os
import threading
from decimal import Decimal
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db.models import Sum

from monitoring import clock
from positions import credentials
from positions.models import ExchangeAccount, Position

from .binance import BinanceFutures, BinanceSpot
from .ccxt_client import BinanceClient, Caller
from .contract import Exchange, Rejected
from .paper import PaperExchange

# A client keeps a connection, which neither a forked process nor another thread may share.
_clients = threading.local()


def exchange_for(account: ExchangeAccount) -> Exchange:
    """
    The venue that an account trades at.

    :raises Rejected: for a kind that can't be traded by this version, or without readable credentials
    """
    if account.kind == ExchangeAccount.Kind.PAPER:
        return PaperExchange(account)
    if account.kind != ExchangeAccount.Kind.BINANCE or account.market not in ("binance", "binance_futures"):
        raise Rejected("not_supported", f"accounts of kind {account.kind} on {account.market} can't be traded by this version")
    known = _known()
    marks = (bytes(account.credentials or b""), account.market, account.leverage, account.margin_mode, settings.BINANCE_TRADING_URL)
    if known.get(account.id, (None, None))[0] != marks:
        known[account.id] = (marks, _binance(account))
    return known[account.id][1]


def _binance(account: ExchangeAccount) -> Exchange:
    try:
        keys = credentials.opened(account.credentials)
    except credentials.CredentialsError as error:
        raise Rejected("credentials", str(error)) from error
    client = BinanceClient(api_key=keys.api_key, secret=keys.secret, base_url=settings.BINANCE_TRADING_URL, clock_ms=clock.now_ms)
    if account.market == "binance_futures":
        caller = Caller(client, time_path="fapiPublicGetTime")
        return BinanceFutures(
            caller, leverage=int(account.leverage), margin_mode=account.margin_mode, settles_after_s=settings.ORDER_SETTLES_SECONDS
        )
    caller = Caller(client, time_path="publicGetTime")
    return BinanceSpot(caller, held_at_cost=partial(_held_at_cost, account.id), settles_after_s=settings.ORDER_SETTLES_SECONDS)


def _held_at_cost(account_id: UUID) -> Decimal:
    """What the open positions of an account have cost in quote."""
    open_positions = Position.objects.filter(account_id=account_id).exclude(status=Position.Status.CLOSED)
    return open_positions.aggregate(total=Sum("cost"))["total"] or Decimal(0)


def _known() -> dict[UUID, tuple[object, Exchange]]:
    if getattr(_clients, "process", None) != os.getpid():
        _clients.process, _clients.known = os.getpid(), {}
    found: dict[UUID, tuple[object, Exchange]] = _clients.known
    return found
