"""Polymarket in graphs, against the simulated one over real sockets: the catalogue, earlier and live prices, what is odd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import websocket

from monitoring.feed import registry
from monitoring.feed.contract import Quote
from monitoring.feed.rest import RestClient
from monitoring.models import Candle
from tests.support import queue
from tests.support.clocks import START_MS, SteppingClock
from tests.support.exchange import RunningExchange, running_exchange
from tests.support.factories import make_user
from tests.support.sessions import make_session
from workflows import closes, execute, executions, polymarket, rows, templates
from workflows.models import WorkflowSession
from workflows.nodes.contract import Catalogue, NodeFailed

ALL = Catalogue((), 0, 1, 0, 0, 200)


@pytest.fixture
def exchange(clock: SteppingClock, settings: Any) -> Iterator[RunningExchange]:
    clock.forward(seconds=90)  # a candle is final once its successor is there
    with running_exchange(clock) as running:
        settings.MARKETS = {**settings.MARKETS, **running.addresses}
        yield running


class TestCatalogue:
    def test_outcomes_are_filtered_and_the_most_traded_come_first(self, exchange: RunningExchange) -> None:
        found = polymarket.outcomes(ALL)
        assert len(found) == 20
        assert [row.values["volume"] for row in found] == sorted((row.values["volume"] for row in found), reverse=True)
        politics = polymarket.outcomes(Catalogue(("Politics",), 0.05, 0.95, 1000, 50_000, 5))
        assert 1 <= len(politics) <= 5
        assert all(0.05 <= row.values["price"] <= 0.95 and row.values["volume"] >= 50_000 for row in politics)
        assert all(row.texts["category"] == "Politics" and row.texts["question"].endswith("?") for row in politics)

    def test_pages_are_read_until_the_last(self, exchange: RunningExchange, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(polymarket, "PAGE", 3)
        assert len(polymarket.outcomes(ALL)) == 20

    def test_both_outcomes_make_one(self, exchange: RunningExchange) -> None:
        prices: dict[str, float] = {}
        for row in polymarket.outcomes(ALL):
            prices[row.texts["question"]] = prices.get(row.texts["question"], 0) + row.values["price"]
        assert all(total == pytest.approx(1, abs=0.002) for total in prices.values())

    def test_earlier_prices_are_those_that_were(self, exchange: RunningExchange, clock: SteppingClock) -> None:
        [row] = polymarket.outcomes(Catalogue((), 0, 1, 0, 0, 1))
        before = polymarket.history(token=row.symbol, start_ms=clock.ms - 3_600_000, end_ms=clock.ms, fidelity=5)
        assert len(before) >= 11
        assert before == sorted(before)
        clock.forward(seconds=600)
        later = dict(polymarket.history(token=row.symbol, start_ms=clock.ms - 4_200_000, end_ms=clock.ms, fidelity=5))
        assert all(later[at] == price for at, price in before), "a price depends on its moment only"

    @pytest.mark.parametrize(
        "market",
        [
            {"active": True, "closed": False},
            {"active": True, "closed": False, "question": "?", "clobTokenIds": "{", "outcomes": "[]", "outcomePrices": "[]"},
            {"active": True, "closed": False, "question": "?", "clobTokenIds": ["1"], "outcomes": ["a", "b"], "outcomePrices": ["0.5"]},
        ],
    )
    def test_what_is_not_as_documented_is_named(self, market: dict[str, Any]) -> None:
        with pytest.raises(NodeFailed, match="not as documented") as caught:
            list(polymarket._rows(market, ""))
        assert caught.value.is_shared

    def test_lists_may_be_real_lists(self) -> None:
        market = {"active": True, "closed": False, "question": "?", "clobTokenIds": ["1"], "outcomes": ["a"], "outcomePrices": [0.5]}
        [row] = polymarket._rows(market, "")
        assert (row.symbol, row.values) == ("1", {"price": 0.5, "liquidity": 0.0, "volume": 0.0})

    def test_a_catalogue_that_is_away_is_nobodys_fault(self, settings: Any) -> None:
        settings.MARKETS = {
            **settings.MARKETS,
            "polymarket": {"ws": "ws://127.0.0.1:1", "rest": "http://127.0.0.1:1", "catalog": "http://127.0.0.1:1"},
        }
        with pytest.raises(NodeFailed, match="does not answer") as caught:
            polymarket.outcomes(ALL)
        assert caught.value.is_shared


class TestSimulatedWire:
    """The simulated one is read by the feed's own adapter, which shares no code with it."""

    def test_the_market_channel_speaks_as_documented(self, exchange: RunningExchange, clock: SteppingClock) -> None:
        adapter = registry.adapter("polymarket")
        tokens = [row.symbol for row in polymarket.outcomes(ALL)[:12]]
        connection = websocket.create_connection(adapter.stream_url(registry.stream_address("polymarket")), timeout=10)
        connection.send(adapter.subscribe([(token, "") for token in tokens], request_id=1))
        first = adapter.ticks(connection.recv().encode())
        assert [tick.symbol for tick in first] == tokens
        assert all(isinstance(tick, Quote) and tick.bid and tick.ask and tick.bid < tick.ask for tick in first)
        connection.send("PING")
        assert connection.recv() == "PONG"
        clock.forward(seconds=3600)
        moved = adapter.ticks(connection.recv().encode())
        assert {tick.symbol for tick in moved} <= set(tokens)
        connection.close()

    def test_the_feed_reads_its_instruments_candles_and_time(self, exchange: RunningExchange, clock: SteppingClock) -> None:
        client = RestClient(market="polymarket")
        instruments = client.instruments()
        assert len(instruments) == 20
        client.measure_time()
        start = START_MS - 10 * 300_000
        [page] = client.candles(symbol=instruments[0].symbol, interval="5m", start=start, end=START_MS - 600_000)
        assert page[0].open_time == start
        assert all(0 < candle.low <= candle.high < 1 for candle in page)

    def test_unknown_paths_and_markets_are_refused(self, exchange: RunningExchange) -> None:
        assert requests.get(f"{exchange.url}/polymarket/nothing", timeout=5).status_code == 404
        refused = requests.get(f"{exchange.url}/polymarket/prices-history?market=1&startTs=1&endTs=2", timeout=5)
        assert (refused.status_code, json.loads(refused.text)["error"]) == (400, "unknown market")


