"""The audit log: who changed what, when, from where and why."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from monitoring.models import AuditLog


def record(
    *,
    action: str,
    subject: tuple[str, str],
    actor: str,
    source: str,
    now: datetime,
    reason: str,
    user_id: UUID | None = None,
    address: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> AuditLog:
    """Write one entry in the transaction of the change. `subject` is its type and key; `source` is web, cli or rule."""
    return AuditLog.objects.create(
        at=now,
        action=action,
        subject_type=subject[0],
        subject_id=subject[1],
        actor=actor,
        source=source,
        user_id=user_id,
        address=address,
        before=dict(before or {}),
        after=dict(after or {}),
        reason=reason,
    )
