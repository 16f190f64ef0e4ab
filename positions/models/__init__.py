"""Tables of the trading floor: fields and constraints only."""

from .accounts import ExchangeAccount, TradingProfile
from .decisions import PositionManagementDecision
from .effectiveness import ManagementEffectiveness, ManagementPosition, MonitoringEffectiveness, MonitoringSignal
from .orders import Fill, Order
from .paper import PaperBalance, PaperOrder, PaperPosition, PaperTrade
from .positions import Position

__all__ = [
    "ExchangeAccount",
    "Fill",
    "ManagementEffectiveness",
    "ManagementPosition",
    "MonitoringEffectiveness",
    "MonitoringSignal",
    "Order",
    "PaperBalance",
    "PaperOrder",
    "PaperPosition",
    "PaperTrade",
    "Position",
    "PositionManagementDecision",
    "TradingProfile",
]
