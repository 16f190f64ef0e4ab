"""
The numbers in a text, each with what it is said to be. Pure.

"RSI(14) fell from 47.9 to 38.4" holds two numbers, both about `rsi_14`, the first marked as earlier. Periods of
indicators, symbols, intervals and counts ("3 of 5") are no quotes and are left out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal

from .names import name_of, names_in

# Before a number: these also across the name ("from an RSI of 47.9") …
_EARLIER_ACROSS = re.compile(
    r"\b(?:(?<!runs )(?<!ranges )(?<!ranged )from|previous(?:ly)?|prior|earlier|preceding|before|yesterday"
    r"|last (?:two|three|four|five|few|\d+)"
    r"|(?:recent|latest|two|three|four|five) closes)(?:\W+\w+){0,2}\W*$",
    re.IGNORECASE,
)
# … and these only after it ("RSI 38.4 versus 47.9").
_EARLIER_BESIDE = re.compile(r"\b(?:versus|vs\.?|compared (?:with|to)|than)(?:\W+\w+){0,2}\W*$", re.IGNORECASE)
_EARLIER_AFTER = re.compile(
    r"^\W*(?:%\s*)?(?:→|->|(?:\w+\W+){0,3}?(?:previously|before\b|earlier|ago\b"
    r"|(?:the |at the |on the )?(?:previous|prior|preceding) (?:candle|close|bar|look)))",
    re.IGNORECASE,
)
_CLAUSE_ENDS = re.compile(r"[,;:()]|\b(?:and|but|while)\b")
_MERE_MOMENT = re.compile(r"\b(?:previous|prior|preceding|this|each|every|next) $", re.IGNORECASE)  # "at the previous close" is no price
_THRESHOLD = re.compile(
    r"[<>≤≥]|\b(?:under|below|above|over|than|least|most|lt|gt|lte|gte|cross\w*|reach\w*|exceed\w*|towards?|threshold|limit"
    r"|needs?|has to|have to|must|should|minimum|maximum|require\w*|compar\w*|wants?|wanted|until|unless|between|back"
    r"|hold\w*|break\w*|reclaim\w*)\b",
    re.IGNORECASE,
)
_THRESHOLD_AFTER = re.compile(
    r"^\W*(?:or (?:more|less|higher|lower|above|below|better)|threshold|minimum|maximum|limit|level)\b", re.IGNORECASE
)
_ABOUT = re.compile(
    r"(?:~|≈|\b(?:about|around|near|nearly|roughly|approximately|approx\.?|almost|close to|circa|just (?:under|over|above|below)))\W*$",
    re.IGNORECASE,
)
_DISTANCE = re.compile(
    r"^\s*(?:points?|usdt?|usdc|dollars?|quote)?\s*"
    r"(?:below|above|under|over|away|beneath|from|short of|beyond|higher|lower|wide|off)\b",
    re.IGNORECASE,
)
_DISTANCE_BEFORE = re.compile(
    r"\b(?:room|distance|gap|spread|difference|differ\w*)\b.*?\b(?:is|are|of|by|about|roughly)\W*$", re.IGNORECASE
)
_TIME = re.compile(r"\b(?:(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::\d\d)?(?:Z|\+00:00)?)?|(\d{1,2}:\d\d)(?::\d\d)?(?!\d|:))")
_NUMBER = re.compile(
    r"(?<![\w.:])(?P<ratio>1 ?: ?)?(?P<sign>(?<![\w)\d])[-−+])?[$€]?"
    r"(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?P<exponent>[eE][-+]?\d{1,3})?"
    r"(?:(?P<scale>[kKMB])(?![A-Za-z])|[\s-]?(?P<unit>%|percent\b|bps\b|x\b|×|times\b|R\b|R/R\b|ATRs?\b|atr\b"
    r"|:\s?1(?![\d.,])|to 1(?![\d.,])"
    r"|minutes?\b|mins?\b|hours?\b|days?\b|seconds?\b|candles?\b|closes\b|bars?\b|periods?\b|decisions?\b|looks?\b))?(?![A-Za-z_])"
)
_COUNTED = re.compile(r"(?<![\d.,])\d{1,2} ?(?:of|out of|/) ?(?:the )?\d{1,2}(?![.,]?\d)")
_INTERVAL = re.compile(
    r"\b\d{1,2}(?:[mhdw]\b|[- ](?:minute|min|hour|hourly|day)s?\b"
    r"(?=\s+(?:candle|close|chart|interval|bar|timeframe|frame|trend)))",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
SCALES = {"k": 3, "K": 3, "M": 6, "B": 9}
LONGEST_TEXT = 4000
LONGEST_NUMBER = 18  # digits: more than any price or quantity has, and few enough that decimal arithmetic stays exact
LEAD = 80  # characters before a number that are looked at: the work grows with the text, not with its square


@dataclass(frozen=True)
class Quote:
    """
    One number. `value` is what stands there and `digits` how many decimals of it are shown (negative for 64k). A number
    longer than any market has, which decimal arithmetic could not hold, is not `is_exact` and its value is 0.

    A name is an indicator with its period, a family without one, or a plain name. `names` are those the number may be
    about: all since the number before it ("EMA20 and EMA50 at 65,200 and 65,322"); `mentioned` are all in the sentence.
    """

    text: str
    value: Decimal
    is_exact: bool
    digits: int
    unit: str
    names: tuple[str, ...]
    mentioned: tuple[str, ...]
    is_signed: bool
    is_earlier: bool
    is_threshold: bool
    is_about: bool
    is_distance: bool

    @property
    def name(self) -> str:
        """The nearest name before it, or nothing."""
        return self.names[-1] if self.names else ""


@dataclass(frozen=True)
class Moment:
    """A time or a date: HH:MM, or YYYY-MM-DD, or both."""

    text: str
    date: str
    time: str


def moments(text: str) -> list[Moment]:
    """All times of day and dates in a text."""
    return [Moment(m[0], m[1] or "", (m[2] or m[3] or "").zfill(5) if m[2] or m[3] else "") for m in _TIME.finditer(_plain(text))]


def numbers(text: str, *, known: Collection[str] = (), symbol: str = "") -> Iterator[Quote]:
    """All quoted numbers; `known` are the indicators that exist, so that the 20 of EMA 20 is known for a period."""
    text = _plain(text)
    if not any(letter.isdigit() for letter in text):
        return
    if symbol:
        text = _blank(re.compile(re.escape(symbol), re.IGNORECASE), text)
    for pattern in (_TIME, _COUNTED, _INTERVAL):
        text = _blank(pattern, text)
    mention = names_in(frozenset(known))
    for sentence in _SENTENCE.split(text):
        yield from _in_sentence(sentence, mention, known)


def bare(text: str) -> list[Decimal]:
    """Every number of a text that is itself a source, such as a strategy; periods included, they do no harm."""
    found = (_value(match) for match in _NUMBER.finditer(_plain(text)))
    return [value for value, _, is_exact in found if is_exact]


def _in_sentence(sentence: str, mention: re.Pattern[str], known: Collection[str]) -> Iterator[Quote]:
    names = [
        (m.start(), m.end(), name)
        for m in mention.finditer(sentence)
        if (name := name_of(m, known)) and not (name == "close" and _MERE_MOMENT.search(sentence, max(0, m.start() - LEAD), m.start()))
    ]
    ends = [0, *(end for _, end, _ in names)]
    gaps = [*((start, end) for start, end, _ in names), (len(sentence), len(sentence))]
    masked = "".join(sentence[last:start] + "\x00" * (end - start) for last, (start, end) in zip(ends, gaps, strict=True))
    mentioned = tuple(dict.fromkeys(name for _, _, name in names))
    found = list(_NUMBER.finditer(masked))
    group: tuple[str, ...] = ()
    plain_until, is_threshold = 0, False
    for index, match in enumerate(found):
        value, digits, is_exact = _value(match)
        last = found[index - 1].end() if index else 0
        group = tuple(name for start, end, name in names if plain_until <= start and end <= match.start()) or group
        unit = _unit(match)
        following = next(((start, name) for start, _, name in names if start >= match.end()), None)
        beside = following[1] if following and not sentence[match.end() : following[0]].strip(" (") else ""
        plain_until = plain_until if unit else match.end()  # "the stop 2 ATR below the close at 98" is about the stop
        since = max((end for _, end, _ in names if end <= match.start()), default=0)
        ahead = sentence[match.end() : found[index + 1].start() if index + 1 < len(found) else len(sentence)]
        joined = is_threshold and sentence[last : match.start()].strip() in ("and", "to", "–")  # "between 30 and 50"
        compared = _THRESHOLD.search(sentence, max(last, since), match.start()) or _THRESHOLD_AFTER.match(ahead)
        is_threshold = bool(joined or compared)
        yield Quote(
            text=match[0].strip(),
            value=value,
            is_exact=is_exact,
            digits=digits,
            unit=unit,
            names=(*group, beside) if beside else group,  # "20.8 (+DI)"
            mentioned=mentioned,
            is_signed=match["sign"] in ("-", "−"),
            is_earlier=_is_earlier(
                sentence[max(last, match.start() - LEAD) : match.start()],
                sentence[max(last, since) : match.start()],
                ahead,
                is_last=index + 1 == len(found),
            ),
            is_threshold=is_threshold,
            is_about=bool(_ABOUT.search(sentence[max(0, match.start() - LEAD) : match.start()])),
            is_distance=bool(_DISTANCE.match(ahead) or _DISTANCE_BEFORE.search(sentence[max(0, match.start() - LEAD) : match.start()])),
        )


def _is_earlier(lead: str, since_name: str, ahead: str, *, is_last: bool) -> bool:
    after = _EARLIER_AFTER.match(ahead)
    # "38.4 (previously 47.9)": the word is about the number that follows it, unless something ends in between.
    is_after = after is not None and (is_last or "→" in after[0] or "->" in after[0] or bool(_CLAUSE_ENDS.search(ahead, after.end())))
    return bool(_EARLIER_ACROSS.search(lead) or _EARLIER_BESIDE.search(since_name) or is_after)


def _unit(match: re.Match[str]) -> str:
    unit = "x" if match["ratio"] else (match["unit"] or "").strip().lower()
    if unit in ("%", "percent"):
        return "%"
    if unit in ("x", "×", "times", "r", "r/r", ":1", ": 1", "to 1"):
        return "x"
    if unit.startswith("atr"):
        return "atr"
    if unit.startswith(("minute", "min", "hour", "day", "second")):
        return unit[:3]
    return "count" if unit and unit != "bps" else unit


def _value(match: re.Match[str]) -> tuple[Decimal, int, bool]:
    """What a number is worth, how many decimals it shows, and whether arithmetic can hold it."""
    digits = match["digits"].replace(",", "")
    shift = SCALES.get(match["scale"] or "", 0) + int((match["exponent"] or "e0")[1:])
    shown = len(digits.partition(".")[2]) - shift
    if len(digits) > LONGEST_NUMBER or abs(shift) > LONGEST_NUMBER or abs(shown) > LONGEST_NUMBER:
        return Decimal(0), 0, False
    value = Decimal(digits).scaleb(shift)
    if value.adjusted() > LONGEST_NUMBER:
        return Decimal(0), 0, False
    return (-value if match["sign"] in ("-", "−") else value), shown, True


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text[:LONGEST_TEXT])


def _blank(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda m: " " * len(m[0]), text)
