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
from functools import cache

from monitoring import indicators

# What else a name may be called. A number is about the nearest name before it.
SYNONYMS: dict[str, str] = {
    "rsi": r"relative strength index",
    "ema": r"emas|exponential moving average",
    "sma": r"smas|simple moving average|moving average",
    "vwap": r"volume[- ]weighted average price",
    "atr": r"average true range",
    "natr": r"normali[sz]ed atr|volatility",
    "stddev": r"standard deviation|std ?dev",
    "adx": r"trend strength",
    "plus_di": r"\+ ?di|di ?\+",
    "minus_di": r"[-−] ?di|di ?[-−](?!\d)",
    "macd_hist": r"macd[ _-]histogram|histogram",
    "macd_signal": r"signal line",
    "macd": r"macd line",
    "bands": r"bollinger|bollinger bands|channel",
    "bb_upper": r"(?:upper|top) (?:bollinger|boundary|(?:bollinger )?band|bb)|bollinger upper|upper(?= (?:at|is|one)\b| ?\()",
    "bb_lower": r"(?:lower|bottom) (?:bollinger|boundary|(?:bollinger )?band|bb)|bollinger lower|lower(?= (?:at|is|one)\b| ?\()",
    "bb_middle": r"middle (?:bollinger )?band|bollinger middle",
    "bb_width": r"band ?width|width of the bands",
    "bb_percent": r"%b",
    "change_pct": r"candle's change|candle change|change was|change is|changed by|change of|change since the (?:previous|last) close",
    "volume_ratio": r"relative volume|rvol",
    "volume_sma": r"average volume|usual volume",
    "volume": r"base volume",
    "highest": r"swing high|recent high|range high|recent highs|high of the last",
    "lowest": r"swing low|recent low|range low|recent lows|low of the last",
    "close": r"closes|closed|closing price|price|market|trades|trading|traded",
    "open": r"opened|opening price",
    "high": r"candle high|candle's high",
    "low": r"candle low|candle's low",
    "stop": r"stop[- ]?loss|stops|sl|newstoploss|protective stop",
    "target": r"targets|take[- ]?profit|tp|newtakeprofit",
    "entry": r"entry price|enter|entered|entering|entries",
    "signal": r"initial price|signal price|raised",
    "pnl": r"p&l|profit|unrealized|gain|drawdown|loss",
    "size": r"contracts|quantity|holding",
    "confidence": r"confident|conviction",
    "range": r"ranged",
    "risk": r"risked|risking",
    "reward": r"upside",
    "level": r"support|resistance|pivot|zone",
}
PLAIN = (
    "stop",
    "target",
    "entry",
    "signal",
    "pnl",
    "size",
    "confidence",
    "risk",
    "reward",
    "range",
    "bands",
    "level",
)  # names that are no indicator

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


@dataclass(frozen=True)
class Quote:
    """
    One number. `value` is what stands there and `digits` how many decimals of it are shown (negative for 64k).

    A name is an indicator with its period, a family without one, or a plain name. `names` are those the number may be
    about: all since the number before it ("EMA20 and EMA50 at 65,200 and 65,322"); `mentioned` are all in the sentence.
    """

    text: str
    value: Decimal
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
    mention = _mention(frozenset(known))
    for sentence in _SENTENCE.split(text):
        yield from _in_sentence(sentence, mention, known)


def bare(text: str) -> list[Decimal]:
    """Every number of a text that is itself a source, such as a strategy; periods included, they do no harm."""
    return [value for match in _NUMBER.finditer(_plain(text)) if (value := _value(match)[0]) is not None]


