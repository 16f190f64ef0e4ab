"""Outcomes of Polymarket that fit: by category, price, liquidity and volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from .contract import ANY, Call, Catalogue, NodeType, Port, Settings, Value

Probability = Annotated[float, Field(ge=0, le=1)]
Money = Annotated[float, Field(ge=0, le=1e12)]
Category = Annotated[str, Field(min_length=1, max_length=60)]


class PolymarketStream(Settings):
    """Limits of what is looked at. Prices are probabilities, money is in USDC. No category means all."""

    categories: Annotated[list[Category], Field(max_length=20)] = []
    min_price: Probability = 0.05
    max_price: Probability = 0.95
    min_liquidity: Money = 1000
    min_volume: Money = 10000
    limit: Annotated[int, Field(ge=1, le=200)] = 50

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_price > self.max_price:
            raise ValueError(f"min_price {self.min_price} is above max_price {self.max_price}")
        return self


def run(call: Call) -> Mapping[str, Value]:
    """The outcomes, the most traded first, each with price, liquidity and volume."""
    settings = call.settings
    wanted = Catalogue(
        tuple(settings.categories), settings.min_price, settings.max_price, settings.min_liquidity, settings.min_volume, settings.limit
    )
    return {"rows": list(call.context.outcomes(wanted))}


NODE = NodeType(
    "polymarket_stream",
    "Polymarket stream",
    "data",
    "Outcomes of Polymarket with their newest prices",
    PolymarketStream,
    run,
    inputs=(Port("after", ANY, is_required=False),),
    outputs=(Port("rows"),),
    is_start=True,
)
