"""Whether what has to be watched is watched: markets in use against what the living listeners say of themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connection

from monitoring import heartbeats

IN_USE = """
SELECT market, array_agg(DISTINCT name ORDER BY name) FROM (
    SELECT market, name FROM traders WHERE state = 'running'
     UNION
    SELECT s.market, t.name FROM workflow_schedules s JOIN traders t ON t.id = s.trader_id WHERE s.is_active
) w GROUP BY market ORDER BY market
"""


@dataclass(frozen=True)
class Unfollowed:
    """A market that nobody follows, or not all of it, and the traders that wait for it in vain."""

    market: str
    traders: list[str]


def unfollowed() -> list[Unfollowed]:
    """Markets in use of which no set of living listeners follows every shard."""
    with connection.cursor() as cursor:
        cursor.execute(IN_USE)
        in_use = cursor.fetchall()
    living = [state for _, state in heartbeats.living(kind="listener")]
    return [Unfollowed(market, traders) for market, traders in in_use if not _is_followed(market, living)]


def _is_followed(market: str, living: Iterable[dict[str, Any]]) -> bool:
    shards: dict[int, set[int]] = defaultdict(set)
    following: set[int] = set()
    for state in living:
        index, count = state.get("shard", [1, 1])
        shards[count].add(index)
        if state.get("markets", {}).get(market, {}).get("streams"):
            following.add(count)
    return any(len(shards[count]) == count for count in following)
