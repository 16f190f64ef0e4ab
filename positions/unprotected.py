"""
How long a position stood without a stop for its whole size, by what is known of its orders.

Counted from the moment a fill or a lost stop was recorded until a stop for all of it is confirmed, or it is flat.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import connection

NOTE = """
WITH seen AS (
    SELECT p.id, p.contracts > coalesce((
               SELECT sum(o.quantity - o.filled) FROM orders o
                WHERE o.position_id = p.id AND o.leg = 'stop' AND o.status IN ('open', 'partially_filled')), 0) AS is_naked
      FROM positions p WHERE p.id = %(position)s
)
UPDATE positions p
   SET unprotected_since = CASE WHEN seen.is_naked THEN coalesce(p.unprotected_since, %(now)s) END,
       unprotected_seconds = p.unprotected_seconds + CASE WHEN seen.is_naked OR p.unprotected_since IS NULL THEN 0
                                                          ELSE extract(epoch FROM %(now)s - p.unprotected_since) END
  FROM seen WHERE p.id = seen.id AND (seen.is_naked OR p.unprotected_since IS NOT NULL)
"""


def note(*, position_id: UUID, now: datetime) -> None:
    """Look again, in the transaction that has changed the position or one of its stops."""
    with connection.cursor() as cursor:
        cursor.execute(NOTE, {"position": position_id, "now": now})
