"""The simulated exchange on a real socket, on a test's own clock."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import uvicorn

from monitoring.simulator.faults import FaultPlan
from monitoring.simulator.half_open import HalfOpenProtocol
from monitoring.simulator.market import Market
from monitoring.simulator.server import SimulatedExchange
from positions.simulator.gateway import Gateway, MarketPrices
from tests.support.clocks import SteppingClock
from tests.support.processes import free_port


@dataclass
class RunningExchange:
    """Its address, and the clock it runs by."""

    url: str
    clock: SteppingClock
    gateway: Gateway

    @property
    def stream(self) -> str:
        return self.url.replace("http", "ws")

    @property
    def addresses(self) -> dict[str, dict[str, str]]:
        """As the setting MARKETS has them."""
        polymarket = {"ws": f"{self.stream}/polymarket", "rest": f"{self.url}/polymarket", "catalog": f"{self.url}/polymarket/gamma"}
        return {"binance": {"ws": self.stream, "rest": self.url}, "polymarket": polymarket}


@contextlib.contextmanager
def running_exchange(clock: SteppingClock, *, speed: float = 10.0, faults: FaultPlan | None = None) -> Iterator[RunningExchange]:
    """Serve it from a thread until the test is done."""
    port = free_port()
    market = Market(seed=7)
    gateway = Gateway(listings=market.listings, prices=MarketPrices(market), clock_ms=lambda: clock.ms)
    app = SimulatedExchange(market=market, clock_ms=lambda: clock.ms, speed=speed, faults=faults, trading=gateway)
    config = uvicorn.Config(app, port=port, lifespan="off", log_level="error", ws=HalfOpenProtocol, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    try:
        yield RunningExchange(f"http://127.0.0.1:{port}", clock, gateway)
    finally:
        server.should_exit = True
        thread.join()
