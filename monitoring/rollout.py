"""
Who gets continuous monitoring: whose *wait* starts a workflow, and who gets the single first analysis only.

It decides about setups that begin to wait. Those that wait already go on, and open positions are always managed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from uuid import UUID

from monitoring.models import MonitoringRollout, Trader, User

Mode = MonitoringRollout.Mode


def admitted(traders: Iterable[Trader]) -> set[UUID]:
    """The traders among these whose setups may wait; a handful of queries, however many there are."""
    asked = list(traders)
    rollout = MonitoringRollout.objects.first()
    if rollout is None or rollout.mode == Mode.ALL:
        return {trader.id for trader in asked}
    if rollout.mode == Mode.OFF:
        return set()
    if rollout.mode == Mode.TEST:
        return {trader.id for trader in asked if trader.is_test}
    users = _chosen_users(rollout, {trader.user_id for trader in asked})
    if rollout.mode == Mode.PERCENT:
        users |= {trader.user_id for trader in asked if place(trader.user_id) < rollout.percent}
    chosen = set(rollout.traders.values_list("id", flat=True))
    return {trader.id for trader in asked if trader.id in chosen or trader.user_id in users}


def place(user_id: UUID) -> float:
    """A user's place from 0 to 100, always the same: whoever is in at a percentage stays in at a larger one."""
    digest = hashlib.sha256(f"monitoring {user_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * 100


def _chosen_users(rollout: MonitoringRollout, among: set[UUID]) -> set[UUID]:
    named = set(rollout.users.filter(id__in=among).values_list("id", flat=True))
    members = User.objects.filter(id__in=among, groups__in=rollout.groups.all()).values_list("id", flat=True)
    return named | set(members)
