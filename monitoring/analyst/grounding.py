"""
Whether an answer's numbers are in the snapshot it was given, or follow from it (P6). Pure.

Stated tolerances:

- A quoted number counts when it is the fact, rounded or cut to the decimals that are shown. After "about" and the
  like, and for large numbers, trailing zeros count as rounding, too (up to 0.5 % and 0.1 % of the value).
- A number beside a name ("RSI(14) 38.4") has to be that indicator at this close; the one before counts only where
  the text says so ("from 47.9").
- Percentages, multiples and distances are computed again from the prices that the sentence names.
- Numbers of the strategy, its conditions and the signal may be quoted; so may round levels that something is
  compared with ("above 50").
- The planned entry lies within 0.25 % of the close; stops and targets within 25 %, or 20 ATR if that is more.

`marketConditions` are an opinion and not checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from functools import cached_property
from itertools import chain
from typing import Any

from . import quotes
from .contract import Verdict
from .quotes import Quote

ENTRY_TOLERANCE = Decimal("0.0025")
FARTHEST_PRICE, FARTHEST_ATR = Decimal("0.25"), 20
COARSE, COARSE_ABOUT = Decimal("0.001"), Decimal("0.005")  # fractions that trailing zeros may hide
LOOSE = ("level", "size", "signal", "confidence", "pnl", "risk", "reward", "range")  # may be about something else after all
NEAR_ROUND, ROUND_LEVEL_WITHIN = Decimal("2.5"), Decimal("0.03")
SMALL_COUNT = 20
OSCILLATORS = ("rsi", "adx", "plus_di", "minus_di", "stoch_k", "stoch_d", "mfi", "cci", "willr", "aroon_up", "aroon_down", "bb_percent")
PERCENTAGES = ("change_pct", "natr", "roc", "bb_width", "bb_percent")
PRICES = ("ema", "sma", "wma", "dema", "tema", "kama", "vwap", "bb_upper", "bb_middle", "bb_lower", "highest", "lowest", "prev_highest",
          "prev_lowest", "sar", "open", "high", "low", "close")  # fmt: skip
OF_THE_TRADER = ("strategy", "name", "conditions", "invalidation_conditions", "stop_atr_multiple", "target_r")
OF_THE_SIGNAL = ("matched_conditions", "metadata")
LENGTHS = {"min": 60, "hou": 3600, "day": 86_400, "sec": 1}

Values = Sequence[Decimal]


def ungrounded(verdict: Verdict, *, snapshot: Mapping[str, Any]) -> tuple[str, ...]:
    """The numbers and times of an answer that the snapshot does not bear out, as they stand there; empty when all do."""
    facts = _Facts(snapshot, verdict)
    found = [*_planned(verdict, facts), *_wrong_moments(verdict.reasoning, facts)]
    for quote in quotes.numbers(verdict.reasoning, known=facts.names, symbol=str(snapshot.get("symbol", ""))):
        if not _holds(quote, facts):
            found.append(quote.text)
    return tuple(dict.fromkeys(found))


def _planned(verdict: Verdict, facts: _Facts) -> Iterator[str]:
    """Prices of the plan and the details that can't be meant for this market."""
    prices = [name for name in ("newStopLoss", "newTakeProfit") if name in verdict.details]
    close = facts.close if verdict.plan or prices else None
    if close is None:
        return
    farthest = max(close * FARTHEST_PRICE, FARTHEST_ATR * (facts.now("atr_14") or Decimal(0)))
    if verdict.plan:
        if abs(verdict.plan.entry / close - 1) > ENTRY_TOLERANCE:
            yield f"tradePlan.entry {verdict.plan.entry}"
        for name, price in (("stopLoss", verdict.plan.stop_loss), ("takeProfit", verdict.plan.take_profit)):
            if abs(price - close) > farthest:
                yield f"tradePlan.{name} {price}"
    for name in prices:
        if abs(Decimal(verdict.details[name]) - close) > farthest:
            yield f"details.{name} {verdict.details[name]}"


def _wrong_moments(text: str, facts: _Facts) -> Iterator[str]:
    for moment in quotes.moments(text):
        if (moment.date and moment.date not in facts.times) or (moment.time and moment.time not in facts.times):
            yield moment.text


