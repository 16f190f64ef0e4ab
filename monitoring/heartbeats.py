"""Signs of life: one row per process, with what it says of itself. Real time, since a stopped clock must show."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from monitoring.models import Heartbeat

SILENT_S = 10  # real time; processes beat every 2 s


def instance_name() -> str:
    """This process on this host."""
    return f"{socket.gethostname()}:{os.getpid()}"


def beat(*, kind: str, instance: str, state: Mapping[str, Any]) -> None:
    """Say that this process is alive, and what it does."""
    changed = Heartbeat.objects.filter(kind=kind, instance=instance).update(beat_at=Now(), state=dict(state))
    if not changed:
        Heartbeat.objects.create(kind=kind, instance=instance, started_at=Now(), beat_at=Now(), state=dict(state))


def living(*, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Instances that beat lately, each with its state."""
    rows = Heartbeat.objects.filter(kind=kind, beat_at__gt=Now() - timedelta(seconds=SILENT_S)).order_by("instance")
    return list(rows.values_list("instance", "state"))


def forget_the_dead(*, older_than_s: int = 3600) -> int:
    """Remove rows of processes that have been silent for long; returns how many."""
    deleted, _ = Heartbeat.objects.filter(beat_at__lt=Now() - timedelta(seconds=older_than_s)).delete()
    return deleted
