"""The queue without its cluster: jobs are run here, one after the other, with the arguments that were really stored."""

from __future__ import annotations

import pydoc
from collections.abc import Callable

from django_q.models import OrmQ
from django_q.signing import SignedPackage


def waiting() -> list[str]:
    """Dotted paths of the jobs that wait."""
    return [SignedPackage.loads(row.payload)["func"] for row in OrmQ.objects.order_by("id")]


def run_all(*, limit: int = 1000, before: Callable[[str], None] | None = None) -> int:
    """Run jobs until none waits; jobs that they enqueue are run as well."""
    done = 0
    while row := OrmQ.objects.order_by("id").first():
        task = SignedPackage.loads(row.payload)
        if before:
            before(task["func"])
        function = pydoc.locate(task["func"])
        assert callable(function)
        function(*task["args"], **task["kwargs"])
        row.delete()
        done += 1
        assert done < limit, "jobs enqueue each other for ever"
    return done


def forget() -> None:
    """Drop every job that waits."""
    OrmQ.objects.all().delete()
