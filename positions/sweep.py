"""Work whose job is gone: signals that are ready, positions half open, decisions nobody acted on. Safe to run at any time."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q
from django.db.models.functions import Now

from monitoring import jobs
from monitoring.models import Signal
from positions import opening
from positions.models import Position, PositionManagementDecision


def requeue(before: datetime) -> int:
    """Enqueue again what has waited since before `before` (app time); leases decide who really works."""
    waiting = Signal.objects.filter(status=Signal.Status.READY, analyses__created_at__lt=before).distinct()
    half_open = Signal.objects.filter(positions__status=Position.Status.OPENING).filter(
        Q(positions__lease_until__isnull=True) | Q(positions__lease_until__lt=Now())
    )
    count = 0
    for signal in {*waiting, *half_open}:
        if analysis := opening.entering_analysis(signal):
            jobs.enqueue(jobs.Job.OPEN_POSITION, analysis_id=str(analysis.id))
            count += 1
    for decision_id in PositionManagementDecision.objects.filter(outcome="", created_at__lt=before).values_list("id", flat=True):
        jobs.enqueue(jobs.Job.ACT_ON_DECISION, decision_id=str(decision_id))
        count += 1
    return count
