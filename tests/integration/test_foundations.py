"""What holds the rest: tables, defaults, jobs, settings, the installation."""

from __future__ import annotations

import os
import pydoc
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection

from monitoring import clock as app_clock
from monitoring import installation, intervals, jobs
from monitoring.models import Installation, Trader, WorkflowSchedule
from positions.models import ManagementEffectiveness, MonitoringEffectiveness
from tests.support.clocks import START_MS, SteppingClock
from tests.support.factories import make_schedule, make_trader
from tests.support.trading import TradingDesk

ROOT = Path(__file__).parents[2]


def test_every_job_resolves_to_a_function() -> None:
    for job in jobs.Job:
        assert callable(pydoc.locate(job.value)), job


@pytest.mark.django_db
def test_a_job_argument_that_the_queue_would_swallow_is_refused() -> None:
    with pytest.raises(ValueError, match="timeout"):
        jobs.enqueue(jobs.Job.FLATTEN, timeout=5)


def test_nobody_but_the_clock_asks_for_the_time_of_day() -> None:
    asking = re.compile(r"datetime\.(now|utcnow|today)\(|timezone\.now\(|\btime\.time\(|date\.today\(")
    sources = [path for app in ("monitoring", "positions", "workflows", "desk") for path in (ROOT / app).rglob("*.py")]
    assert len(sources) > 100
    found = [str(path.relative_to(ROOT)) for path in sources if asking.search(path.read_text())]
    assert found == ["monitoring/clock.py", "desk/management/commands/run_desk.py"], "run_desk begins the clock's epoch"


def test_a_candle_that_is_still_forming_is_for_pages_alone() -> None:
    asking = re.compile(r"\bforming\.read\(|client\.forming\(|\bFormingCandle\b")
    sources = [path for app in ("monitoring", "positions", "workflows", "desk") for path in (ROOT / app).rglob("*.py")]
    found = {str(path.relative_to(ROOT)) for path in sources if asking.search(path.read_text())}
    feed = {"monitoring/feed/contract.py", "monitoring/feed/parsing.py", "monitoring/feed/rest.py"}
    assert found - feed == {"desk/forming.py", "desk/workflow_views.py"}


def test_every_setting_and_command_is_documented() -> None:
    settings_text = (ROOT / "docs" / "settings.md").read_text()
    named = re.findall(r'env\.\w+\("([A-Z_]+)"', (ROOT / "config" / "settings.py").read_text())
    assert [name for name in named if name not in settings_text and name != "DESK_PROCESS"] == []
    everything = "".join(
        (ROOT / name).read_text() for name in ("README.md", "docs/architecture.md", "docs/operations.md", "docs/performance.md")
    )
    commands = [path.stem for path in ROOT.glob("*/management/commands/*.py") if path.stem != "__init__"]
    assert [name for name in commands if name not in everything] == []