@pytest.mark.django_db(transaction=True)
class TestInGraphs:
    def test_the_shipped_template_finds_what_gained(self, exchange: RunningExchange, clock: SteppingClock) -> None:
        user = make_user()
        made = templates.use(user=user, key="polymarket_momentum")
        run = executions.start(user=user, root=made.root_id)
        queue.run_all()
        found = executions.get(user=user, execution_id=run.id)
        assert found.status == "completed", found.error_message
        rows_of = {node: found.outputs[node][port]["items"] for node, port in (("poly", "rows"), ("mom", "rows"), ("up", "passed"))}
        assert rows_of["poly"]
        assert len(rows_of["mom"]) == len(rows_of["poly"])
        assert all(row["values"]["momentum"] > 5 for row in rows_of["up"])

    def test_what_an_active_session_saw_is_followed_and_gives_live_prices(self, exchange: RunningExchange, clock: SteppingClock) -> None:
        user = make_user()
        template = next(found for found in templates.shipped() if found.key == "polymarket_momentum")
        made = make_session(user, graph={"nodes": template.nodes, "edges": template.edges})
        with rows.system():
            active = {"status": "active", "trigger_interval": "5m", "trigger_market": "binance", "active_since": clock.now}
            WorkflowSession.objects.filter(id=made.id).update(**active, trigger_symbols=["BTCUSDT"])
        run = executions.start(user=user, root=made.root_id, is_trial=False)
        with rows.system():
            execute.WorkflowExecution.objects.filter(id=run.id).update(trigger="close")
        queue.run_all()
        tokens = [key[1] for key in closes.watched() if key[0] == "polymarket"]
        assert tokens
        prices = dict.fromkeys(("open", "high", "low", "close"), "0.123") | {"volume": 1, "quote_volume": 1, "trades": 1}
        opened = clock.ms - clock.ms % 300_000 - 300_000
        Candle.objects.create(market="polymarket", symbol=tokens[0], interval="5m", open_time=opened, received_at=clock.now, **prices)
        again = executions.start(user=user, root=made.root_id)
        queue.run_all()
        items = executions.get(user=user, execution_id=again.id).outputs["poly"]["rows"]["items"]
        assert {row["symbol"]: row["values"]["price"] for row in items}[tokens[0]] == 0.123