@dataclass
class _Facts:
    """The snapshot and the answer's own plan, by what a text may call them."""

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
            "confidence": [self.verdict.confidence, *(_number(row.get("confidence")) for row in self._decisions)],
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
        return [_number(row["price"]) for row in self._decisions]

    @cached_property
    def prices(self) -> list[Decimal]:
        """Every price of now that a level, or nothing in particular, may be."""
        own = [value for name, value in self._current.items() if _family(name) in PRICES and name != "open"]
        return [*own, *chain.from_iterable(self._plain[name] for name in ("stop", "target", "entry"))]

    @property
    def planned(self) -> list[Decimal]:
        """Its own stops and targets, which it may name in any words."""
        return [*self._plain["stop"], *self._plain["target"]]

    @cached_property
    def everything(self) -> list[Decimal]:
        """Every number of now."""
        own = [value for name, value in self._current.items() if _family(name) not in PERCENTAGES and name != "open"]
        return [*own, *chain.from_iterable(self._plain.values())]

    @cached_property
    def before(self) -> list[Decimal]:
        """Every number of earlier."""
        closes = _decimals(enumerate(self.snapshot.get("recent_closes", []))).values()
        return [*self._previous.values(), *closes, *self.earlier_prices]

    @cached_property
    def percentages(self) -> list[Decimal]:
        """What the snapshot gives in percent."""
        found = [value for name, value in self._current.items() if _family(name) in PERCENTAGES]
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


def _holds(quote: Quote, facts: _Facts) -> bool:
    """Whether a quoted number is borne out; what it is decides with what it is compared."""
    if _is_of_the_rules(quote, facts):
        return True
    if quote.unit and quote.unit != "bps":
        return _measured(quote, facts)
    if quote.is_distance and _any(quote, _distances(quote, facts)):
        return True
    if any(_named(quote, name, facts) for name in quote.names) or (quote.is_threshold and _round_level(quote, facts)):
        return True
    if not quote.name or quote.name in LOOSE:
        return _any(quote, facts.everything) or (quote.is_earlier and _any(quote, facts.before)) or _is_count(quote)
    if quote.value in facts.planned:
        return True
    return quote.is_threshold and _any(quote, facts.prices)


def _is_of_the_rules(quote: Quote, facts: _Facts) -> bool:
    """Whether the trader's strategy or the signal say so themselves; not when it is said to be an indicator's value."""
    is_value = quote.name and quote.name not in quotes.PLAIN and not quote.is_threshold and quote.unit == ""
    if not is_value and abs(quote.value) in facts.of_the_trader:
        return True
    return (not is_value or quote.is_earlier) and abs(quote.value) in facts.of_the_signal


def _measured(quote: Quote, facts: _Facts) -> bool:
    """A number with a unit of its own."""
    if quote.unit == "%":
        return _percentage(quote, facts)
    if quote.unit == "x":
        return _any(quote, facts.multiples)
    if quote.unit == "atr":
        return _any(quote, [*facts.multiples, *_in_atr(quote, facts)])
    if quote.unit in LENGTHS:
        return _any(quote, [age / LENGTHS[quote.unit] for age in facts.ages_s])
    return quote.digits <= 0 and (quote.value <= SMALL_COUNT or quote.value in facts.periods)


def _named(quote: Quote, name: str, facts: _Facts) -> bool:
    if _any(quote, facts.values(name)):
        return True
    if quote.is_earlier and _any(quote, facts.values(name, earlier=True)):
        return True
    if quote.is_about and _family(name) in OSCILLATORS and quote.value % 5 == 0:
        return any(abs(value - quote.value) <= NEAR_ROUND for value in facts.values(name))
    return name in ("close", "high", "low") and len(quote.mentioned) > 1 and quote.is_threshold and _any(quote, facts.prices)


def _percentage(quote: Quote, facts: _Facts) -> bool:
    """A percentage of the snapshot, the confidence, or the distance between two prices that the sentence names."""
    if any(_family(name) in PERCENTAGES and _named(quote, name, facts) for name in quote.names):
        return True
    elsewhere = [name for name in quote.mentioned if _is_price(name) and name != "close"]
    if _family(quote.name) in PERCENTAGES and not elsewhere:
        return False
    candidates = [] if elsewhere else list(facts.percentages)
    candidates += [value * 100 for value in facts.values("confidence")]
    candidates += [value * 100 for value in facts.values("size") if 0 < value <= 1]
    candidates += [abs(value - 1) * 100 for value in facts.values("volume_ratio")]
    for a, b in _pairs(quote, facts):
        if a and b:
            candidates += [abs(a / b - 1) * 100, abs(b / a - 1) * 100]
    return _any(quote, candidates)