@pytest.mark.django_db
class TestTables:
    def test_no_migration_is_missing(self) -> None:
        call_command("makemigrations", "--check", "--dry-run", verbosity=0)

    def test_rules_and_defaults_hold_for_rows_written_by_sql(self) -> None:
        trader = make_trader()
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO traders (user_id, name, symbols) VALUES (%s, 'by sql', '{BTCUSDT}')"
                " RETURNING id, max_reanalyses, state, conditions",
                [trader.user_id],
            )
            key, reanalyses, state, raw = cursor.fetchone()
        assert (reanalyses, state, raw) == (5, "running", "[]")
        assert Trader.objects.get(id=key).min_confidence_to_enter == Decimal("0.6")

    def test_updated_at_is_kept_by_the_database(self) -> None:
        schedule = make_schedule(make_trader())
        before = WorkflowSchedule.objects.get(id=schedule.id).updated_at
        WorkflowSchedule.objects.filter(id=schedule.id).update(execution_count=1)
        assert WorkflowSchedule.objects.get(id=schedule.id).updated_at > before

    def test_one_active_schedule_per_entity(self) -> None:
        schedule = make_schedule(make_trader())
        with pytest.raises(IntegrityError, match="schedule_one_active_per_entity"):
            make_schedule(schedule.trader, entity_id=schedule.entity_id)

    @pytest.mark.parametrize("interval", intervals.LENGTH_MS)
    def test_sql_and_python_agree_on_intervals(self, interval: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT interval_ms(%s)", [interval])
            assert cursor.fetchone()[0] == intervals.length_ms(interval)

    def test_app_time_in_sql_follows_the_installation(self) -> None:
        with connection.cursor() as cursor:
            Installation.objects.create(market_source="x", clock_epoch=Decimal(1_700_000_000), clock_speed=Decimal(60))
            cursor.execute("SELECT extract(epoch FROM app_now()), extract(epoch FROM clock_timestamp())")
            app, real = cursor.fetchone()
        assert float(app) == pytest.approx(1_700_000_000 + (float(real) - 1_700_000_000) * 60, abs=1)


@pytest.mark.django_db(transaction=True)
def test_every_migration_can_be_undone() -> None:
    try:
        call_command("migrate", "positions", "zero", verbosity=0)
        call_command("migrate", "monitoring", "0001", verbosity=0)
    finally:
        call_command("migrate", verbosity=0)


@pytest.mark.django_db
class TestInstallation:
    def test_a_database_belongs_to_one_clock_and_source(self, settings) -> None:
        installation.claim()
        installation.claim()
        settings.CLOCK_SPEED, settings.CLOCK_EPOCH = Decimal(12), Decimal(1_700_000_000)
        with pytest.raises(installation.WrongInstallation, match="clock speed 1"):
            installation.claim()

    def test_another_source_is_refused(self, settings) -> None:
        installation.claim()
        settings.MARKETS = {**settings.MARKETS, "binance": {"ws": "wss://x", "rest": "https://elsewhere"}}
        with pytest.raises(installation.WrongInstallation, match="elsewhere"):
            installation.claim()


class TestClock:
    def test_runs_at_its_speed_from_its_epoch(self, settings) -> None:
        settings.CLOCK_SPEED, settings.CLOCK_EPOCH = Decimal(60), Decimal(1000)
        assert app_clock.from_real(real_s=1000) == 1_000_000
        assert app_clock.from_real(real_s=1001) == 1_060_000

    def test_milliseconds_survive_the_way_through_a_datetime(self) -> None:
        for ms in (START_MS, START_MS + 1, START_MS + 999):
            assert app_clock.to_ms(app_clock.at(ms)) == ms


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MARKET", "mtgox", "allowed are"),
        ("MARKET_WS_URL", "http://x", "ws or wss"),
        ("CLOCK_SPEED", "fast", "decimal number"),
        ("CLOCK_SPEED", "12", "CLOCK_EPOCH"),
        ("ANALYST", "oracle", "llm, rules"),
        ("ANALYST", "llm", "LLM_BASE_URL"),
        ("WEB_PORT", "99999", "1 to 65535"),
        ("DJANGO_DEBUG", "perhaps", "true, yes"),
        ("DATABASE_URL", "sqlite:///x", "postgresql://"),
        ("DATABASE_URL_FILE", "/nowhere", "can't be read"),
        ("LLM_TIMEOUT_SECONDS", "0", "1 to 600"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_its_name(variable: str, value: str, message: str) -> None:
    environment = {**os.environ, variable: value, "DJANGO_SETTINGS_MODULE": "config.settings"}
    done = subprocess.run(
        [sys.executable, "-c", "import config.settings"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert variable.removesuffix("_FILE") in last
    assert message in last


def test_a_fast_clock_is_refused_with_a_real_exchange() -> None:
    environment = {**os.environ, "CLOCK_SPEED": "12", "CLOCK_EPOCH": "1700000000"}
    environment |= {"MARKET_WS_URL": "wss://data-stream.binance.vision", "MARKET_REST_URL": "https://data-api.binance.vision"}
    done = subprocess.run(
        [sys.executable, "-c", "import config.settings"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert "only 1 is allowed" in done.stderr


@pytest.mark.django_db
class TestEffectiveness:
    def test_both_views_sum_up_what_happened(self, clock: SteppingClock) -> None:
        desk = TradingDesk(clock)
        position = desk.open()
        signal = position.signal
        assert signal is not None
        type(signal).objects.filter(id=signal.id).update(monitoring_started_at=clock.at_hours_ago(2))
        desk.close()
        desk.close(high="104.5", close="104.2")
        monitored = MonitoringEffectiveness.objects.get(trader=desk.trader)
        assert (monitored.total_monitored, monitored.entered_trades, monitored.abandoned_setups) == (1, 1, 0)
        assert monitored.avg_hours_to_entry == pytest.approx(Decimal(2))
        assert monitored.win_rate_after_monitoring == 1
        managed = ManagementEffectiveness.objects.get(trader=desk.trader)
        assert (managed.avg_decisions_per_trade, managed.managed_win_rate) == (1, 1)
        assert managed.profit_retention_ratio == 1
