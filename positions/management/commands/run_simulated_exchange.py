"""`manage.py run_simulated_exchange`: Binance's market data and signed orders, seeded, on the desk's own clock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from monitoring import clock
from monitoring.simulator.faults import FaultPlan
from monitoring.simulator.half_open import HalfOpenProtocol
from monitoring.simulator.market import Market, listings
from monitoring.simulator.server import SimulatedExchange
from monitoring.simulator.streams import UPDATE_MS
from positions.simulator.faults import Seeded
from positions.simulator.gateway import Gateway, MarketPrices


class Command(BaseCommand):
    help = "Run a simulated exchange: Binance's market data, and signed orders of spot and USD-M futures."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8900)
        parser.add_argument("--seed", type=int, default=7, help="Prices depend on the seed, the symbol and the time only.")
        parser.add_argument("--faults", type=int, metavar="SEED", help="Lose, delay, repeat and garble what it sends, by this seed.")
        parser.add_argument("--trading-faults", type=int, metavar="SEED", help="Let one in ten signed requests go wrong, by this seed.")
        parser.add_argument("--journal", type=Path, help="A file that keeps what was traded over a restart.")
        parser.add_argument("--more-symbols", type=int, default=0, metavar="N", help="List SIM0000USDT and so on besides.")
        parser.add_argument("--update-ms", type=int, default=UPDATE_MS, help="App time between frames of a forming candle.")

    def handle(self, *args: Any, **options: Any) -> None:
        market = Market(seed=options["seed"], listings=listings(more=options["more_symbols"]))
        faults = None if options["faults"] is None else FaultPlan(seed=options["faults"])
        trading = Gateway(
            listings=market.listings,
            prices=MarketPrices(market),
            clock_ms=clock.now_ms,
            faults=None if options["trading_faults"] is None else Seeded(seed=options["trading_faults"]),
            journal=options["journal"],
        )
        app = SimulatedExchange(
            market=market,
            clock_ms=clock.now_ms,
            speed=float(settings.CLOCK_SPEED),
            faults=faults,
            update_ms=options["update_ms"],
            trading=trading,
        )
        self.stdout.write(f"simulated exchange on {options['host']}:{options['port']}, seed {options['seed']}, {settings.CLOCK_SPEED}x")
        uvicorn.run(
            app,
            host=options["host"],
            port=options["port"],
            lifespan="off",
            log_level="warning",
            ws=HalfOpenProtocol,
            ws_ping_interval=20.0,
            ws_ping_timeout=60.0,
            timeout_graceful_shutdown=2,
        )
