"""The whole path with real processes: from an empty folder to a closed position on a page in a real browser."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.analysts import StubEndpoint, completion, verdict
from tests.support.browser import chromium, login, wait_for, watch
from tests.support.processes import ROOT, RunningDesk, running_desk, wait_until

pytestmark = pytest.mark.proof
SPEED = 20

# Every row of the path, from the signal to the flat position, joined by its keys.
PATH = """
SELECT s.id
  FROM signals s
  JOIN screenings c ON c.signal_id = s.id AND c.status = 'fired'
  JOIN signal_analyses a ON a.signal_id = s.id AND a.kind = 'initial'
  JOIN positions p ON p.signal_id = s.id AND p.status = 'closed' AND p.contracts = 0
  JOIN orders entry ON entry.position_id = p.id AND entry.leg = 'entry' AND entry.status = 'filled' AND entry.analysis_id IS NOT NULL
  JOIN fills f ON f.order_id = entry.id
  JOIN orders stop ON stop.position_id = p.id AND stop.leg = 'stop'
  JOIN workflow_schedules w ON w.entity_id = p.id AND w.stop_reason = 'position_closed'
  JOIN workflow_runs r ON r.schedule_id = w.id AND r.status = 'decided'
  JOIN position_management_decisions d ON d.run_id = r.id AND d.position_id = p.id
  JOIN signal_analyses m ON m.id = d.analysis_id AND m.kind = 'management'
  JOIN events e ON e.position_id = p.id AND e.kind = 'position_closed'
 WHERE s.status = 'closed' LIMIT 1
"""
REMEMBER_ROWS = """() => {
    window.seen = [];
    const add = node => node.dataset && node.dataset.seq && window.seen.push(Number(node.dataset.seq));
    const watcher = new MutationObserver(records => records.forEach(record => record.addedNodes.forEach(add)));
    watcher.observe(document.getElementById("feed"), {childList: true});
}"""
NEWER_ROW = "first => Number(document.querySelector('#feed .row').dataset.seq) > first"
TWICE = "SELECT count(*) FROM (SELECT client_order_id FROM paper_orders GROUP BY 1 HAVING count(*) > 1) t"

MARKED = "SELECT count(*) FROM events WHERE text LIKE 'marked %%'"
MARK = """
INSERT INTO events (kind, level, text, data)
SELECT 'notification_test', 'info', %s, '{}' WHERE NOT EXISTS (SELECT 1 FROM events WHERE text = %s)
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDesk]:
    with StubEndpoint(waits_then_talks_nonsense).running() as model:
        data = tmp_path_factory.mktemp("desk") / "var"
        with running_desk(
            data, speed=SPEED, LLM_BASE_URL=model.url, LLM_MODEL="stub", LLM_MODELS_FILE=str(ROOT / "tests" / "models.toml")
        ) as running:
            yield running


def waits_then_talks_nonsense(request: dict[str, Any]) -> tuple[int, Any]:
    """A model that waits on every new signal, and answers what follows with nonsense."""
    first = request["response_format"]["json_schema"]["name"] == "initial_decision"
    return completion(verdict("wait") if first else "I would rather not say.")


def decided(desk: RunningDesk) -> int:
    return int(desk.one("SELECT count(*) FROM workflow_runs WHERE status = 'decided'") or 0)


