"""The venue of an account."""

from __future__ import annotations

from positions.models import ExchangeAccount

from .contract import Exchange, Rejected
from .paper import PaperExchange


def exchange_for(account: ExchangeAccount) -> Exchange:
    """
    The venue that an account trades at.

    :raises Rejected: for a kind that can't be traded yet
    """
    if account.kind == ExchangeAccount.Kind.PAPER:
        return PaperExchange(account)
    raise Rejected("not_supported", f"accounts of kind {account.kind} can't be traded by this version")
