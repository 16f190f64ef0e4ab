"""Tables of the lower floor: fields, constraints and querysets only; the rules live in the modules named after them."""

from .asking import AnalystEndpoint, BudgetReservation, DailySpend, WaitingAsker
from .controls import AuditLog, Halt
from .decisions import MonitoringDecision, SignalAnalysis
from .events import Event, NotificationDelivery, NotificationTarget
from .market import AbsentCandle, Candle, Instrument
from .operations import Heartbeat, Installation
from .rollout import MonitoringRollout
from .schedules import WorkflowRun, WorkflowSchedule
from .signals import ScreeningCheck, Signal
from .statistics import QuestionDay, RolledDay
from .traders import Trader
from .users import User

__all__ = [
    "AbsentCandle",
    "AnalystEndpoint",
    "AuditLog",
    "BudgetReservation",
    "Candle",
    "DailySpend",
    "Event",
    "Halt",
    "Heartbeat",
    "Installation",
    "Instrument",
    "MonitoringDecision",
    "MonitoringRollout",
    "NotificationDelivery",
    "NotificationTarget",
    "QuestionDay",
    "RolledDay",
    "ScreeningCheck",
    "Signal",
    "SignalAnalysis",
    "Trader",
    "User",
    "WaitingAsker",
    "WorkflowRun",
    "WorkflowSchedule",
]
