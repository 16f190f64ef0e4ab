"""What a number in a text may be about: indicators with their synonyms and periods, and the parts of a plan. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
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


def name_of(match: re.Match[str], known: Collection[str]) -> str:
    """The name with its period if that one exists; a period that doesn't belong here is part of no name."""
    family = str(match.lastgroup)
    family = family.removeprefix("f_")
    period = next((p for p in re.findall(r"\d+", match[0]) if f"{family}_{p}" in known), "")
    if period:
        return f"{family}_{period}"
    return family


@cache
def names_in(known: frozenset[str]) -> re.Pattern[str]:
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
