"""
Our positions and orders against the exchange's. Pure.

Four invariants: the same quantity, the same average price, the same realized profit within rounding, and no order that
only one side knows. A spot wallet may hold more than the desk has bought: there the exchange must hold at least ours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from positions.exchange.contract import Held, Resting

PRICE_TOLERANCE = Decimal("0.0001")  # fraction: an exchange rounds its average price
PROFIT_TOLERANCE = Decimal("0.0001")  # of what was traded


@dataclass(frozen=True)
class Ours:
    """A position as our journal has it: signed quantity in base, money in quote. `venue_realized` is what the fills say."""

    position_id: UUID
    symbol: str
    quantity: Decimal
    cost: Decimal
    realized: Decimal
    venue_realized: Decimal | None
    turnover: Decimal


@dataclass(frozen=True)
class Problem:
    """A difference. `position_id` is empty when we have no such position."""

    code: str
    symbol: str
    text: str
    position_id: UUID | None = None


def compare(
    ours: Sequence[Ours], *, holdings: Mapping[str, Held], resting: Iterable[Resting], known_ids: Collection[str], owns_wallet: bool
) -> list[Problem]:
    """Every difference; `known_ids` are the client order ids of our journal that may rest."""
    found: list[Problem] = []
    for mine in ours:
        found.extend(_of_position(mine, holdings.get(mine.symbol), owns_wallet))
    if owns_wallet:
        known = {mine.symbol for mine in ours}
        for symbol, held in holdings.items():
            if symbol not in known:
                found.append(Problem("unknown_position", symbol, f"{_plain(held.quantity)} of {symbol} are held that nobody here opened"))
    for order in resting:
        if order.client_order_id not in known_ids and (owns_wallet or any(mine.symbol == order.symbol for mine in ours)):
            text = f"{order.side} {_plain(order.quantity)} {order.symbol} rests at the exchange and is not ours ({order.client_order_id})"
            found.append(Problem("unknown_order", order.symbol, text))
    return found


def _of_position(mine: Ours, held: Held | None, owns_wallet: bool) -> Iterable[Problem]:
    there = held.quantity if held else Decimal(0)
    same = there == mine.quantity if owns_wallet else there >= mine.quantity
    if not same:
        text = f"{mine.symbol}: {_plain(mine.quantity)} here, {_plain(there)} at the exchange"
        yield Problem("quantity", mine.symbol, text, mine.position_id)
    elif held and held.cost is not None and abs(held.cost - mine.cost) > PRICE_TOLERANCE * mine.cost:
        ours_at, theirs_at = (cost / abs(mine.quantity) for cost in (mine.cost, held.cost))
        text = f"{mine.symbol}: an average price of {ours_at:.8g} here, {theirs_at:.8g} at the exchange"
        yield Problem("price", mine.symbol, text, mine.position_id)
    if mine.venue_realized is not None and abs(mine.venue_realized - mine.realized) > PROFIT_TOLERANCE * mine.turnover:
        text = f"{mine.symbol}: realized {mine.realized:.4f} here, {mine.venue_realized:.4f} at the exchange"
        yield Problem("profit", mine.symbol, text, mine.position_id)


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"
