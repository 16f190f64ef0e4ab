"""What the adapters share in reading numbers from outside: strict, and never NaN. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

from monitoring import intervals

from .contract import BadFrame, ClosedCandle, FormingCandle

LONGEST_NUMBER = 40
LONGEST_NAME = 128
LONGEST_LAG_MS = 60_000


def json_object(frame: bytes) -> dict[str, Any]:
    """:raises BadFrame: if the frame is not a JSON object"""
    try:
        message = orjson.loads(frame)
    except orjson.JSONDecodeError as error:
        raise BadFrame(f"not JSON: {error}") from error
    if not isinstance(message, dict):
        raise BadFrame("not an object")
    return message


def entry(value: Any, key: str) -> Any:
    """An entry of an object. :raises BadFrame:"""
    if not isinstance(value, dict) or key not in value:
        raise BadFrame(f"an object with {key} is needed, was {str(value)[:200]!r}")
    return value[key]


def decimal(value: Any) -> Decimal:
    """A number that the exchange sends as a string. :raises BadFrame:"""
    if not isinstance(value, str) or len(value) > LONGEST_NUMBER:
        raise BadFrame(f"a number should be a string, was {str(value)[:LONGEST_NUMBER]!r}")
    try:
        return Decimal(value)
    except InvalidOperation as error:
        raise BadFrame(f"not a number: {value!r}") from error


def integer(value: Any) -> int:
    """A whole number, sent as one. :raises BadFrame:"""
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadFrame(f"a whole number is needed, was {str(value)[:LONGEST_NUMBER]!r}")
    return value


def integer_text(value: Any) -> int:
    """A whole number, sent as a string of digits. :raises BadFrame:"""
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > LONGEST_NUMBER:
        raise BadFrame(f"a whole number as text is needed, was {str(value)[:LONGEST_NUMBER]!r}")
    return int(value)


def final_rows(candles: Sequence[ClosedCandle], *, now_ms: int) -> list[ClosedCandle]:
    """
    Of rows oldest first, of which nothing says whether they are closed, those that surely are.

    A row is final once the answer has its successor. The newest one may come from a server that lags behind the close,
    and is believed only when that is long ago.
    """
    found = list(candles[:-1])
    for newest in candles[-1:]:
        if intervals.close_time(open_time=newest.open_time, interval=newest.interval) + LONGEST_LAG_MS <= now_ms:
            found.append(newest)
    return [c for c in found if intervals.close_time(open_time=c.open_time, interval=c.interval) <= now_ms]


def forming(row: Sequence[Any], *, symbol: str, interval: str) -> FormingCandle:
    """A row of open time and four prices, whose candle is still open. :raises BadFrame:"""
    opened, *prices = row
    if len(prices) != 4:
        raise BadFrame("a candle row is too short")
    return FormingCandle(symbol, interval, int(opened) if isinstance(opened, int) else integer_text(opened), *map(decimal, prices))


def name(value: Any) -> str:
    """A symbol. :raises BadFrame:"""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
        raise BadFrame("the symbol is not a name")
    return value


def rows(value: Any) -> list[Any]:
    """A list. :raises BadFrame:"""
    if not isinstance(value, list):
        raise BadFrame("a list is needed")
    return value
