"""
The arithmetic of holdings: exact to the last digit. Pure.

A holding keeps what it cost rather than an average price. Selling a part moves a proportional part of the cost out,
rounded to 18 places; what is left keeps the rest, so that all parts always add up to the whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

COST_PLACES = Decimal(1).scaleb(-18)
PRECISION = 60  # digits; enough for a product of any two stored numbers


@dataclass(frozen=True)
class Holding:
    """Signed quantity in base (negative is short) and the quote its size was opened for, always positive."""

    quantity: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)


@dataclass(frozen=True)
class Traded:
    """The holding after a trade, and the profit it realized in quote, before fees."""

    holding: Holding
    realized: Decimal


def product(price: Decimal, quantity: Decimal) -> Decimal:
    """Price times quantity without rounding."""
    with localcontext(prec=PRECISION):
        return price * quantity


def part_of(cost: Decimal, *, part: Decimal, whole: Decimal) -> Decimal:
    """The share of a cost that belongs to a part of the quantity."""
    if part == whole:
        return cost
    with localcontext(prec=PRECISION):
        return (cost * part / whole).quantize(COST_PLACES, rounding=ROUND_HALF_EVEN)


def trade(holding: Holding, *, signed_quantity: Decimal, price: Decimal) -> Traded:
    """
    Buy (positive) or sell (negative) at a price. Reducing realizes profit; beyond flat the rest opens the other side.
    """
    with localcontext(prec=PRECISION):
        if holding.quantity * signed_quantity >= 0:
            grown = holding.quantity + signed_quantity
            return Traded(Holding(grown, holding.cost + product(price, abs(signed_quantity))), Decimal(0))
        closing = min(abs(signed_quantity), abs(holding.quantity))
        out = part_of(holding.cost, part=closing, whole=abs(holding.quantity))
        proceeds = product(price, closing)
        realized = proceeds - out if holding.quantity > 0 else out - proceeds
        left = holding.quantity + (closing if holding.quantity < 0 else -closing)
        rest = abs(signed_quantity) - closing
        if rest:
            return Traded(Holding(rest if signed_quantity > 0 else -rest, product(price, rest)), realized)
        return Traded(Holding(left, holding.cost - out), realized)


def unrealized(holding: Holding, *, price: Decimal) -> Decimal:
    """Profit in quote if the holding were closed at a price, before fees."""
    worth = product(price, abs(holding.quantity))
    return worth - holding.cost if holding.quantity >= 0 else holding.cost - worth
