"""
Signals, verdicts, fills, faults and switches in any order (P5): *reducing* never raises or flips what is held, *halted*
sends only what protects and what an operator asks for, and a flatten can always run.
"""

from __future__ import annotations

import uuid
from contextlib import ExitStack, suppress
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from monitoring import controls
from monitoring.audit import Actor
from monitoring.models import Signal
from positions import flatten, leases, opening, orders, protection, reconciliation, tasks, trading
from positions.exchange import calling
from positions.exchange.contract import ExchangeError
from positions.intents import Cause
from positions.models import Order, Position, PositionManagementDecision
from positions.simulator.faults import Trouble
from tests.support.clocks import SteppingClock
from tests.support.venues import VenueDesk, clock_ms, venue_desk

OLGA = Actor("olga", "web")
ACTIONS = {
    "adjust_sl": {"newStopLoss": "99"},
    "adjust_tp": {"newTakeProfit": "105"},
    "reduce": {"reduceAmount": "0.5"},
    "add": {"addAmount": "0.5"},
    "close": {},
}


class Life(RuleBasedStateMachine):
    """One trader's position at an exchange that fails now and then, under switches that people move."""

    clock: SteppingClock
    settings: Any
    market = "binance_futures"

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        block = transaction.atomic()
        block._from_testcase = True  # type: ignore[attr-defined]  # a test's own transaction, in which a venue may be called
        self.stack.enter_context(block)
        self.desk: VenueDesk = self.stack.enter_context(venue_desk(self.clock, self.settings, market=self.market))
        self.state, self.before, self.seen = "running", Decimal(0), 0

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.stack.close()

    @rule()
    def signal(self) -> None:
        if not self._position():
            self._try(lambda: opening.open_position(analysis_id=self.desk.entering(size="2").id, now=self.desk.clock.now))

    @rule(action=st.sampled_from(sorted(ACTIONS)))
    def verdict(self, action: str) -> None:
        position = self._position()
        if position and position.status == "open":
            self._try(lambda: tasks._halted(self._decision(position, action)) or tasks._act(self._decision(position, action)))

    @rule(name=st.sampled_from(["close", "reduce"]))
    def by_hand(self, name: str) -> None:
        position = self._position()
        if position and position.status == "open":
            cause, now = Cause(Order.Cause.OPERATOR, uuid.uuid4().hex), self.desk.clock.now
            if name == "close":
                self._try(lambda: trading.close(position, cause=cause, reason="by hand", now=now))
            else:
                self._try(lambda: trading.reduce(position, fraction=Decimal("0.25"), cause=cause, now=now))

    @rule(price=st.sampled_from(["97", "99.5", "100", "100.5", "106"]))
    def market_moves(self, price: str) -> None:
        self.desk.move(price)

    @rule()
    def reconciled(self) -> None:
        self._try(lambda: reconciliation.reconcile(self.desk.account, now=self.desk.clock.now))

    @rule(trouble=st.sampled_from(list(Trouble)), method=st.sampled_from(["POST", "GET", "DELETE"]), times=st.integers(1, 3))
    def exchange_fails(self, trouble: Trouble, method: str, times: int) -> None:
        self.desk.fail(*[trouble] * times, method=method)

    @rule()
    def swept(self) -> None:
        self._sweep()

    @precondition(lambda self: self.state == "running")
    @rule(state=st.sampled_from(["reducing", "halted"]), scope=st.sampled_from(["all", "trader", "symbol", "account"]))
    def stopped(self, state: str, scope: str) -> None:
        key = {"trader": self.desk.trader.id, "symbol": self.desk.symbol, "account": self.desk.account.id}.get(scope)
        self.scope, self.state = scope if scope == "all" else f"{scope}:{key}", state
        controls.halt(scope=self.scope, state=state, reason="testing", actor=OLGA, now=self.desk.clock.now, wait_s=0)

    @precondition(lambda self: self.state != "running")
    @rule()
    def resumed(self) -> None:
        controls.resume(scope=self.scope, reason="testing", actor=OLGA, now=self.desk.clock.now)
        self.state = "running"

    @precondition(lambda self: self.state == "running")
    @rule()
    def flattened(self) -> None:
        self.desk.fail()
        self.desk.gateway._quiet_until = 0.0
        for _ in range(3):  # the job comes back until the exchange says flat
            self._try(lambda: reconciliation.reconcile(self.desk.account, now=self.desk.clock.now))
            self._sweep()
            try:
                flatten.flatten(scope="all", reason="testing", actor=OLGA, now=self.desk.clock.now)
                break
            except flatten.NotFlat:
                continue
        else:
            raise AssertionError("it never got flat")
        assert self.desk.held() == 0
        assert not Position.objects.exclude(status="closed").filter(contracts__gt=0).exists()
        self.scope, self.state = "all", "halted"

    @invariant()
    def keeps_to_the_switch(self) -> None:
        held, sent = self.desk.held(), self._sent()
        if self.state != "running":
            assert abs(held) <= abs(self.before), f"{self.state}: {self.before} became {held}"
            assert held * self.before >= 0, "it never flips"
            assert all(order.side == "SELL" for order in sent), sent
        if self.state == "halted":
            for order in sent:
                ours = Order.objects.filter(client_order_id=order.client_id).first()
                if ours and ours.leg not in ("stop", "target"):
                    assert ours.cause != "decision", f"an analyst's {ours.leg} was sent while halted"
        assert held >= 0
        self.before = held

    def _sent(self) -> list[Any]:
        """Orders that reached the exchange since the last look."""
        found = [order for order in self.desk.book.orders.values() if order.id > self.seen]
        self.seen = max((order.id for order in found), default=self.seen)
        return found

    def _position(self) -> Position | None:
        rows = Position.objects.select_related("account", "trader__profile", "signal")
        return rows.filter(account=self.desk.account).exclude(status="closed").first()

    def _sweep(self) -> None:
        """The job of a position that is half open is delivered again."""
        for signal in Signal.objects.filter(positions__status=Position.Status.OPENING):
            analysis = opening.entering_analysis(signal)
            assert analysis is not None
            self._try(lambda: opening.open_position(analysis_id=analysis.id, now=self.desk.clock.now))  # noqa: B023 - called at once

    def _decision(self, position: Position, action: str) -> PositionManagementDecision:
        """As the engine records one, before a job acts on it."""
        return PositionManagementDecision(
            id=uuid.uuid4(), position=position, action=action, action_details=ACTIONS[action], timestamp=self.desk.clock.now
        )

    def _try(self, job: Any) -> None:
        """A job that fails is delivered again some time; a lease that a failure left has run out by then."""
        with suppress(leases.Busy, ExchangeError):
            job()
        Position.objects.filter(account=self.desk.account).update(lease_until=None)
        self.desk.clock.to(clock_ms(self.desk.clock) + 100)


@pytest.mark.django_db
@pytest.mark.parametrize(("market", "examples"), [("binance_futures", 25), ("binance", 25), ("bybit", 12), ("okx", 12)])
def test_any_order_of_things(clock: SteppingClock, settings: Any, monkeypatch: pytest.MonkeyPatch, market: str, examples: int) -> None:
    for module, name in ((orders, "FIRST_PAUSE_S"), (orders, "LONGEST_PAUSE_S"), (protection, "FIRST_PAUSE_S"), (trading, "CLOSE_PAUSE_S")):
        monkeypatch.setattr(module, name, 0.0)
    monkeypatch.setattr(protection, "RETRY_BUDGET_S", 0.3)
    monkeypatch.setattr(reconciliation, "MARGIN_S", 0.3)
    monkeypatch.setattr(calling, "LISTING_PAUSE_S", 0.0)
    machine = type("Life", (Life,), {"clock": clock, "settings": settings, "market": market})
    run_state_machine_as_test(
        machine,
        settings=hypothesis_settings(
            max_examples=examples, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=False
        ),
    )