def _in_atr(quote: Quote, facts: _Facts) -> Iterator[Decimal]:
    atr = facts.now("atr_14")
    if atr:
        yield from (distance / atr for distance in _distances(quote, facts))


def _distances(quote: Quote, facts: _Facts) -> Iterator[Decimal]:
    return (abs(a - b) for a, b in _pairs(quote, facts))


def _pairs(quote: Quote, facts: _Facts) -> Iterator[tuple[Decimal, Decimal]]:
    """Prices that a sentence compares: those it names, each with the close and with each other."""
    named = [name for name in quote.mentioned if _is_price(name)]
    if "risk" in quote.mentioned or "reward" in quote.mentioned:
        named += ["stop", "target"]
    if not quote.mentioned or quote.mentioned == ("close",):
        named = ["stop", "target", "entry"]
    prices = [value for name in dict.fromkeys((*named, "close")) for value in facts.values(name)]
    for index, first in enumerate(prices):
        yield from ((first, second) for second in prices[index + 1 :])


def _is_price(name: str) -> bool:
    return _family(name) in PRICES or name in ("stop", "target", "entry", "signal")


def _round_level(quote: Quote, facts: _Facts) -> bool:
    """A level that people compare with: a multiple of five on an oscillator, or a round price not far away."""
    is_oscillator = _family(quote.name) in OSCILLATORS or not quote.name
    if is_oscillator and quote.digits <= 0 and quote.value % 5 == 0 and abs(quote.value) <= 100:
        return True
    if _family(quote.name) in ("macd_hist", "macd", "macd_signal", "change_pct", "pnl") and quote.value == 0:
        return True
    if quote.name in ("volume_ratio", "volume") and quote.value == 1:
        return True
    close = facts.close
    is_round = quote.value and len(quote.value.normalize().as_tuple().digits) <= 2
    return bool(close and is_round and abs(quote.value / close - 1) <= ROUND_LEVEL_WITHIN)


def _is_count(quote: Quote) -> bool:
    return not quote.name and not quote.is_threshold and quote.digits == 0 and 0 <= quote.value <= 3


def _any(quote: Quote, values: Iterable[Decimal]) -> bool:
    return any(_same(quote, value) for value in values)


def _same(quote: Quote, fact: Decimal) -> bool:
    """Whether the number shown is the fact, rounded or cut to the decimals that are shown."""
    if quote.is_signed and fact > 0 and quote.value:
        return False
    shown, fact = abs(quote.value), abs(fact)
    unit = Decimal(1).scaleb(-quote.digits)
    if abs(shown - fact) > max(unit, shown * COARSE_ABOUT):
        return False
    if shown in (fact.quantize(unit, rounding=ROUND_HALF_UP), fact.quantize(unit, rounding=ROUND_DOWN)):
        return True
    if abs(shown - fact) * 2 <= unit:  # exactly between two, rounded to even
        return True
    exponent = shown.normalize().as_tuple().exponent
    coarse = Decimal(1).scaleb(exponent if isinstance(exponent, int) else 0)
    allowed = min(coarse / 2, shown * (COARSE_ABOUT if quote.is_about else COARSE))
    return quote.digits <= 0 and coarse >= (10 if quote.is_about else 100) and abs(shown - fact) <= allowed


def _family(name: str) -> str:
    head, _, tail = name.rpartition("_")
    return head if tail.isdigit() else name


def _number(value: Any) -> Decimal:
    return Decimal(repr(value) if isinstance(value, float) else str(value))


def _decimals(values: Any) -> dict[Any, Decimal]:
    pairs = values.items() if isinstance(values, Mapping) else values
    return {name: _number(value) for name, value in pairs if isinstance(value, int | float) and not isinstance(value, bool)}


def _some(source: Mapping[str, Any], *names: str) -> list[Decimal]:
    """The named values that are there."""
    return [_number(source[name]) for name in names if source.get(name) not in (None, "")]


def _progress(position: Mapping[str, Any], close: Decimal | None) -> list[Decimal]:
    """How much of the way from entry to target is done, in percent."""
    ends = _some(position, "entry_price", "take_profit")
    if close is None or len(ends) < 2 or ends[0] == ends[1]:
        return []
    return [(close - ends[0]) / (ends[1] - ends[0]) * 100]


def _numbers_in(value: Any) -> Iterator[Decimal]:
    if isinstance(value, str):
        yield from quotes.bare(value)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _numbers_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers_in(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield _number(value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
