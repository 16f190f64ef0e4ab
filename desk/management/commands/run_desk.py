"""`manage.py run_desk`: everything on one machine, from an empty folder to the first decision on the page."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from decimal import Decimal
from typing import Any

import requests
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, connections

from config import embedded_postgres
from desk import health
from desk.supervisor import Service, Supervisor, reap_orphans
from monitoring import installation
from monitoring.models import Installation

DEMO_SPEED = "12"


class Command(BaseCommand):
    help = "Run web, listener and workers; with --demo also a simulated exchange on a fast clock, with demo traders."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--demo", action="store_true", help="Trade on paper against the simulated exchange.")
        parser.add_argument("--speed", default=DEMO_SPEED, help="App seconds per real second in the demo, for a fresh database.")
        parser.add_argument("--exchange-port", type=int, default=8900)
        parser.add_argument("--seed", type=int, default=7)

    def handle(self, *args: Any, **options: Any) -> None:
        self._check_ports([settings.WEB_PORT, *([options["exchange_port"]] if options["demo"] else [])])
        started_here = self._database_was_down()
        if not settings.DATABASE_URL:
            connections["default"].ensure_connection()  # starts the server
            embedded_postgres.make_roles_and_database(settings.EMBEDDED_DATA_DIR)
        call_command("migrate", verbosity=0)
        environment = self._environment(options)
        self._manage(environment, "seed_demo", *([] if options["demo"] else ["--without-market"]))
        connections.close_all()
        try:
            supervisor = Supervisor(self._services(options), environment=environment, say=self._say)
            supervisor.run(ready=lambda: self._announce(environment), unhealthy=health.wedged_service)
        finally:
            self._stop_database(started_here)
            reap_orphans()

    def _check_ports(self, ports: list[int]) -> None:
        """:raises CommandError: if somebody else listens on one, so that it is said before anything is started"""
        for port in ports:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((settings.WEB_HOST, port))
                except OSError as error:
                    hint = "set WEB_PORT" if port == settings.WEB_PORT else "give --exchange-port"
                    raise CommandError(f"port {port} is taken ({error.strerror}); is another desk running? Else {hint}.") from error

    def _stop_database(self, started_here: bool) -> None:
        """Stop the embedded server, unless somebody else was there before us and still uses it."""
        in_use = not started_here and self._others_connected()
        connections.close_all()
        if not settings.DATABASE_URL and not in_use:
            embedded_postgres.stop(settings.EMBEDDED_DATA_DIR)

    def _database_was_down(self) -> bool:
        if settings.DATABASE_URL:
            return False
        return embedded_postgres.status(settings.EMBEDDED_DATA_DIR) != embedded_postgres.ACCEPTING

    def _environment(self, options: dict[str, Any]) -> dict[str, str]:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        if not options["demo"]:
            installation.claim()
            return environment
        known = Installation.objects.first()
        speed = known.clock_speed if known else Decimal(options["speed"])
        epoch = known.clock_epoch if known else Decimal(int(time.time()))
        address = f"127.0.0.1:{options['exchange_port']}"
        return environment | {
            "MARKET": "binance",
            "MARKET_WS_URL": f"ws://{address}",
            "MARKET_REST_URL": f"http://{address}",
            "BINANCE_FUTURES_WS_URL": f"ws://{address}",
            "BINANCE_FUTURES_REST_URL": f"http://{address}",
            **{f"{kind.upper()}_TRADING_URL": f"http://{address}" for kind in settings.TRADING_URLS},
            "POLYMARKET_WS_URL": f"ws://{address}/polymarket",
            "POLYMARKET_REST_URL": f"http://{address}/polymarket",
            "POLYMARKET_CATALOG_URL": f"http://{address}/polymarket/gamma",
            "CLOCK_SPEED": f"{speed:f}",
            "CLOCK_EPOCH": f"{epoch:f}",
        }

    def _services(self, options: dict[str, Any]) -> list[Service]:
        """In the order in which they are stopped: nothing new comes in while what runs is finished."""
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
        web = [sys.executable, "-m", "uvicorn", "config.asgi:application", "--host", settings.WEB_HOST, "--port", str(settings.WEB_PORT)]
        web += ["--lifespan", "off", "--log-level", "warning", "--timeout-graceful-shutdown", "2"]
        web += ["--ws", "websockets-sansio", "--ws-max-size", "65536"]
        services = [
            Service("listener", [*manage, "run_candle_listener"], grace_s=5),
            Service("web", web, grace_s=4),
            Service("workers", [*manage, "qcluster"], grace_s=8),
        ]
        if options["demo"]:
            seed, port = str(options["seed"]), str(options["exchange_port"])
            kept = ["--journal", str(settings.DATA_DIR / "simulated_exchange.jsonl")]
            services.append(Service("exchange", [*manage, "run_simulated_exchange", "--port", port, "--seed", seed, *kept], grace_s=3))
        return services

    def _manage(self, environment: dict[str, str], *arguments: str) -> None:
        done = subprocess.run([sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments], env=environment, check=False)
        if done.returncode:
            raise CommandError(f"{arguments[0]} failed; see above")

    def _announce(self, environment: dict[str, str]) -> None:
        """Print the address once the web process answers."""
        host = settings.WEB_HOST if settings.WEB_HOST[:1].isdigit() and settings.WEB_HOST[0] != "0" else "127.0.0.1"
        address = f"http://{host}:{settings.WEB_PORT}/"
        for _ in range(600):
            try:
                requests.get(f"{address}healthz", timeout=2)
                break
            except requests.RequestException:
                time.sleep(0.2)
        speed = environment.get("CLOCK_SPEED", "1")
        pace = (
            f" The clock runs {Decimal(speed).normalize():f} times as fast: a 1-minute candle closes every {60 / float(speed):.0f} s."
            if speed != "1"
            else ""
        )
        self._say(f"{'desk':9}| Candle Desk is at {address}  (Ctrl-C stops everything.){pace}")

    def _others_connected(self) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
            return bool(cursor.fetchone()[0])

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
