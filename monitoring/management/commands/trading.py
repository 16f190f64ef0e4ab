"""`manage.py trading status|reduce|halt|resume|flatten --scope … --reason …`: the switches, also with the web down."""

from __future__ import annotations

import getpass
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from monitoring import clock, controls
from monitoring.audit import Actor
from monitoring.controls import HALTED, REDUCING, ControlError, Halted


class Command(BaseCommand):
    help = "Show or move the kill switches."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["status", "reduce", "halt", "resume", "flatten"])
        parser.add_argument("--scope", default="all", help="all, trader:KEY, symbol:NAME, workflow:KEY or account:KEY")
        parser.add_argument("--reason", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = Actor(getpass.getuser(), "cli")
        scope, reason, now = options["scope"], options["reason"], clock.now()
        try:
            match options["action"]:
                case "status":
                    self._status()
                case "reduce" | "halt" as action:
                    state = HALTED if action == "halt" else REDUCING
                    self._report(controls.halt(scope=scope, state=state, reason=reason, actor=actor, now=now))
                case "resume":
                    controls.resume(scope=scope, reason=reason, actor=actor, now=now)
                    self.stdout.write(f"{scope} is running")
                case "flatten":
                    self._report(controls.flatten(scope=scope, reason=reason, actor=actor, now=now))
                    self.stdout.write(
                        "a job closes what is held and halts the scope once the exchange is flat; see the desk for its progress"
                    )
        except ControlError as error:
            raise CommandError(str(error)) from error

    def _status(self) -> None:
        halts = controls.open_halts()
        for halt in halts.values():
            self.stdout.write(f"{halt.scope}: {halt.state} since {halt.halted_at:%Y-%m-%d %H:%M:%S} UTC by {halt.halted_by}: {halt.reason}")
        if not halts:
            self.stdout.write("running")

    def _report(self, done: Halted) -> None:
        self.stdout.write(f"{done.halt.scope} is {done.halt.state}{'' if done.changed else ' (it was before)'}")
        for order in done.in_flight:
            what = f"{order['leg']} {order['side']} {order['quantity']} {order['position__symbol']}"
            self.stdout.write(f"  still on its way: {what} ({order['client_order_id']})")
