"""
A simulated Polymarket beside the simulated exchange: Gamma's catalogue, the CLOB's prices and its market channel.

Sources: Polymarket's documentation of Gamma and the CLOB, as of 2026-11. What is odd there is odd here: lists of a market are JSON
inside a string, prices on the stream are strings without a leading zero, times are strings of ms there and seconds in a
history, the best price of a book is its last. A question's probability follows a symbol of the simulated market, so it too
depends only on (seed, question, moment).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from monitoring.simulator.market import Market

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
PREFIX = "/polymarket"
TICK, SPREAD, SWING = 0.001, 0.005, 6.0
EVERY_S = 0.5  # real time between quotes
MOST_POINTS = 5000
QUESTIONS = (
    ("politics", "Will the budget pass before the recess?", "BTCUSDT", 480_000),
    ("politics", "Will the incumbent party keep the city council?", "ETHUSDT", 310_000),
    ("politics", "Will the minister resign this year?", "SOLUSDT", 150_000),
    ("politics", "Will turnout be above 60 %?", "BNBUSDT", 90_000),
    ("politics", "Will there be a second round?", "XRPUSDT", 42_000),
    ("crypto", "Will the upgrade go live this quarter?", "ADAUSDT", 220_000),
    ("crypto", "Will the fund be approved?", "AVAXUSDT", 130_000),
    ("crypto", "Will fees stay under a dollar?", "LINKUSDT", 18_000),
    ("sports", "Will the champions defend their title?", "DOTUSDT", 260_000),
    ("sports", "Will the record be broken?", "LTCUSDT", 33_000),
)


@dataclass(frozen=True)
class Question:
    """A market of two outcomes; `symbol` is what its probability follows."""

    number: int
    category: str
    text: str
    symbol: str
    volume: int

    def token(self, outcome: str) -> str:
        """A token id: a number of some 77 digits."""
        return str(int.from_bytes(hashlib.sha256(f"{self.text}:{outcome}".encode()).digest(), "big"))


class SimulatedPolymarket:
    """The ASGI application below `/polymarket`: `/gamma/…` is the catalogue, everything else the CLOB."""

    def __init__(self, *, market: Market, clock_ms: Callable[[], int]) -> None:
        self._market, self._clock_ms = market, clock_ms
        self.questions = tuple(Question(number, *row) for number, row in enumerate(QUESTIONS, start=1))
        self._tokens = {question.token(outcome): (question, outcome) for question in self.questions for outcome in ("Yes", "No")}

    def serves(self, path: str) -> bool:
        """Whether this is a path of its own."""
        return path.startswith(f"{PREFIX}/")

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._channel(receive, send)
            return
        query = dict(parse_qsl(scope["query_string"].decode()))
        status, body = await asyncio.to_thread(self.get, scope["path"], query)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})

    def get(self, path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        """Status and body of a request."""
        match path.removeprefix(PREFIX):
            case "/gamma/markets":
                return 200, _page([self._described(question) for question in self._by_volume()], query)
            case "/gamma/events":
                wanted = [question for question in self._by_volume() if query.get("tag_slug", question.category) == question.category]
                return 200, _page([self._event(question) for question in wanted], query)
            case "/prices-history":
                return self._history(query)
            case "/time":
                return 200, self._clock_ms() // 1000
        return 404, {"error": "not found"}

    def probability(self, token: str, *, at_ms: int) -> float:
        """Of the outcome that a token stands for, in whole ticks."""
        question, outcome = self._tokens[token]
        listing = self._market.listings[question.symbol]
        moved = math.log(float(self._market.price(symbol=question.symbol, at_ms=at_ms)) / listing.price)
        # To and fro between 5 and 95 %, however far the symbol goes.
        yes = 0.05 + 0.9 * abs((SWING * moved + question.number * 0.37) % 2 - 1)
        return round(round((yes if outcome == "Yes" else 1 - yes) / TICK) * TICK, 3)

    def _by_volume(self) -> list[Question]:
        return sorted(self.questions, key=lambda question: -question.volume)

    def _described(self, question: Question) -> dict[str, Any]:
        now = self._clock_ms()
        tokens = [question.token(outcome) for outcome in ("Yes", "No")]
        prices = [self.probability(token, at_ms=now) for token in tokens]
        return {
            "id": str(1_349_000 + question.number),
            "question": question.text,
            "conditionId": "0x" + hashlib.sha256(question.text.encode()).hexdigest(),
            "slug": question.text.lower().replace(" ", "-").strip("?"),
            "outcomes": json.dumps(["Yes", "No"]),
            "outcomePrices": json.dumps([f"{price:.3f}" for price in prices]),
            "clobTokenIds": json.dumps(tokens),
            "liquidity": f"{question.volume / 20:.2f}",
            "liquidityNum": question.volume / 20,
            "volume": f"{question.volume:.2f}",
            "volumeNum": question.volume,
            "bestBid": round(prices[0] - SPREAD, 3),
            "bestAsk": round(prices[0] + SPREAD, 3),
            "active": True,
            "closed": False,
            "acceptingOrders": True,
            "enableOrderBook": True,
            "orderPriceMinTickSize": TICK,
            "orderMinSize": 5,
        }

    def _event(self, question: Question) -> dict[str, Any]:
        tag = {"id": str(100_000 + sum(map(ord, question.category))), "label": question.category.title(), "slug": question.category}
        return {"id": str(question.number), "title": question.text, "tags": [tag], "markets": [self._described(question)]}

    def _history(self, query: Mapping[str, str]) -> tuple[int, Any]:
        token = query.get("market", "")
        if token not in self._tokens:
            return 400, {"error": "unknown market"}
        try:
            start, end, step = int(query["startTs"]), int(query["endTs"]), 60 * max(1, int(query.get("fidelity", 1)))
        except (KeyError, ValueError):
            return 400, {"error": "startTs, endTs and fidelity are whole numbers"}
        last = min(end, self._clock_ms() // 1000)
        moments = list(range(start - start % step + step, last + 1, step))[-MOST_POINTS:]
        return 200, {"history": [{"t": at, "p": self.probability(token, at_ms=at * 1000)} for at in moments]}

    async def _channel(self, receive: Receive, send: Send) -> None:
        """The market channel: a book for each token at first, then a quote whenever its price has changed."""
        await receive()
        await send({"type": "websocket.accept"})
        wanted: dict[str, float] = {}
        quoting = asyncio.create_task(self._quote(wanted, send))
        try:
            while (message := await receive())["type"] == "websocket.receive":
                await self._obey(message.get("text") or "", wanted, send)
        finally:
            quoting.cancel()

    async def _obey(self, text: str, wanted: dict[str, float], send: Send) -> None:
        if text == "PING":
            await send({"type": "websocket.send", "text": "PONG"})
            return
        asked = json.loads(text)
        tokens = [token for token in asked.get("assets_ids", ()) if token in self._tokens]
        if asked.get("operation") == "unsubscribe":
            for token in tokens:
                wanted.pop(token, None)
            return
        now = self._clock_ms()
        for token in tokens:
            wanted[token] = self.probability(token, at_ms=now)
        books = [self._book(token, wanted[token], now) for token in tokens]
        await send({"type": "websocket.send", "text": json.dumps(books)})

    async def _quote(self, wanted: dict[str, float], send: Send) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            now = self._clock_ms()
            changes = []
            for token, before in list(wanted.items()):
                price = self.probability(token, at_ms=now)
                if price != before:
                    wanted[token] = price
                    best = {"best_bid": _short(price - SPREAD), "best_ask": _short(price + SPREAD)}
                    changes.append({"asset_id": token, "price": _short(price - SPREAD), "size": "200", "side": "BUY", "hash": "0", **best})
            if changes:
                event = {"event_type": "price_change", "market": "0x0", "timestamp": str(now), "price_changes": changes}
                await send({"type": "websocket.send", "text": json.dumps(event)})

    def _book(self, token: str, price: float, now: int) -> dict[str, Any]:
        bids = [{"price": _short(price - SPREAD - depth / 100), "size": "100"} for depth in (2, 1, 0)]
        asks = [{"price": _short(price + SPREAD + depth / 100), "size": "100"} for depth in (2, 1, 0)]
        return {"event_type": "book", "asset_id": token, "market": "0x0", "bids": bids, "asks": asks, "timestamp": str(now), "hash": "0"}


def _page(rows: list[dict[str, Any]], query: Mapping[str, str]) -> list[dict[str, Any]]:
    offset, limit = int(query.get("offset", 0)), int(query.get("limit", 20))
    return rows[offset : offset + limit]


def _short(price: float) -> str:
    """A price as it is sent: bounded, without the leading zero."""
    return f"{min(0.999, max(0.001, price)):.3f}".lstrip("0")
