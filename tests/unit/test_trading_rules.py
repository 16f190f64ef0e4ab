"""Sizing, the risk gate, accounting and matching: pure rules, by properties where they must always hold."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.indicators import Window
from positions import assessment, risk, sizing
from positions.exchange import accounting, matching
from positions.exchange.accounting import Holding
from positions.exchange.matching import Bar
from positions.risk import Account, ApprovedEntry, Denied, Entry, Filters, Limits

FILTERS = Filters(tick=Decimal("0.01"), step=Decimal("0.001"), min_quantity=Decimal("0.001"), min_notional=Decimal(5))
LIMITS = Limits(Decimal(1), Decimal(10_000), 3, Decimal("1.5"), Decimal(1), is_spot=True)
RICH = Account(equity=Decimal(100_000), available=Decimal(100_000), open_positions=0)

prices = st.decimals(min_value="0.5", max_value="90000", places=2)
fractions = st.decimals(min_value="0.001", max_value="0.2", places=4)


def wish(**over) -> Entry:
    values = {"sign": 1, "entry": Decimal(100), "stop": Decimal(98), "target": Decimal(104), "market_price": Decimal(100)}
    return Entry(**{**values, **over})


def check(limits: Limits = LIMITS, account: Account = RICH, **over) -> ApprovedEntry | Denied:
    return risk.check_entry(wish(**over), limits=limits, account=account, filters=FILTERS)


class TestEntry:
    def test_risks_no_more_than_the_profile_says(self) -> None:
        allowed = check(limits=Limits(Decimal(1), Decimal(10**9), 3, Decimal("1.5"), Decimal(1), True), account=RICH)
        assert isinstance(allowed, ApprovedEntry)
        assert allowed.quantity == Decimal(500), "1 % of 100,000 over a distance of 2"

    @pytest.mark.parametrize(
        ("over", "code"),
        [
            ({"stop": Decimal(101)}, "stop_side"),
            ({"target": Decimal(99)}, "stop_side"),
            ({"target": Decimal("101.5")}, "risk_reward"),
            ({"market_price": Decimal(103)}, "price_moved"),
            ({"sign": -1, "stop": Decimal(102), "target": Decimal(96)}, "no_short"),
            ({"size_cap": Decimal("0.0001")}, "too_small"),
            ({"stop": Decimal(-1)}, "bad_price"),
        ],
    )
    def test_refuses_with_a_code(self, over, code: str) -> None:
        denied = check(**over)
        assert isinstance(denied, Denied)
        assert denied.code == code
        assert denied.reason

    def test_refuses_more_positions_than_allowed(self) -> None:
        assert isinstance(denied := check(account=Account(Decimal(10**5), Decimal(10**5), 3)), Denied)
        assert denied.code == "too_many_positions"

    def test_refuses_without_money(self) -> None:
        assert isinstance(check(account=Account(Decimal(10**5), Decimal(0), 0)), Denied)

    @given(prices, fractions, st.decimals(min_value="1.6", max_value=6, places=2), st.sampled_from([1, -1]), st.integers(10, 10**7))
    def test_whatever_is_approved_keeps_every_limit(self, price, distance, reward, sign, cash) -> None:
        limits = Limits(Decimal(1), Decimal(10_000), 3, Decimal("1.5"), Decimal(3), is_spot=False)
        account = Account(equity=Decimal(cash), available=Decimal(cash), open_positions=0)
        stop, target = price * (1 - sign * distance), price * (1 + sign * distance * reward)
        entry = wish(sign=sign, entry=price, market_price=price, stop=stop, target=target)
        allowed = risk.check_entry(entry, limits=limits, account=account, filters=FILTERS)
        if isinstance(allowed, Denied):
            return
        assert allowed.quantity % FILTERS.step == 0
        assert allowed.stop % FILTERS.tick == allowed.target % FILTERS.tick == 0
        assert allowed.quantity * price <= limits.max_position_notional
        assert allowed.quantity * price <= account.available * limits.leverage
        assert allowed.quantity * abs(price - allowed.stop) <= account.equity * limits.risk_per_trade_pct / 100
        assert sign * (price - allowed.stop) > 0 < sign * (allowed.target - price)
        assert sign * (allowed.stop - stop) <= 0, "a stop is rounded away from the market"


HELD = risk.Holding(1, Decimal(2), stop=Decimal(98), target=Decimal(104), market_price=Decimal(100))


class TestOpenPositions:
    @pytest.mark.parametrize(("price", "code"), [("97", "stop_widens"), ("98", "unchanged"), ("100", "stop_side"), ("101", "stop_side")])
    def test_a_stop_only_moves_to_reduce_the_risk(self, price: str, code: str) -> None:
        denied = risk.check_stop(Decimal(price), held=HELD, filters=FILTERS)
        assert isinstance(denied, Denied)
        assert denied.code == code
        assert risk.check_stop(Decimal("99.005"), held=HELD, filters=FILTERS) == Decimal("99.00")
        assert risk.check_stop(Decimal(97), held=HELD, filters=FILTERS, may_widen=True) == Decimal(97)

    def test_a_target_stays_on_the_winning_side(self) -> None:
        assert isinstance(risk.check_target(Decimal(99), held=HELD, filters=FILTERS), Denied)
        assert isinstance(risk.check_target(Decimal(104), held=HELD, filters=FILTERS), Denied)
        assert risk.check_target(Decimal(106), held=HELD, filters=FILTERS) == Decimal(106)

    @given(st.decimals(min_value="0.0001", max_value=1, places=4), st.decimals(min_value="0.001", max_value=50, places=3))
    def test_a_reduction_never_exceeds_what_is_held_nor_leaves_dust(self, fraction, quantity) -> None:
        held = risk.Holding(1, quantity, Decimal(98), Decimal(104), Decimal(100))
        allowed = risk.check_reduce(fraction, held=held, filters=FILTERS)
        if isinstance(allowed, Denied):
            return
        assert 0 < allowed <= quantity
        left = quantity - allowed
        assert left == 0 or left * 100 >= FILTERS.min_notional

    @pytest.mark.parametrize("fraction", ["0", "-1", "1.01"])
    def test_a_wrong_fraction_is_refused(self, fraction: str) -> None:
        assert isinstance(risk.check_reduce(Decimal(fraction), held=HELD, filters=FILTERS), Denied)

    def test_adding_keeps_the_whole_position_within_its_risk(self) -> None:
        limits = Limits(Decimal(1), Decimal(10_000), 3, Decimal("1.5"), Decimal(1), True)
        allowed = risk.check_add(Decimal(10**6), held=HELD, limits=limits, account=RICH, filters=FILTERS)
        assert allowed == Decimal(98), "100 allow the notional of 10,000, and 2 are held"
        full = risk.Holding(1, Decimal(100), Decimal(98), Decimal(104), Decimal(100))
        assert isinstance(risk.check_add(Decimal(1), held=full, limits=limits, account=RICH, filters=FILTERS), Denied)


class TestSizing:
    @given(st.decimals(min_value="0.00000001", max_value=10**6, places=8), st.sampled_from([Decimal("0.01"), Decimal("0.5"), Decimal(3)]))
    def test_rounding_ends_on_a_step_and_on_the_right_side(self, value, step) -> None:
        assert sizing.floor_to(value, step=step) <= value <= sizing.ceil_to(value, step=step)
        assert sizing.floor_to(value, step=step) % step == 0 == sizing.ceil_to(value, step=step) % step


trades = st.lists(st.tuples(st.decimals(min_value="-50", max_value=50, places=3).filter(bool), prices), min_size=1, max_size=25)


class TestAccounting:
    @given(trades)
    def test_cash_and_profit_reconcile_to_the_last_digit(self, sequence) -> None:
        holding, realized, cash = Holding(), Decimal(0), Decimal(0)
        for quantity, price in sequence:
            done = accounting.trade(holding, signed_quantity=quantity, price=price)
            holding, realized = done.holding, realized + done.realized
            cash -= accounting.product(price, quantity)
        closing = accounting.trade(holding, signed_quantity=-holding.quantity, price=Decimal(7)) if holding.quantity else None
        if closing:
            cash += accounting.product(Decimal(7), holding.quantity)
            realized += closing.realized
            assert closing.holding == Holding(Decimal(0), Decimal(0))
        assert realized == cash, "flat again: what was realized is what the cash grew by"

    @given(trades, prices)
    def test_unrealized_profit_is_what_closing_would_realize(self, sequence, mark) -> None:
        holding = Holding()
        for quantity, price in sequence:
            holding = accounting.trade(holding, signed_quantity=quantity, price=price).holding
        if holding.quantity:
            closed = accounting.trade(holding, signed_quantity=-holding.quantity, price=mark)
            assert accounting.unrealized(holding, price=mark) == closed.realized


BAR = Bar(0, 60_000, open=Decimal(100), high=Decimal(103), low=Decimal(97))


def resting(**over) -> Decimal | None:
    values = {"type": "stop_market", "side": "sell", "price": None, "trigger_price": None, "bar": BAR}
    return matching.resting_fill(**{**values, **over}, slippage_rate=Decimal("0.001"), tick=Decimal("0.01"))


class TestMatching:
    def test_a_stop_fires_at_its_trigger_and_slips_against_us(self) -> None:
        assert resting(trigger_price=Decimal(98)) == Decimal("97.90")
        assert resting(trigger_price=Decimal(96)) is None
        assert resting(side="buy", trigger_price=Decimal(102)) == Decimal("102.11")

    def test_a_gap_fills_at_the_open(self) -> None:
        assert resting(trigger_price=Decimal(101)) == Decimal("99.90")

    def test_a_limit_fills_at_its_price_and_never_better(self) -> None:
        assert resting(type="limit", price=Decimal(102)) == Decimal(102)
        assert resting(type="limit", price=Decimal(99)) == Decimal(99)
        assert resting(type="limit", price=Decimal(104)) is None


class TestAssessment:
    def test_correlation_is_that_of_returns(self) -> None:
        random = np.random.default_rng(5)
        moves = random.normal(0, 0.01, 120)

        def window(returns) -> Window:
            close = 100 * np.exp(np.cumsum(returns))
            return Window(np.arange(120, dtype=np.int64) * 60_000, close, close, close, close, close)

        assert assessment.correlation_risk(window(moves), [window(moves), window(-moves)]) == 1.0
        assert assessment.correlation_risk(window(moves), [window(-moves)]) == -1.0
        assert assessment.correlation_risk(window(moves), []) is None
