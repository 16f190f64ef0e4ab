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

from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any

from . import names, quotes
from .contract import Verdict
from .facts import PERCENTAGES, PRICES, Facts, family_of
from .quotes import Quote

ENTRY_TOLERANCE = Decimal("0.0025")
FARTHEST_PRICE, FARTHEST_ATR = Decimal("0.25"), 20
COARSE, COARSE_ABOUT = Decimal("0.001"), Decimal("0.005")  # fractions that trailing zeros may hide
LOOSE = ("level", "size", "signal", "confidence", "pnl", "risk", "reward", "range")  # may be about something else after all
NEAR_ROUND, ROUND_LEVEL_WITHIN = Decimal("2.5"), Decimal("0.03")
SMALL_COUNT = 20
OSCILLATORS = ("rsi", "adx", "plus_di", "minus_di", "stoch_k", "stoch_d", "mfi", "cci", "willr", "aroon_up", "aroon_down", "bb_percent")
LENGTHS = {"min": 60, "hou": 3600, "day": 86_400, "sec": 1}


def ungrounded(verdict: Verdict, *, snapshot: Mapping[str, Any]) -> tuple[str, ...]:
    """The numbers and times of an answer that the snapshot does not bear out, as they stand there; empty when all do."""
    facts = Facts(snapshot, verdict)
    found = [*_planned(verdict, facts), *_wrong_moments(verdict.reasoning, facts)]
    for quote in quotes.numbers(verdict.reasoning, known=facts.names, symbol=str(snapshot.get("symbol", ""))):
        if not quote.is_exact or not _holds(quote, facts):
            found.append(quote.text)
    return tuple(dict.fromkeys(found))


def _planned(verdict: Verdict, facts: Facts) -> Iterator[str]:
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


def _wrong_moments(text: str, facts: Facts) -> Iterator[str]:
    for moment in quotes.moments(text):
        if (moment.date and moment.date not in facts.times) or (moment.time and moment.time not in facts.times):
            yield moment.text


def _holds(quote: Quote, facts: Facts) -> bool:
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


def _is_of_the_rules(quote: Quote, facts: Facts) -> bool:
    """Whether the trader's strategy or the signal say so themselves; not when it is said to be an indicator's value."""
    is_value = quote.name and quote.name not in names.PLAIN and not quote.is_threshold and quote.unit == ""
    if not is_value and abs(quote.value) in facts.of_the_trader:
        return True
    return (not is_value or quote.is_earlier) and abs(quote.value) in facts.of_the_signal


def _measured(quote: Quote, facts: Facts) -> bool:
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


def _named(quote: Quote, name: str, facts: Facts) -> bool:
    if _any(quote, facts.values(name)):
        return True
    if quote.is_earlier and _any(quote, facts.values(name, earlier=True)):
        return True
    if quote.is_about and family_of(name) in OSCILLATORS and quote.value % 5 == 0:
        return any(abs(value - quote.value) <= NEAR_ROUND for value in facts.values(name))
    return name in ("close", "high", "low") and len(quote.mentioned) > 1 and quote.is_threshold and _any(quote, facts.prices)


def _percentage(quote: Quote, facts: Facts) -> bool:
    """A percentage of the snapshot, the confidence, or the distance between two prices that the sentence names."""
    if any(family_of(name) in PERCENTAGES and _named(quote, name, facts) for name in quote.names):
        return True
    elsewhere = [name for name in quote.mentioned if _is_price(name) and name != "close"]
    if family_of(quote.name) in PERCENTAGES and not elsewhere:
        return False
    candidates = [] if elsewhere else list(facts.percentages)
    candidates += [value * 100 for value in facts.values("confidence")]
    candidates += [value * 100 for value in facts.values("size") if 0 < value <= 1]
    candidates += [abs(value - 1) * 100 for value in facts.values("volume_ratio")]
    for a, b in _pairs(quote, facts):
        if a and b:
            candidates += [abs(a / b - 1) * 100, abs(b / a - 1) * 100]
    return _any(quote, candidates)


def _in_atr(quote: Quote, facts: Facts) -> Iterator[Decimal]:
    atr = facts.now("atr_14")
    if atr:
        yield from (distance / atr for distance in _distances(quote, facts))


def _distances(quote: Quote, facts: Facts) -> Iterator[Decimal]:
    return (abs(a - b) for a, b in _pairs(quote, facts))


def _pairs(quote: Quote, facts: Facts) -> Iterator[tuple[Decimal, Decimal]]:
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
    return family_of(name) in PRICES or name in ("stop", "target", "entry", "signal")


def _round_level(quote: Quote, facts: Facts) -> bool:
    """A level that people compare with: a multiple of five on an oscillator, or a round price not far away."""
    is_oscillator = family_of(quote.name) in OSCILLATORS or not quote.name
    if is_oscillator and quote.digits <= 0 and quote.value % 5 == 0 and abs(quote.value) <= 100:
        return True
    if family_of(quote.name) in ("macd_hist", "macd", "macd_signal", "change_pct", "pnl") and quote.value == 0:
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
