"""The audit log: who changed what, when, from where and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from monitoring.models import AuditLog


@dataclass(frozen=True)
class Actor:
    """Who changes something, and from where: web, cli or rule."""

    name: str
    source: str
    user_id: UUID | None = None
    address: str | None = None


def record(
    *,
    action: str,
    subject: tuple[str, str],
    actor: Actor,
    now: datetime,
    reason: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditLog:
    """Write one entry in the transaction of the change. `subject` is its type and key."""
    return AuditLog.objects.create(
        at=now,
        action=action,
        subject_type=subject[0],
        subject_id=subject[1],
        actor=actor.name,
        source=actor.source,
        user_id=actor.user_id,
        address=actor.address,
        before=dict(before or {}),
        after=dict(after or {}),
        reason=reason,
    )
