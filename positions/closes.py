"""
What happens to positions before anything is decided on a close: resting paper orders fill, and everything is valued.

Runs before every decision on a close and bears to run twice: fills are booked once by their trade id.
"""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import InterfaceError, OperationalError, connection

from monitoring.handlers import Close
from positions import orders, trading
from positions.exchange import paper
from positions.models import Order, Position

logger = logging.getLogger(__name__)

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
REASONS = {Order.Leg.STOP: "stop", Order.Leg.TARGET: "target"}


def on_close(close: Close, now: datetime) -> None:
    """Fill resting paper orders of these symbols, follow what filled, and value what is held."""
    symbols = list(close.symbols)
    for account, symbol in paper.accounts_with_resting_orders(market=close.market, symbols=symbols):
        paper.PaperExchange(account).match(symbol=symbol, interval=close.interval)
    with connection.cursor() as cursor:
        cursor.execute(CHANGED, [close.market, symbols])
        changed = [row[0] for row in cursor.fetchall()]
    for order in Order.objects.select_related("account", "position__trader").filter(id__in=changed):
        try:
            _follow(order, now)
        except (OperationalError, InterfaceError):
            raise  # the database is away: the whole job comes back
        except Exception:  # one position's trouble must not keep the others from being valued and judged (P8)
            logger.exception("order %s could not be followed; the next close tries again", order.client_order_id)
    with connection.cursor() as cursor:
        cursor.execute(VALUE, [close.interval, close.open_time, close.market, symbols])


def _follow(order: Order, now: datetime) -> None:
    followed = orders.refresh(order)
    position = Position.objects.select_related("trader", "account", "signal").get(id=followed.position_id)
    trading.settle(position, reason=REASONS.get(Order.Leg(followed.leg), followed.leg), now=now)
