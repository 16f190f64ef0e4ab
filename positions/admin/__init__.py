"""The admin of the trading floor."""

from . import accounts, effectiveness, trades

__all__ = ["accounts", "effectiveness", "trades"]
