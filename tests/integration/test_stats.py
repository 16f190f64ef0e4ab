"""Stats: what is counted, grouped by what, for whom."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from desk import stats, trader_story
from monitoring import clock as app_clock
from positions import trading
from tests.support.clocks import SteppingClock
from tests.support.factories import make_signal, make_trader, make_user
from tests.support.trading import BY_HAND, TradingDesk

pytestmark = pytest.mark.django_db


@pytest.fixture
def traded(clock: SteppingClock) -> TradingDesk:
    """One trade that won and one setup that expired."""
    desk = TradingDesk(clock)
    position = desk.open()
    desk.close(opened="101", low="101", high="102", close="102")
    trading.close(position, cause=BY_HAND, reason="target", now=clock.now)
    make_signal(desk.trader, status="expired", monitoring_started_at=clock.now)
    return desk


@pytest.mark.parametrize("key", stats.TABLES)
def test_every_grouping_can_be_read(traded: TradingDesk, key: str) -> None:
    for by in stats.TABLES[key][2]:
        table = stats.read(key, by=by, since=app_clock.now() - timedelta(days=1), user_id=None)
        assert (table.by, len({len(row) for row in table.rows})) == (by, 1)
        assert len(table.rows[0]) == len(table.columns) + 1


def test_the_figures_are_right(traded: TradingDesk, clock: SteppingClock) -> None:
    since = clock.now - timedelta(days=1)
    trades = stats.read("trades", by="symbol", since=since, user_id=None)
    row = dict(zip(["what", *trades.columns], trades.rows[0], strict=True))
    assert (row["what"], row["trades"], row["won %"]) == ("BTCUSDT", 1, Decimal("100.0"))
    assert row["net P&L"] > 0
    assert Decimal("0.5") < row["mean R"] < Decimal("1.1"), "two points over a stop two points away, less fees and slippage"
    setups = stats.read("setups", by="trader", since=since, user_id=None)
    row = dict(zip(["what", *setups.columns], setups.rows[0], strict=True))
    assert (row["signals"], row["entered"], row["expired"], row["won"], row["lost"]) == (2, 1, 1, 1, 0)
    later = stats.read("trades", by="symbol", since=clock.now + timedelta(days=1), user_id=None)
    assert later.rows == []


def test_a_trader_owner_counts_only_own(traded: TradingDesk, client: Client) -> None:
    owner = make_user()
    owner.groups.add(Group.objects.get(name="trader-owner"))
    client.force_login(owner)
    assert traded.trader.name not in client.get("/stats/?period=30d").content.decode()
    traded.trader.user = owner
    traded.trader.save()
    assert traded.trader.name in client.get("/stats/?period=30d").content.decode()


def test_a_spreadsheet_gets_numbers_and_no_formulas(traded: TradingDesk, client: Client) -> None:
    client.force_login(make_user(is_superuser=True))
    traded.trader.name = "=1+1"
    traded.trader.save()
    answer = client.get("/stats/?csv=trades&period=24h")
    assert answer["Content-Disposition"] == 'attachment; filename="trades-by-trader-24h.csv"'
    header, row = list(csv.reader(io.StringIO(answer.content.decode())))
    assert header[:3] == ["trader", "trades", "won %"]
    assert row[0] == "'=1+1"


@pytest.mark.parametrize("query", ["?period=forever", "?trades=1;drop", "?csv=nothing", "?questions=model&setups=source&trades=side"])
def test_junk_in_the_address_changes_nothing(traded: TradingDesk, client: Client, query: str) -> None:
    client.force_login(make_user(is_superuser=True))
    assert client.get(f"/stats/{query}").status_code == 200


def test_without_anything_it_says_so(client: Client) -> None:
    client.force_login(make_user(is_superuser=True))
    make_trader()
    assert client.get("/stats/").content.decode().count("Nothing in this period") == 3


class TestTraderPage:
    def test_the_funnel_and_what_happened_after_decisions(self, traded: TradingDesk, client: Client, clock: SteppingClock) -> None:
        for _ in range(6):
            traded.close(opened="102", low="102", high="103", close="103")
        found = trader_story.funnel(traded.trader.id)
        assert (found["signals"], found["entered"], found["won"], found["lost"], found["abandoned"]) == (2, 1, 1, 0, 1)
        [hold] = [row for row in trader_story.quality(traded.trader.id) if row.kind == "management"]
        count, move, share = hold.ahead[1]
        assert (count, round(move, 3), share) == (1, Decimal("0.980"), 100), "from 102 to 103"
        assert 20 not in hold.ahead, "twenty candles have not closed since"
        curve = trader_story.curves(traded.trader)["equity"]
        assert len(curve) == 1
        assert curve[0]["value"] > 0

    def test_it_is_shown_to_who_may_see_it(self, traded: TradingDesk, client: Client) -> None:
        owner = make_user()
        owner.groups.add(Group.objects.get(name="trader-owner"))
        client.force_login(owner)
        url = f"/traders/{traded.trader.id}/"
        assert client.get(url).status_code == client.get(f"{url}curves/").status_code == 404
        traded.trader.user = owner
        traded.trader.strategy = "<b>bold</b>"
        traded.trader.save()
        page = client.get(url).content.decode()
        assert "&lt;b&gt;bold" in page
        assert "What happened after its decisions" in page
