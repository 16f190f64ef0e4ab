"""
What happens to positions before anything is decided on a close: what filled is followed, and everything is valued.

Runs before every decision on a close and bears to run twice: fills are booked once by their trade id.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection
from django.db.models import QuerySet

from monitoring.handlers import Close
from positions import following, venue
from positions.exchange import paper
from positions.exchange.contract import ExchangeError
from positions.models import ExchangeAccount, Order, Position

logger = logging.getLogger(__name__)

LEFT_ALONE_S = 30.0  # real time
_left_alone_until: dict[UUID, float] = {}  # monotonic, of this process

# Our live orders whose state at the paper exchange is another: filled by this close, or by one whose worker died.
CHANGED = """
SELECT o.id FROM orders o
  JOIN positions p ON p.id = o.position_id
  JOIN paper_orders v ON v.account_id = o.account_id AND v.client_order_id = o.client_order_id
 WHERE o.status IN ('open', 'partially_filled') AND v.status <> 'open' AND p.market = %s AND p.symbol = ANY(%s)
 ORDER BY v.id
"""
VALUE = """
UPDATE positions p
   SET unrealized_pnl = v.pnl, max_pnl = greatest(p.max_pnl, p.realized_pnl + v.pnl - p.fees)
  FROM (SELECT p.id, CASE p.side WHEN 'long' THEN c.close * p.contracts - p.cost ELSE p.cost - c.close * p.contracts END AS pnl
          FROM positions p JOIN candles c ON c.market = p.market AND c.symbol = p.symbol AND c.interval = %s AND c.open_time = %s
         WHERE p.status IN ('open', 'closing') AND p.market = %s AND p.symbol = ANY(%s)) v
 WHERE p.id = v.id
"""


def on_close(close: Close, now: datetime) -> None:
    """Fill resting paper orders of these symbols, follow what filled there and at exchanges, and value what is held."""
    symbols = list(close.symbols)
    for account, symbol in paper.accounts_with_resting_orders(market=close.market, symbols=symbols):
        paper.PaperExchange(account).match(symbol=symbol, interval=close.interval)
    with connection.cursor() as cursor:
        cursor.execute(CHANGED, [close.market, symbols])
        changed = [row[0] for row in cursor.fetchall()]
    for order in Order.objects.select_related("account", "position__trader").filter(id__in=changed):
        with _one_of_many(f"order {order.client_order_id}"):
            following.follow_order(order, now=now)
    for account in _at_exchanges(close):
        with _one_of_many(f"account {account.name}"):
            _follow(account, symbols=symbols, now=now)
    with connection.cursor() as cursor:
        cursor.execute(VALUE, [close.interval, close.open_time, close.market, symbols])


def _follow(account: ExchangeAccount, *, symbols: Collection[str], now: datetime) -> None:
    """
    Follow what filled at an exchange, unless it has just left this process without an answer.

    Everybody's decisions on this close wait meanwhile, and a call to an exchange that hangs takes ten seconds: it is left to
    reconciliation, which every minute has a job of its own.
    """
    if time.monotonic() < _left_alone_until.get(account.id, 0.0):
        return
    try:
        there = venue.at_venue(account)
    except ExchangeError:
        _left_alone_until[account.id] = time.monotonic() + LEFT_ALONE_S
        raise
    following.follow(account, there, now=now, symbols=symbols)


def _at_exchanges(close: Close) -> QuerySet[ExchangeAccount]:
    """Accounts that hold something of these symbols at a venue of its own: only that knows what has filled."""
    held = Position.objects.exclude(status=Position.Status.CLOSED).filter(market=close.market, symbol__in=close.symbols)
    return ExchangeAccount.objects.exclude(kind=ExchangeAccount.Kind.PAPER).filter(id__in=held.values("account"))


@contextmanager
def _one_of_many(what: str) -> Iterator[None]:
    """One position's trouble must not keep the others from being valued and judged (P8)."""
    try:
        yield
    except (OperationalError, InterfaceError):
        raise  # the database is away: the whole job comes back
    except Exception:
        logger.exception("%s could not be followed; the next close tries again", what)
