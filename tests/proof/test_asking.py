"""Questions to models by real processes, and answers that no model should give."""

from __future__ import annotations

from decimal import Decimal

import pytest

from monitoring.asking import permits
from tests import hostile, limits

pytestmark = [pytest.mark.proof, pytest.mark.django_db(transaction=True)]


def test_hostile_answers_have_an_outcome_and_move_no_order_outside_the_limits() -> None:
    result = hostile.run(replies=5000, seed=11)
    assert result.misplaced == [], str(result)
    assert result.outside == [], str(result)
    assert result.orders > 1000, "some of it was taken for an answer"


def test_limits_hold_over_processes_and_a_kill() -> None:
    seen = limits.run(processes=8, seconds=75, cap=20, per_minute=300)
    assert seen.most_open <= 20, str(seen)
    assert seen.most_open >= 15, "the cap was reached"
    assert 250 < seen.most_in_a_minute <= 300, str(seen)
    assert seen.back_after_s <= limits.TIMEOUT_S + permits.LEASE_MARGIN_S + 1, "the lease is the time-out of an attempt and a margin"


def test_the_budget_is_never_exceeded_by_a_cent() -> None:
    """Two hundred questions at once in eight processes, again and again."""
    seen = limits.run(processes=8, seconds=20, cap=500, per_minute=0, budget=Decimal("0.25"), latency_s=0.1)
    assert Decimal("0.2") < seen.spent_usd <= Decimal("0.25"), str(seen)
