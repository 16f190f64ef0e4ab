"""The mechanical rules as arithmetic."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from positions import rules
from positions.rules import Exit, Held, Rules, TakeOff, Trail

D = Decimal
LONG = Held(1, D(100), D(96), D(108), D(10), D(10), D(0))
SHORT = Held(-1, D(100), D(104), D(92), D(10), D(10), D(0))
NONE = Rules(None, [], None)


class TestMaxLoss:
    def test_ends_the_position_and_nothing_else_matters_then(self) -> None:
        everything = Rules(D(1), [D(50)], D(20))
        losing = replace(LONG, net_pnl=D(-20))
        assert rules.due(losing, rules=everything, close=D(107), fired=()) == [Exit()]
        assert Exit() not in rules.due(replace(LONG, net_pnl=D("-19.99")), rules=everything, close=D(107), fired=())


class TestLevels:
    def test_each_fires_on_its_part_of_the_way_and_takes_its_percent_of_the_initial_size(self) -> None:
        three = Rules(None, [D(25), D(50), D(75)], None)
        assert rules.due(LONG, rules=three, close=D("101.99"), fired=()) == []
        assert rules.due(LONG, rules=three, close=D(102), fired=()) == [TakeOff(1, D("0.25"))]
        left = replace(LONG, contracts=D("7.5"))
        assert rules.due(left, rules=three, close=D(104), fired={1}) == [TakeOff(2, D(5) / D("7.5"))]
        assert rules.due(replace(LONG, contracts=D("2.5")), rules=three, close=D(106), fired={1, 2}) == [TakeOff(3, D(1))], "what is left"

    def test_a_jump_fires_several_and_never_takes_more_than_there_is(self) -> None:
        found = rules.due(LONG, rules=Rules(None, [D(25), D(50), D(75)], None), close=D(107), fired=())
        assert [action.level for action in found] == [1, 2, 3]
        assert found[-1].fraction == 1

    def test_a_short_goes_the_other_way(self) -> None:
        one = Rules(None, [D(50)], None)
        assert rules.due(SHORT, rules=one, close=D(96), fired=()) == [TakeOff(1, D("0.5"))]
        assert rules.due(SHORT, rules=one, close=D(104), fired=()) == []

    def test_a_target_behind_the_entry_has_no_way_to_it(self) -> None:
        assert rules.due(replace(LONG, target=D(99)), rules=Rules(None, [D(50)], None), close=D(101), fired=()) == []


class TestTrailing:
    @given(st.lists(st.integers(80, 140), min_size=1, max_size=30), st.sampled_from([LONG, SHORT]), st.integers(1, 20))
    def test_the_stop_follows_the_best_close_and_never_goes_back(self, closes: list[int], held: Held, distance: int) -> None:
        trailing, best = Rules(D(distance), [], None), None
        for close in map(D, closes):
            best = close if best is None else max(best, close) if held.sign > 0 else min(best, close)
            before = held.stop
            for action in rules.due(held, rules=trailing, close=close, fired=()):
                assert isinstance(action, Trail)
                held = replace(held, stop=action.stop)
            assert held.sign * (held.stop - before) >= 0
            expected = best * (1 - held.sign * D(distance) / 100)
            first = D(96) if held.sign > 0 else D(104)
            assert held.stop == (max(first, expected) if held.sign > 0 else min(first, expected))


@given(st.integers(50, 150), st.sampled_from([LONG, SHORT]))
def test_without_rules_nothing_happens(close: int, held: Held) -> None:
    assert rules.due(held, rules=NONE, close=D(close), fired=()) == []
