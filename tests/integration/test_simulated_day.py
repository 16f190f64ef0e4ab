"""A day of the demo, in seconds: every leaf of both trees, every close accounted for, and the same again from its seed."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import F

from monitoring.models import ScreeningCheck, Signal, WorkflowRun, WorkflowSchedule
from positions.models import Order, PaperBalance, PaperOrder, PaperPosition, Position, PositionManagementDecision
from tests.support.clocks import SteppingClock
from tests.support.day import LENGTH, SimulatedDay

SEED = 7
LEAVES = {
    *("initial:enter_trade", "initial:bad_setup", "initial:wait"),
    *("monitoring:enter", "monitoring:continue", "monitoring:abandon"),
    *("management:close:target", "management:reduce", "management:adjust_tp"),
    *("management:adjust_sl", "management:close:invalid", "management:hold"),
}

UNACCOUNTED = """
SELECT count(*) FROM workflow_schedules s
 CROSS JOIN LATERAL generate_series(
    to_ms(s.started_at) - to_ms(s.started_at) %% %s, coalesce(to_ms(s.stopped_at), %s) - %s, %s) AS candle_time
 WHERE candle_time + %s > to_ms(s.started_at)
   AND NOT EXISTS (SELECT 1 FROM workflow_runs r WHERE r.schedule_id = s.id AND r.candle_time = candle_time)
"""


@pytest.mark.django_db
def test_a_whole_day(clock: SteppingClock) -> None:
    day = SimulatedDay(clock, SEED)
    day.run()

    reached = day.leaves()
    assert set(reached) >= LEAVES, f"not reached: {LEAVES - set(reached)}; reached {dict(reached)}"

    # Every close has one final outcome, every check was carried out, every decision was acted on.
    assert not WorkflowRun.objects.filter(status__in=["due", "claimed"]).exists()
    assert not ScreeningCheck.objects.filter(status="due").exists()
    assert not PositionManagementDecision.objects.filter(outcome="").exists()
    assert not WorkflowSchedule.objects.filter(consecutive_errors__gt=0).exists()
    with connection.cursor() as cursor:
        cursor.execute(UNACCOUNTED, [LENGTH, clock.ms, LENGTH, LENGTH, LENGTH])
        assert cursor.fetchone()[0] == 0
    assert not WorkflowRun.objects.filter(status="decided", monitoring_decision=None, management_decision=None).exists()

    # The venue's books and ours agree to the last digit.
    account = day.account()
    held = Position.objects.exclude(status="closed")
    profit = sum((p.realized_pnl - p.fees for p in Position.objects.all()), Decimal(0))
    cost = sum((p.cost for p in held), Decimal(0))
    assert PaperBalance.objects.get(account=account).total == Decimal(100_000) + profit - cost
    for position in held:
        paper = PaperPosition.objects.get(account=account, symbol=position.symbol)
        assert (paper.quantity, paper.cost) == (position.contracts, position.cost)
    venue = dict(PaperOrder.objects.values_list("client_order_id", "status"))
    assert venue == dict(Order.objects.values_list("client_order_id", "status"))

    # No position is without its stop, none that is flat has orders left, and no signal is stuck in a passing state.
    for position in held:
        assert Order.objects.filter(position=position, leg="stop", status="open", quantity=position.contracts).count() == 1
    assert not Order.objects.filter(position__status="closed", status__in=Order.LIVE).exists()
    assert not Signal.objects.filter(status__in=["new", "analyzing", "ready"]).exists()
    assert not Position.objects.filter(status="closed").exclude(fees=0).filter(closed_at__lt=F("opened_at")).exists()


@pytest.mark.django_db(transaction=True)
def test_the_same_seed_tells_the_same_story(clock: SteppingClock) -> None:
    start, stories = clock.ms, []
    for _ in range(2):
        clock.to(start)
        day = SimulatedDay(clock, SEED, candles=60)
        day.run()
        stories.append(list(day.story()))
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE users, candles, instruments CASCADE")
    assert len(stories[0]) > 50
    assert stories[0] == stories[1]
