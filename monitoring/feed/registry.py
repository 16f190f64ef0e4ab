"""The markets that can be followed."""

from __future__ import annotations

from django.conf import settings

from .binance import BinanceFutures, BinanceSpot
from .bybit import BybitLinear, BybitSpot
from .contract import Adapter, NotSupported
from .okx import Okx
from .polymarket import Polymarket

ADAPTERS: dict[str, Adapter] = {
    adapter.market: adapter for adapter in (BinanceSpot(), BinanceFutures(), BybitLinear(), BybitSpot(), Okx(), Polymarket())
}


def adapter(market: str) -> Adapter:
    """
    The adapter of a market.

    :raises NotSupported: if there is none yet
    """
    try:
        return ADAPTERS[market]
    except KeyError as error:
        raise NotSupported(f"market {market!r} can't be followed; there is an adapter for {', '.join(ADAPTERS)}") from error


def stream_address(market: str) -> str:
    """Base address of the market's stream, from the settings."""
    return str(settings.MARKETS[market]["ws"])


def rest_address(market: str, *, api: str = "rest") -> str:
    """Base address of the market's REST API, or of its catalog of instruments, from the settings."""
    return str(settings.MARKETS[market][api])
