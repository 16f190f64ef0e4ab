"""What an order is for: its cause, its leg, and the client order id that follows from them (P4)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from positions.exchange.contract import BUY, SELL
from positions.models import Order, Position


@dataclass(frozen=True)
class Cause:
    """Why an order is sent: a decision, a rule, an operator or reconciliation, and the key of it."""

    kind: str
    key: str
    analysis_id: UUID | None = None


@dataclass(frozen=True)
class Intent:
    """An order to send for a position. Quantity in base, prices in quote."""

    position: Position
    leg: str
    side: str
    type: str
    quantity: Decimal
    cause: Cause
    price: Decimal | None = None
    trigger_price: Decimal | None = None
    generation: int = 0

    @property
    def reduce_only(self) -> bool:
        """Everything but an entry and an add only ever takes exposure away."""
        return self.leg not in Order.ADDS_EXPOSURE

    @property
    def client_order_id(self) -> str:
        """The same whenever the same is meant."""
        return client_order_id(position_id=self.position.id, cause=self.cause.key, leg=self.leg, generation=self.generation)


def client_order_id(*, position_id: UUID, cause: str, leg: str, generation: int) -> str:
    """32 hex digits, the same for the same intent; every venue accepts them."""
    return hashlib.sha256(f"{position_id}|{cause}|{leg}|{generation}".encode()).hexdigest()[:32]


def entry_side(position: Position) -> str:
    """The side that opens the position."""
    return BUY if position.sign > 0 else SELL


def exit_side(position: Position) -> str:
    """The side that closes it."""
    return SELL if position.sign > 0 else BUY
