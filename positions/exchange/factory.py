"""The venue of an account."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Sum

from monitoring import clock
from positions import credentials
from positions.credentials import Keys
from positions.models import ExchangeAccount, Position

from . import binance, bybit, okx
from .binance import BinanceFutures, BinanceSpot
from .binance_client import BinanceClient
from .bybit import BybitLinear
from .bybit_client import BybitClient
from .calling import Caller
from .contract import Exchange, Rejected
from .okx import OkxSwap
from .okx_client import OkxClient
from .paper import PaperExchange

# A client keeps a connection, which neither a forked process nor another thread may share.
_clients = threading.local()


def exchange_for(account: ExchangeAccount) -> Exchange:
    """
    The venue that an account trades at.

    :raises Rejected: for a market that can't be traded there by this version, or without readable credentials
    """
    if account.kind == ExchangeAccount.Kind.PAPER:
        return PaperExchange(account)
    make = MAKERS.get((account.kind, account.market))
    if make is None:
        raise Rejected("not_supported", f"accounts of kind {account.kind} on {account.market} can't be traded by this version")
    known = _known()
    address = settings.TRADING_URLS[account.kind]
    marks = (bytes(account.credentials or b""), account.market, account.leverage, account.margin_mode, address)
    if known.get(account.id, (None, None))[0] != marks:
        try:
            keys = credentials.opened(account.credentials)
        except credentials.CredentialsError as error:
            raise Rejected("credentials", str(error)) from error
        known[account.id] = (marks, make(account, keys, address))
    return known[account.id][1]


def _binance_spot(account: ExchangeAccount, keys: Keys, address: str) -> Exchange:
    client = BinanceClient(api_key=keys.api_key, secret=keys.secret, base_url=address, clock_ms=clock.now_ms, time_path="publicGetTime")
    return BinanceSpot(Caller(client), held_at_cost=partial(_held_at_cost, account.id), settles_after_s=_settles(binance.SETTLES_AFTER_S))


def _binance_futures(account: ExchangeAccount, keys: Keys, address: str) -> Exchange:
    client = BinanceClient(api_key=keys.api_key, secret=keys.secret, base_url=address, clock_ms=clock.now_ms, time_path="fapiPublicGetTime")
    return BinanceFutures(Caller(client), **_terms(account, binance.SETTLES_AFTER_S))


def _bybit(account: ExchangeAccount, keys: Keys, address: str) -> Exchange:
    client = BybitClient(api_key=keys.api_key, secret=keys.secret, base_url=address, clock_ms=clock.now_ms)
    return BybitLinear(Caller(client), **_terms(account, bybit.SETTLES_AFTER_S))


def _okx(account: ExchangeAccount, keys: Keys, address: str) -> Exchange:
    if not keys.passphrase:
        raise Rejected("credentials", "a key of OKX has a passphrase; enter it with the key")
    client = OkxClient(api_key=keys.api_key, secret=keys.secret, passphrase=keys.passphrase, base_url=address, clock_ms=clock.now_ms)
    return OkxSwap(Caller(client), **_terms(account, okx.SETTLES_AFTER_S))


def _terms(account: ExchangeAccount, settles_s: float) -> dict[str, Any]:
    margin = {"leverage": int(account.leverage), "margin_mode": account.margin_mode}
    return {**margin, "settles_after_s": _settles(settles_s)}


def _settles(own: float) -> float:
    """How long an order may take to be known, in seconds: as the settings say, else what the exchange needs."""
    return own if settings.ORDER_SETTLES_SECONDS is None else float(settings.ORDER_SETTLES_SECONDS)


MAKERS: dict[tuple[str, str], Callable[[ExchangeAccount, Keys, str], Exchange]] = {
    ("binance", "binance"): _binance_spot,
    ("binance", "binance_futures"): _binance_futures,
    ("bybit", "bybit"): _bybit,
    ("okx", "okx"): _okx,
}


def _held_at_cost(account_id: UUID) -> Decimal:
    """What the open positions of an account have cost in quote."""
    open_positions = Position.objects.filter(account_id=account_id).exclude(status=Position.Status.CLOSED)
    return open_positions.aggregate(total=Sum("cost"))["total"] or Decimal(0)


def _known() -> dict[UUID, tuple[object, Exchange]]:
    if getattr(_clients, "process", None) != os.getpid():
        _clients.process, _clients.known = os.getpid(), {}
    found: dict[UUID, tuple[object, Exchange]] = _clients.known
    return found
