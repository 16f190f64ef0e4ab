"""`manage.py reconcile_positions`: our positions and orders against the exchange's, now; exits with 1 when they differ."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from monitoring import clock
from positions import reconciliation


class Command(BaseCommand):
    help = "Compare our positions and orders with the exchange's, follow what ended there, and mend what a crash left."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--account", help="The name of one account; without it all that hold or may open something.")

        parser.add_argument("--adopt", action="store_true", help="Take over what somebody did at the exchange by hand, this once.")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = reconciliation.accounts()
        if options["account"]:
            wanted = wanted.filter(name=options["account"])
        results = [(account, reconciliation.reconcile(account, now=clock.now(), adopt=options["adopt"] or None)) for account in wanted]
        self.stdout.write(reconciliation.report(results))
        if not all(found.is_clean for _, found in results):
            sys.exit(1)
