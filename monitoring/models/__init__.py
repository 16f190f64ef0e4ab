"""Tables of the lower floor: fields, constraints and querysets only; the rules live in the modules named after them."""

from .controls import AuditLog, Halt
from .decisions import MonitoringDecision, SignalAnalysis
from .events import Event, NotificationDelivery, NotificationTarget
from .market import AbsentCandle, Candle, Instrument
from .operations import BudgetReservation, Heartbeat, Installation
from .schedules import WorkflowRun, WorkflowSchedule
from .signals import ScreeningCheck, Signal
from .traders import Trader
from .users import User

__all__ = [
    "AbsentCandle",
    "AuditLog",
    "BudgetReservation",
    "Candle",
    "Event",
    "Halt",
    "Heartbeat",
    "Installation",
    "Instrument",
    "MonitoringDecision",
    "NotificationDelivery",
    "NotificationTarget",
    "ScreeningCheck",
    "Signal",
    "SignalAnalysis",
    "Trader",
    "User",
    "WorkflowRun",
    "WorkflowSchedule",
]
