"""A snapshot and an answer's own plan as numbers, by what a text may call them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import chain
from typing import Any

from . import quotes
from .contract import Verdict

PRICES = ("ema", "sma", "wma", "dema", "tema", "kama", "vwap", "bb_upper", "bb_middle", "bb_lower", "highest", "lowest", "prev_highest",
          "prev_lowest", "sar", "open", "high", "low", "close")  # fmt: skip
PERCENTAGES = ("change_pct", "natr", "roc", "bb_width", "bb_percent")
OF_THE_TRADER = ("strategy", "name", "conditions", "invalidation_conditions", "stop_atr_multiple", "target_r")
OF_THE_SIGNAL = ("matched_conditions", "metadata")
Values = Sequence[Decimal]


@dataclass
class Facts:
    """What an answer may quote: each property gives the numbers that one kind of wording may mean."""

    snapshot: Mapping[str, Any]
    verdict: Verdict

    @cached_property
    def _current(self) -> dict[str, Decimal]:
        return _decimals({**self.snapshot.get("indicators", {}), **self.snapshot.get("candle", {})})

    @cached_property
    def _previous(self) -> dict[str, Decimal]:
        closes = self.snapshot.get("recent_closes", [])
        return _decimals({**self.snapshot.get("previous_indicators", {}), **({"close": closes[-2]} if len(closes) > 1 else {})})

    @cached_property
    def names(self) -> frozenset[str]:
        """All indicators with their periods."""
        return frozenset(self.snapshot.get("indicators", {}))

    @cached_property
    def periods(self) -> frozenset[int]:
        """The periods of all indicators: how far back anything looks."""
        return frozenset(int(tail) for name in self.names if (tail := name.rpartition("_")[2]).isdigit())

    @property
    def close(self) -> Decimal | None:
        """The price that just closed."""
        return self._current.get("close")

    def now(self, name: str) -> Decimal | None:
        """An indicator at this close, by its whole name."""
        return self._current.get(name)

    def values(self, name: str, *, earlier: bool = False) -> list[Decimal]:
        """What a name may mean: an indicator with or without its period, or a part of the plan, position or signal."""
        if plain := self._plain.get(name):
            return [*plain]
        source = self._previous if earlier else self._current
        if earlier and name == "close":
            return [*_decimals(enumerate(self.snapshot.get("recent_closes", []))).values(), *self.earlier_prices]
        if name in source:
            return [source[name]]
        return [value for known, value in source.items() if known.rpartition("_")[0] == name]

    @cached_property
    def _plain(self) -> dict[str, Values]:
        plan, details = self.verdict.plan, self.verdict.details
        position, signal = self.snapshot.get("position") or {}, self.snapshot.get("signal") or {}
        at_close = [self.close] if self.close is not None else []
        planned = {"stop": [plan.stop_loss], "target": [plan.take_profit], "entry": [plan.entry]} if plan else {}
        found = {
            "stop": [*_some(position, "stop_loss", "initial_stop_loss"), *_some(details, "newStopLoss")],
            "target": [*_some(position, "take_profit"), *_some(details, "newTakeProfit")],
            "entry": [*_some(position, "entry_price"), *at_close],
            "signal": [*_some(signal, "initial_price"), *at_close],
            "pnl": _some(position, "unrealized_pnl", "realized_pnl"),
            "size": [*_some(position, "contracts", "initial_contracts"), *_some(details, "addAmount", "reduceAmount")],
            "range": [value for name in ("high", "low", "highest_20", "lowest_20") if (value := self.now(name)) is not None],
            "bands": [value for name in ("bb_upper_20", "bb_lower_20", "bb_middle_20") if (value := self.now(name)) is not None],
            "confidence": [self.verdict.confidence, *(as_decimal(row.get("confidence")) for row in self._decisions)],
        }
        if plan and plan.position_size is not None:
            found["size"].append(plan.position_size)
        if plan:
            found["risk"], found["reward"] = [abs(plan.entry - plan.stop_loss)], [abs(plan.take_profit - plan.entry)]
        return {name: [*values, *planned.get(name, [])] for name, values in found.items()}

    @property
    def _decisions(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self.snapshot.get("recent_decisions") or ()
        return found

    @cached_property
    def earlier_prices(self) -> list[Decimal]:
        """Prices at which it was judged before."""
        return [as_decimal(row["price"]) for row in self._decisions]

    @cached_property
    def prices(self) -> list[Decimal]:
        """Every price of now that a level, or nothing in particular, may be."""
        own = [value for name, value in self._current.items() if family_of(name) in PRICES and name != "open"]
        return [*own, *chain.from_iterable(self._plain[name] for name in ("stop", "target", "entry"))]

    @property
    def planned(self) -> list[Decimal]:
        """Its own stops and targets, which it may name in any words."""
        return [*self._plain["stop"], *self._plain["target"]]

    @cached_property
    def everything(self) -> list[Decimal]:
        """Every number of now."""
        own = [value for name, value in self._current.items() if family_of(name) not in PERCENTAGES and name != "open"]
        return [*own, *chain.from_iterable(self._plain.values())]

    @cached_property
    def before(self) -> list[Decimal]:
        """Every number of earlier."""
        closes = _decimals(enumerate(self.snapshot.get("recent_closes", []))).values()
        return [*self._previous.values(), *closes, *self.earlier_prices]

    @cached_property
    def percentages(self) -> list[Decimal]:
        """What the snapshot gives in percent."""
        found = [value for name, value in self._current.items() if family_of(name) in PERCENTAGES]
        position = self.snapshot.get("position") or {}
        return [*found, *_some(position, "unrealized_pnl_pct"), *(_progress(position, self.close))]

    @cached_property
    def of_the_trader(self) -> frozenset[Decimal]:
        """Numbers that stand in the strategy and its conditions."""
        part = self.snapshot.get("trader") or {}
        return frozenset(abs(value) for name in OF_THE_TRADER for value in _numbers_in(part.get(name)))

    @cached_property
    def of_the_signal(self) -> frozenset[Decimal]:
        """Numbers that were given when the signal was raised: by now they are of earlier."""
        part = self.snapshot.get("signal") or {}
        return frozenset(abs(value) for name in OF_THE_SIGNAL for value in _numbers_in(part.get(name)))

    @cached_property
    def multiples(self) -> list[Decimal]:
        """Reward over risk, planned and reached; the trader's own multiples; volume over its average."""
        trader, plan, position = self.snapshot.get("trader") or {}, self.verdict.plan, self.snapshot.get("position") or {}
        found = [*_some(trader, "target_r", "stop_atr_multiple"), *self.values("volume_ratio")]
        if plan and plan.entry != plan.stop_loss:
            found.append(abs(plan.take_profit - plan.entry) / abs(plan.entry - plan.stop_loss))
        entry, target, close = _some(position, "entry_price"), _some(position, "take_profit"), self.close
        for stop in _some(position, "initial_stop_loss", "stop_loss"):
            if entry and close is not None and entry[0] != stop:
                found.append(abs(close - entry[0]) / abs(entry[0] - stop))
                found.extend(abs(price - entry[0]) / abs(entry[0] - stop) for price in target)
        return found

    @cached_property
    def ages_s(self) -> list[Decimal]:
        """How long ago the signal was raised and the position opened."""
        found = [*_some(self.snapshot.get("signal") or {}, "age_minutes"), *_some(self.snapshot.get("position") or {}, "held_minutes")]
        return [value * 60 for value in found]

    @cached_property
    def times(self) -> frozenset[str]:
        """Every date and time of day that stands anywhere in the snapshot."""
        found: set[str] = set()
        for text in _texts(self.snapshot):
            for moment in quotes.moments(text):
                found.update(part for part in (moment.date, moment.time) if part)
        return frozenset(found)


