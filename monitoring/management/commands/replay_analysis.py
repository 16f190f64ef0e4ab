"""`manage.py replay_analysis ID`: the same prompt and the same verdict again, from what was kept. Asks nobody."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from monitoring.asking import replay
from monitoring.models import SignalAnalysis


class Command(BaseCommand):
    help = "Render a kept question again, byte for byte, and read its answer again; nothing is asked and nothing changed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("id", type=UUID, nargs="+")
        parser.add_argument("--show", action="store_true", help="Print the prompt and the answer as well.")

    def handle(self, *args: Any, **options: Any) -> None:
        different = 0
        for key in options["id"]:
            row = SignalAnalysis.objects.filter(pk=key).first()
            if row is None:
                raise CommandError(f"there is no analysis {key}")
            found = replay.replay(row)
            different += not found.is_same
            self.stdout.write(f"{key}: {found}")
            if options["show"]:
                for message in found.messages:
                    self.stdout.write(f"--- {message['role']}\n{message['content']}")
                self.stdout.write(f"--- answer\n{row.raw_response}")
        if different:
            raise CommandError(f"{different} of {len(options['id'])} came out differently")
