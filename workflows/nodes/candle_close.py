"""Starts a run when candles of these symbols have closed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from .contract import Call, NodeFailed, NodeType, Port, Row, Settings, Value
from .fields import Interval, Market, Symbol

PRICES = ("open", "high", "low", "close", "volume")


class CandleClose(Settings):
    """Whose closes start a run."""

    market: Market = "binance"
    symbols: Annotated[list[Symbol], Field(min_length=1, max_length=200)]
    interval: Interval = "5m"


def rows_of(call: Call, *, market: str, symbols: list[str], interval: str, open_time: int | None) -> list[Row]:
    """
    One row for each symbol at its newest close, or at `open_time`, with its prices.

    :raises NodeFailed: if there is no candle at all
    """
    wanted = [symbol for symbol in symbols if symbol not in call.context.start.missing]
    times = (
        dict.fromkeys(wanted, open_time) if open_time is not None else call.context.newest(market=market, symbols=wanted, interval=interval)
    )
    rows = [Row(market, symbol, interval, times[symbol]) for symbol in wanted if times.get(symbol) is not None]
    found = call.context.windows(rows, interval=interval)
    priced = []
    for row in rows:
        if row.key in found:
            window = found[row.key]
            now = {name: float(getattr(window, name)[-1]) for name in PRICES}
            was = {name: float(getattr(window, name)[-2]) for name in PRICES} if len(window) > 1 else {}
            priced.append(row.having({**now, "price": now["close"]}, before={**was, **({"price": was["close"]} if was else {})}))
    if not priced:
        raise NodeFailed(f"no closed candle of {', '.join(symbols[:5])} on {interval} is known")
    return priced


def run(call: Call) -> Mapping[str, Value]:
    """The candles that closed; in a run by hand the newest ones."""
    settings, start = call.settings, call.context.start
    is_own = start.market == settings.market and start.interval == settings.interval
    rows = rows_of(
        call, market=settings.market, symbols=settings.symbols, interval=settings.interval, open_time=start.open_time if is_own else None
    )
    return {"rows": rows}


NODE = NodeType(
    "candle_close",
    "Candle close",
    "start",
    "Starts a run when candles of these symbols have closed",
    CandleClose,
    run,
    outputs=(Port("rows"),),
    is_start=True,
    trigger_of=lambda settings: (settings.market, settings.interval, tuple(settings.symbols)),
)