class TestWholePath:
    def test_the_first_decision_comes_within_a_minute_of_the_start(self, desk: RunningDesk) -> None:
        wait_until(lambda: desk.one("SELECT count(*) FROM signal_analyses"), seconds=60, what=f"a first decision\n{desk.tail()}")
        assert time.monotonic() - desk.started_at < 60

    def test_a_signal_goes_from_new_to_a_closed_position_with_every_row_linked(self, desk: RunningDesk) -> None:
        assert wait_until(lambda: desk.one(PATH), seconds=180, what=f"a position to close\n{desk.tail()}")

    def test_the_page_shows_decisions_as_they_are_made(self, desk: RunningDesk, tmp_path: Path) -> None:
        with chromium() as browser:
            page = login(browser.new_context(), url=desk.url, password=desk.password())
            complaints = watch(page)
            page.reload()
            page.wait_for_selector("#feed .row")
            page.wait_for_selector("#live[data-state=live]")
            first = int(page.get_attribute("#feed .row", "data-seq") or 0)
            page.wait_for_selector(f"#feed .row[data-seq='{first}'] ~ .row")
            wait_for(page, NEWER_ROW, argument=first, seconds=60)
            page.wait_for_selector("#s-listener.good")
            assert page.inner_text("#c-decisions") != "–"
            page.screenshot(path=tmp_path / "desk.png")
            assert complaints == []

    def test_the_feed_loses_and_repeats_nothing_over_a_web_restart(self, desk: RunningDesk) -> None:
        with chromium() as browser:
            page = login(browser.new_context(), url=desk.url, password=desk.password())
            page.evaluate(REMEMBER_ROWS)
            wait_for(page, "() => window.seen.length > 5", seconds=60)
            for pid in desk.pids("uvicorn config.asgi"):
                os.kill(pid, signal.SIGKILL)
            before = page.evaluate("Math.max(...window.seen)")
            wait_for(page, "before => Math.max(...window.seen) > before + 10", argument=before, seconds=90)
            seen = page.evaluate("window.seen")
        low, high = min(seen), max(seen)
        written = [row[0] for row in desk.ask("SELECT seq FROM events WHERE seq BETWEEN %s AND %s ORDER BY seq", low, high)]
        assert sorted(seen) == written
        assert len(seen) == len(set(seen))

    def test_the_feed_loses_and_repeats_nothing_of_a_thousand_events_over_a_death_of_postgresql(self, desk: RunningDesk) -> None:
        with chromium() as browser:
            page = login(browser.new_context(), url=desk.url, password=desk.password())
            page.evaluate(REMEMBER_ROWS)
            page.wait_for_selector("#live[data-state=live]")
            writer = threading.Thread(target=_write_events, args=[desk, 1000])
            writer.start()
            wait_until(lambda: (desk.one(MARKED) or 0) > 300, seconds=60, what="the first events")
            os.kill(_postmaster(desk)[0], signal.SIGKILL)
            writer.join(120)
            assert desk.one(MARKED) == 1000
            last = desk.one("SELECT max(seq) FROM events WHERE text LIKE 'marked %%'")
            wait_for(page, "last => Math.max(...window.seen) >= last", argument=last, seconds=60)
            seen = page.evaluate("window.seen")
        written = {row[0] for row in desk.ask("SELECT seq FROM events WHERE text LIKE 'marked %%'")}
        assert len(written) == 1000
        assert written - set(seen) == set(), "none lost"
        assert len(seen) == len(set(seen)), "none repeated"

    def test_a_halt_from_the_shell_reaches_the_open_page_and_stops_entries(self, desk: RunningDesk) -> None:
        with chromium() as browser:
            page = login(browser.new_context(), url=desk.url, password=desk.password())
            page.wait_for_selector("#live[data-state=live]")
            desk.manage("trading", "halt", "--reason", "proof of the switch")
            page.wait_for_selector("#banner:not([hidden])", timeout=5_000)
            assert "proof of the switch" in page.inner_text("#banner")
            halted_at = desk.one("SELECT halted_at FROM halts WHERE resumed_at IS NULL")
            skipped = "SELECT count(*) FROM workflow_runs WHERE reason = 'halted'"
            wait_until(lambda: desk.one(skipped), seconds=30, what="closes to be skipped")
            assert desk.one("SELECT count(*) FROM orders WHERE leg IN ('entry', 'add') AND intended_at > %s", halted_at) == 0
            desk.manage("trading", "resume", "--reason", "proof is done")
            page.wait_for_selector("#banner[hidden]", state="attached", timeout=5_000)

    def test_everything_survives_the_death_of_anything(self, desk: RunningDesk) -> None:
        """kill -9 of listener, workers, exchange and PostgreSQL, one after the other; then every close is accounted for."""
        for pattern in ("run_candle_listener", "qcluster", "run_simulated_exchange", "pginstall18/bin/postgres"):
            before = decided(desk)
            victims = desk.pids(pattern) if "postgres" not in pattern else _postmaster(desk)
            assert victims, pattern
            os.kill(victims[0], signal.SIGKILL)
            wait_until(
                lambda before=before: decided(desk) > before + 3, seconds=90, what=f"decisions after the death of {pattern}\n{desk.tail()}"
            )
        assert desk.one(TWICE) == 0
        assert desk.one("SELECT count(*) FROM position_management_decisions GROUP BY run_id HAVING count(*) > 1") is None
        doubled = "SELECT count(*) FROM (SELECT position_id FROM orders WHERE leg = 'entry' GROUP BY 1 HAVING count(*) > 1) t"
        assert desk.one(doubled) == 0
        # Whatever the kills left half done is finished within the leases.
        stuck = "SELECT count(*) FROM workflow_runs WHERE status = 'claimed' AND lease_until < now() - interval '30 s'"
        wait_until(lambda: desk.one(stuck) == 0, seconds=60, what="leases to be taken over")
        naked = """SELECT count(*) FROM positions p WHERE p.status = 'open' AND p.contracts > 0
                    AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.position_id = p.id AND o.leg = 'stop' AND o.status = 'open')"""
        wait_until(lambda: desk.one(naked) == 0, seconds=60, what="every position to have its stop")
        # The exchange itself is asked: every close since the start has its candle, its ledger rows and its screenings.
        assert "0 closes unaccounted for" in desk.manage("verify_closes", "--hours", "6")

    def test_five_failures_in_a_row_disable_a_workflow_also_across_a_restart(self, desk: RunningDesk) -> None:
        desk.ask("UPDATE traders SET analyst = 'llm', max_reanalyses = 99 WHERE name IN ('Momentum turn', 'Trend pullback')")
        failing = "SELECT count(*) FROM workflow_schedules WHERE is_active AND consecutive_errors BETWEEN 2 AND 4"
        wait_until(lambda: desk.one(failing), seconds=90, what=f"a workflow to fail twice\n{desk.tail()}")
        os.kill(desk.pids("qcluster")[0], signal.SIGKILL)
        disabled = "SELECT data FROM events WHERE kind = 'workflow_disabled' LIMIT 1"
        event = wait_until(lambda: desk.one(disabled), seconds=90, what=f"a workflow to be disabled\n{desk.tail()}")
        assert event["errors"] == 5
        assert (
            desk.one("SELECT count(*) FROM notification_deliveries d JOIN events e ON e.id = d.event_id WHERE e.kind = 'workflow_disabled'")
            > 0
        )
        off = """SELECT s.consecutive_errors, s.is_active, count(r.id)
                   FROM workflow_schedules s JOIN workflow_runs r ON r.schedule_id = s.id AND r.status = 'failed' AND r.reason = 'invalid'
                  WHERE s.stop_reason = 'error_limit_exceeded' GROUP BY s.id"""
        for errors, active, failures in desk.ask(off):
            assert (errors, active, failures) == (5, False, 5)
        before = decided(desk)
        wait_until(lambda: decided(desk) > before, seconds=60, what="the others to go on")

    def test_ctrl_c_leaves_nothing_behind_within_fifteen_seconds(self, desk: RunningDesk) -> None:
        assert desk.stop() < 15, desk.tail()
        assert desk.leftovers() == []
        assert "stopped" in desk.tail()

    def test_it_starts_again_where_it_was(self, desk: RunningDesk) -> None:
        desk.lines.clear()
        desk.start()
        closed = "SELECT count(*) FROM workflow_runs WHERE status = 'decided'"
        before = desk.one(closed)
        wait_until(lambda: (desk.one(closed) or 0) > before, seconds=60, what=f"decisions after a restart\n{desk.tail()}")
        assert not any("password" in line for line in desk.lines), "the password is shown once"


def _postmaster(desk: RunningDesk) -> list[int]:
    pid_file = desk.pgdata / "postmaster.pid"
    return [int(pid_file.read_text().splitlines()[0])]


def _write_events(desk: RunningDesk, count: int) -> None:
    """Some sixty a second; one that fails, or whose fate is open, is tried again under its own text until it is there."""
    for number in range(count):
        text = f"marked {number}"
        while not desk.one("SELECT 1 FROM events WHERE text = %s", text):
            desk.ask(MARK, text, text)
        time.sleep(0.01)  # the pace of the traffic, not a wait for anything