def _in_sentence(sentence: str, mention: re.Pattern[str], known: Collection[str]) -> Iterator[Quote]:
    names = [
        (m.start(), m.end(), name)
        for m in mention.finditer(sentence)
        if (name := _name_of(m, known)) and not (name == "close" and _MERE_MOMENT.search(sentence, 0, m.start()))
    ]
    ends = [0, *(end for _, end, _ in names)]
    gaps = [*((start, end) for start, end, _ in names), (len(sentence), len(sentence))]
    masked = "".join(sentence[last:start] + "\x00" * (end - start) for last, (start, end) in zip(ends, gaps, strict=True))
    mentioned = tuple(dict.fromkeys(name for _, _, name in names))
    found = list(_NUMBER.finditer(masked))
    group: tuple[str, ...] = ()
    plain_until, is_threshold = 0, False
    for index, match in enumerate(found):
        value, digits = _value(match)
        if value is None:
            continue
        last = found[index - 1].end() if index else 0
        group = tuple(name for start, end, name in names if plain_until <= start and end <= match.start()) or group
        unit = _unit(match)
        beside = next((name for start, _, name in names if not sentence[match.end() : start].strip(" (") and start >= match.end()), "")
        plain_until = plain_until if unit else match.end()  # "the stop 2 ATR below the close at 98" is about the stop
        since = max((end for _, end, _ in names if end <= match.start()), default=0)
        ahead = sentence[match.end() : found[index + 1].start() if index + 1 < len(found) else len(sentence)]
        lead = sentence[max(0, match.start() - 40) : match.start()]
        joined = is_threshold and sentence[last : match.start()].strip() in ("and", "to", "–")  # "between 30 and 50"
        compared = _THRESHOLD.search(sentence, max(last, since), match.start()) or _THRESHOLD_AFTER.match(ahead)
        is_threshold = bool(joined or compared)
        yield Quote(
            text=match[0].strip(),
            value=value,
            digits=digits,
            unit=unit,
            names=(*group, beside) if beside else group,  # "20.8 (+DI)"
            mentioned=mentioned,
            is_signed=match["sign"] in ("-", "−"),
            is_earlier=_is_earlier(
                sentence[max(last, match.start() - 40) : match.start()],
                sentence[max(last, since) : match.start()],
                ahead,
                is_last=index + 1 == len(found),
            ),
            is_threshold=is_threshold,
            is_about=bool(_ABOUT.search(lead)),
            is_distance=bool(_DISTANCE.match(ahead) or _DISTANCE_BEFORE.search(sentence[: match.start()])),
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


def _value(match: re.Match[str]) -> tuple[Decimal | None, int]:
    digits = match["digits"].replace(",", "")
    if len(digits) > 40:
        return None, 0
    shift = SCALES.get(match["scale"] or "", 0) + int((match["exponent"] or "e0")[1:])
    value = Decimal(digits).scaleb(shift)
    shown = len(digits.partition(".")[2]) - shift
    return (-value if match["sign"] in ("-", "−") else value), shown


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text[:LONGEST_TEXT])


def _blank(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda m: " " * len(m[0]), text)


def _name_of(match: re.Match[str], known: Collection[str]) -> str:
    """The name with its period if that one exists; a period that doesn't belong here is part of no name."""
    family = str(match.lastgroup)
    family = family.removeprefix("f_")
    period = next((p for p in re.findall(r"\d+", match[0]) if f"{family}_{p}" in known), "")
    if period:
        return f"{family}_{period}"
    return family


@cache
def _mention(known: frozenset[str]) -> re.Pattern[str]:
    """One pattern for every name, with the periods that exist; the longest names first."""
    parts = []
    for family in {**indicators.FAMILIES, **dict.fromkeys(PLAIN)}:
        words = family.replace("_", "[ _-]?") + (f"|{SYNONYMS[family]}" if family in SYNONYMS else "")
        periods = "|".join(
            sorted((name.rpartition("_")[2] for name in known if re.fullmatch(rf"{family}_\d+", name)), key=len, reverse=True)
        )
        if family in ("highest", "lowest"):
            side = "high" if family == "highest" else "low"
            words += rf"|(?:{periods or '20'})[- ](?:candle|bar|period|close)s?[- ](?:{side}est|{side})s?"
        after = rf"(?:[ _-]?\(?(?:{periods})(?![.,]?\d)\)?)?" if periods else ""
        lead = rf"(?:(?:{periods})[- ](?:(?:period|candle|bar|day)[- ])?)?" if periods else ""
        if family == "atr":  # "2 ATR" and "2 times ATR" are units
            words = rf"(?<!\d)(?<!\d )(?<!× )(?<!times )(?<!x )(?:{words})|(?:{words})(?= (?:of|at|=) ?[$\d]| ?\(\d)"
        part = rf"(?P<f_{family}>{lead}(?:{words}){after}(?![A-Za-z\d_])(?:\(\d+(?:, ?\d+)*\))?)"
        parts.append((max(len(word) for word in words.split("|")), part))
    parts.sort(key=lambda part: -part[0])
    return re.compile(r"(?<![A-Za-z\d_.,])(?:" + "|".join(part for _, part in parts) + ")", re.IGNORECASE)
