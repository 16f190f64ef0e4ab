"""`manage.py pg stop|status|psql|dump`: the embedded PostgreSQL from the shell."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config import embedded_postgres
from config.embedded_postgres import binaries

WORDS = {embedded_postgres.ACCEPTING: "running", embedded_postgres.REJECTING: "starting or stopping", embedded_postgres.ABSENT: "stopped"}


class Command(BaseCommand):
    help = "Stop the embedded PostgreSQL, ask how it is, open psql on it, or write a dump to standard output."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["stop", "status", "psql", "dump"])

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.DATABASE_URL:
            raise CommandError("DATABASE_URL is set, so no embedded server is used")
        pgdata = settings.EMBEDDED_DATA_DIR
        match options["action"]:
            case "stop":
                embedded_postgres.stop(pgdata)
            case "status":
                self.stdout.write(f"{WORDS[embedded_postgres.status(pgdata)]}, data in {pgdata}")
            case "psql" | "dump" as action:
                embedded_postgres.ensure_running(pgdata)
                program = str(binaries.bin_directory() / ("psql" if action == "psql" else "pg_dump"))
                # Row-level security keeps the desk's own role from the sessions; a dump must hold every row.
                user = "app" if action == "psql" else "postgres"
                target = ["-h", str(embedded_postgres.socket_directory(pgdata)), "-U", user, "-d", "app"]
                sys.stdout.flush()
                os.execv(program, [program, *target, *([] if action == "psql" else ["-Fc"])])
