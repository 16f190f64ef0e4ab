"""A queue that is behind is told once, and once more when it has caught up."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from monitoring import backlog
from monitoring.models import Event
from tests.support.clocks import SteppingClock

pytestmark = pytest.mark.django_db


def wait(seconds: float) -> None:
    """A job that has waited so long."""
    OrmQ.objects.create(key="default", payload="x", lock=timezone.now() - timedelta(seconds=seconds))


def told() -> list[tuple[str, str]]:
    return list(Event.objects.order_by("id").values_list("kind", "level"))


class TestBacklog:
    def test_it_is_told_once_and_once_more_when_it_is_over(self, clock: SteppingClock) -> None:
        backlog.watch(clock.now)
        wait(10)
        backlog.watch(clock.now)
        assert told() == []
        wait(40)
        for _ in range(3):
            backlog.watch(clock.now)
        assert told() == [("queue_behind", "critical")]
        [event] = Event.objects.all()
        assert (event.data["jobs"], round(event.data["waited_s"])) == (2, 40)
        OrmQ.objects.all().delete()
        wait(10)
        backlog.watch(clock.now)
        assert len(told()) == 1, "not yet"
        OrmQ.objects.all().delete()
        for _ in range(3):
            backlog.watch(clock.now)
        assert told() == [("queue_behind", "critical"), ("queue_caught_up", "warning")]

    def test_jobs_that_are_at_work_or_for_later_do_not_wait(self, clock: SteppingClock) -> None:
        wait(-60)
        backlog.watch(clock.now)
        assert told() == []
