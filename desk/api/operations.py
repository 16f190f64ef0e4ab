"""Signals, schedules and switches over HTTP: what the pages show and do, for programs."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from django.http import HttpRequest
from ninja import Field, Query, Router, Schema, Status

from desk import access, switches
from desk.api.auth import actor, caller
from desk.api.schemas import Json
from monitoring import clock, intake, schedules
from monitoring.intake import NewSignal
from monitoring.models import Halt, Signal, Trader, WorkflowSchedule
from workflows.sessions import NotFound

router = Router()
Limit, Offset = Query(50, ge=1, le=100), Query(0, ge=0)


class SignalOut(Schema):
    """A signal and where it stands."""

    id: UUID
    trader: UUID
    symbol: str
    interval: str
    side: str
    status: str
    source: str
    external_id: str | None
    initial_price: Decimal | None
    created_at: datetime
    closed_at: datetime | None
    close_reason: str


class NewSignalIn(Schema):
    """A signal to raise. With an `external_id` it is once per trader; again it answers 200 with the first."""

    trader: UUID
    symbol: str = Field(max_length=128)
    side: Literal["", "long", "short"] = ""
    external_id: str | None = Field(None, max_length=200)
    price: Decimal | None = Field(None, gt=0)
    metadata: Json = {}


class SignalsOf(Schema):
    """Which signals."""

    status: str | None = None
    trader: UUID | None = None
    symbol: str | None = None
    limit: int = Field(50, ge=1, le=100)
    offset: int = Field(0, ge=0)


class ScheduleOut(Schema):
    """The state of a workflow."""

    id: UUID
    workflow_type: str
    entity_id: UUID
    trader: UUID
    market: str
    symbol: str
    interval: str
    is_active: bool
    last_candle_time: int | None
    execution_count: int
    consecutive_errors: int
    last_error: str
    started_at: datetime
    stopped_at: datetime | None
    stop_reason: str


class Steer(Schema):
    """Why."""

    reason: str = Field(max_length=500)


class SwitchOut(Schema):
    """A switch that is not at running."""

    scope: str
    state: str
    reason: str
    halted_by: str
    halted_at: datetime
    source: str


class Move(Schema):
    """Move a switch; flattening needs the word FLATTEN."""

    scope: str = "all"
    action: Literal["reduce", "halt", "flatten", "resume"]
    reason: str = Field(max_length=500)
    word: str = ""


def _out(row: Any, schema: type[Schema]) -> Json:
    return {name: getattr(row, "trader_id" if name == "trader" else name) for name in schema.model_fields}


@router.get("/signals", response=list[SignalOut])
def list_signals(request: HttpRequest, asked: Query[SignalsOf]) -> list[Json]:
    """Signals that one may see, the newest first."""
    wanted = {"status": asked.status, "trader_id": asked.trader, "symbol": asked.symbol}
    found = access.visible(Signal.objects.all(), request, owner="user")
    found = found.filter(**{name: value for name, value in wanted.items() if value is not None})
    return [_out(row, SignalOut) for row in found.order_by("-created_at")[asked.offset : asked.offset + asked.limit]]


@router.post("/signals", response={200: SignalOut, 201: SignalOut})
def raise_signal(request: HttpRequest, data: NewSignalIn) -> Status[Json]:
    """Raise a signal for one of one's own traders, or for any with the permission to add signals."""
    user = caller(request, "monitoring.view_trader")
    traders = Trader.objects.all() if user.has_perm("monitoring.add_signal") else Trader.objects.filter(user=user)
    trader = traders.filter(id=data.trader).first()
    if trader is None:
        raise NotFound(f"there is no trader {data.trader}")
    new = NewSignal(
        trader=trader,
        symbol=data.symbol,
        side=data.side,
        price=data.price,
        external_id=data.external_id,
        source=Signal.Source.WEBHOOK,
        metadata=data.metadata,
    )
    signal, is_new = intake.record(new, now=clock.now())
    return Status(201 if is_new else 200, _out(signal, SignalOut))


@router.get("/schedules", response=list[ScheduleOut])
def list_schedules(
    request: HttpRequest, active: bool | None = None, trader: UUID | None = None, limit: int = Limit, offset: int = Offset
) -> list[Json]:
    """Workflows that one may see, the newest first."""
    wanted: dict[str, Any] = {"is_active": active, "trader_id": trader}
    found = access.visible(WorkflowSchedule.objects.all(), request, owner="user")
    found = found.filter(**{name: value for name, value in wanted.items() if value is not None})
    return [_out(row, ScheduleOut) for row in found.order_by("-started_at")[offset : offset + limit]]


@router.post("/schedules/{schedule_id}/{action}", response=ScheduleOut)
def steer_schedule(request: HttpRequest, schedule_id: UUID, action: Literal["disable", "enable"], data: Steer) -> Json:
    """Switch a workflow off or on, with a reason."""
    caller(request, "monitoring.change_workflowschedule")
    visible = access.visible(WorkflowSchedule.objects.all(), request, owner="user")
    if not visible.filter(id=schedule_id).exists():
        raise NotFound(f"there is no schedule {schedule_id}")
    act = schedules.enable if action == "enable" else schedules.disable
    act(schedule_id=schedule_id, reason=data.reason, actor=actor(request), now=clock.now())
    return _out(WorkflowSchedule.objects.get(id=schedule_id), ScheduleOut)


@router.get("/switches", response=list[SwitchOut])
def list_switches(request: HttpRequest) -> list[Json]:
    """Every switch that is not at running."""
    caller(request, "monitoring.view_halt")
    return [_out(halt, SwitchOut) for halt in Halt.objects.filter(resumed_at__isnull=True).order_by("halted_at")]


@router.get("/switches/facts")
def get_facts(request: HttpRequest, scope: str = "all") -> Json:
    """What is held and working in a scope, and what a switch there would leave alone."""
    caller(request, "monitoring.view_halt")
    return switches.facts(scope)


@router.post("/switches")
def move_switch(request: HttpRequest, data: Move) -> Json:
    """Move a switch; the answer lists the orders that were on their way."""
    caller(request, "monitoring.move_switch")
    return switches.move(data.action, scope=data.scope, reason=data.reason, word=data.word, actor=actor(request), now=clock.now())