def family_of(name: str) -> str:
    """An indicator's name without its period."""
    head, _, tail = name.rpartition("_")
    return head if tail.isdigit() else name


def as_decimal(value: Any) -> Decimal:
    """A number of the snapshot, which holds floats and texts, as the decimal it shows."""
    return Decimal(repr(value) if isinstance(value, float) else str(value))


def _decimals(values: Any) -> dict[Any, Decimal]:
    pairs = values.items() if isinstance(values, Mapping) else values
    return {name: as_decimal(value) for name, value in pairs if isinstance(value, int | float) and not isinstance(value, bool)}


def _some(source: Mapping[str, Any], *names: str) -> list[Decimal]:
    """The named values that are there."""
    return [as_decimal(source[name]) for name in names if source.get(name) not in (None, "")]


def _progress(position: Mapping[str, Any], close: Decimal | None) -> list[Decimal]:
    """How much of the way from entry to target is done, in percent."""
    ends = _some(position, "entry_price", "take_profit")
    if close is None or len(ends) < 2 or ends[0] == ends[1]:
        return []
    return [(close - ends[0]) / (ends[1] - ends[0]) * 100]


def _leaves(value: Any) -> Iterator[Any]:
    """Everything in a nested value that is neither a mapping nor a list."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _numbers_in(value: Any) -> Iterator[Decimal]:
    for leaf in _leaves(value):
        if isinstance(leaf, str):
            yield from quotes.bare(leaf)
        elif isinstance(leaf, int | float) and not isinstance(leaf, bool):
            yield as_decimal(leaf)


def _texts(value: Any) -> Iterator[str]:
    return (leaf for leaf in _leaves(value) if isinstance(leaf, str))
