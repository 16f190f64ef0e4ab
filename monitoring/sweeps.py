"""
Housekeeping that the listener does between closes: whatever a crash or a lost job left lying is picked up.

Nothing here decides anything; it only enqueues jobs again, and those take leases. Higher floors register theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings

from monitoring import closes, first_analysis, jobs

PATIENCE_S = 5.0  # real time; a job that is alive has begun by then

_sweeps: list[Callable[[datetime], int]] = []
_always: list[Callable[[datetime], int]] = []


def register_always(sweep: Callable[[datetime], int]) -> None:
    """Have `sweep(before)` run also while jobs wait: it keeps its own pace."""
    if sweep not in _always:
        _always.append(sweep)


def register(sweep: Callable[[datetime], int]) -> None:
    """Have `sweep(before)` look for work that has waited since before a moment of app time."""
    if sweep not in _sweeps:
        _sweeps.append(sweep)


def run(*, now: datetime) -> int:
    """
    Run every sweep once; returns how many jobs were enqueued again.

    While jobs wait, nothing is missing but workers: enqueuing more would only lengthen the queue.
    """
    before = now - timedelta(seconds=PATIENCE_S * float(settings.CLOCK_SPEED))
    own = sum(sweep(before) for sweep in _always)
    if jobs.ready() > own:
        return own
    count = closes.settle(now=now, stranded_before=before)
    if first_analysis.waiting(created_before=before):
        jobs.enqueue(jobs.Job.ANALYZE_SIGNALS)
        count += 1
    return own + count + sum(sweep(before) for sweep in _sweeps)
