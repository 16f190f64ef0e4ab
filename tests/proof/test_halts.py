"""Halts in the middle of busy traffic of several processes, some of them frozen."""

from __future__ import annotations

import pytest

from tests import halts


@pytest.mark.proof
@pytest.mark.django_db(transaction=True)
def test_no_order_that_adds_exposure_slips_through_a_halt() -> None:
    result = halts.run(runs=100, seed=7)
    assert result.slipped == [], str(result)
    assert result.unprotected == []
    assert result.orders > 300, "it was busy"
    assert result.frozen > 30
    assert result.p(0.99) < 500, str(result)
