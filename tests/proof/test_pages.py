"""Pages in a real browser: stopping everything by keyboard, and reading why something was decided."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.support.browser import chromium, login, wait_for, watch
from tests.support.processes import RunningDesk, running_desk, wait_until

pytestmark = pytest.mark.proof
BANNER = "() => !document.getElementById('banner').hidden && document.getElementById('banner').textContent"
JUDGED = """
    SELECT s.id FROM workflow_schedules s JOIN position_management_decisions d ON d.position_id = s.entity_id
     WHERE s.workflow_type = 'position_management' GROUP BY s.id HAVING count(*) >= 3 LIMIT 1
"""
ACTIVE = "SELECT id FROM workflow_schedules WHERE is_active ORDER BY started_at DESC LIMIT 1"

# An open position on a paper account, in a symbol that has no instrument and no candle; and the symbol's return.
GONE = """
WITH one AS (SELECT p.* FROM positions p JOIN exchange_accounts a ON a.id = p.account_id AND a.kind = 'paper'
              WHERE p.status = 'open' LIMIT 1),
held AS (INSERT INTO paper_positions (account_id, symbol, quantity, cost) SELECT account_id, 'GONEUSDT', 1, 10 FROM one)
INSERT INTO positions (account_id, trader_id, market, symbol, side, status, contracts, planned_contracts, initial_contracts, cost,
                       entry_price, stop_loss, initial_stop_loss, take_profit, opened_at)
SELECT account_id, trader_id, market, 'GONEUSDT', 'long', 'open', 1, 1, 1, 10, 10, 9, 9, 12, opened_at FROM one RETURNING id
"""
BACK = """
WITH candle AS (INSERT INTO candles (market, symbol, interval, open_time, open, high, low, close, volume, quote_volume, trades, source,
                                     received_at)
    SELECT market, 'GONEUSDT', interval, open_time, 10, 10, 10, 10, 1, 10, 1, 'backfill', received_at
      FROM candles ORDER BY open_time DESC LIMIT 1)
INSERT INTO instruments (market, symbol, base, quote, tick_size, step_size, min_quantity, min_notional)
VALUES ('binance', 'GONEUSDT', 'GONE', 'USDT', 0.01, 0.001, 0, 0) RETURNING symbol
"""
OF_ALL = "SELECT state FROM halts WHERE resumed_at IS NULL AND scope = 'all'"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDesk]:
    with running_desk(tmp_path_factory.mktemp("pages") / "var", speed=20) as running:
        yield running


@pytest.fixture(scope="module")
def context(desk: RunningDesk) -> Iterator[BrowserContext]:
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        login(context, url=desk.url, password=desk.password()).close()
        yield context


def opened(context: BrowserContext, url: str) -> tuple[Page, list[str]]:
    page = context.new_page()
    complaints = watch(page)
    page.goto(url)
    wait_for(page, "() => document.getElementById('s-clock').textContent !== '–'")
    return page, complaints


def test_a_halt_by_keyboard_is_on_every_open_page_within_a_second(desk: RunningDesk, context: BrowserContext) -> None:
    first, complaints = opened(context, desk.url)
    second, more = opened(context, f"{desk.url}admin/monitoring/trader/")
    first.bring_to_front()
    first.keyboard.press("!")
    wait_for(first, "() => document.querySelectorAll('#switch-facts li').length >= 3")
    first.keyboard.type("proof by keyboard")
    first.keyboard.press("Control+Enter")
    wait_for(first, "() => !document.getElementById('switch-done').hidden")
    began = time.monotonic()
    for page in (first, second):
        wait_for(page, BANNER, seconds=1)
    assert time.monotonic() - began < 1
    assert "proof by keyboard" in second.inner_text("#banner")
    assert desk.one("SELECT state FROM halts WHERE resumed_at IS NULL") == "halted"
    assert desk.one("SELECT count(*) FROM audit_log WHERE action = 'switch' AND address = '127.0.0.1'") == 1
    second.click("#banner .link")
    second.fill("#switch-reason", "proof is over")
    second.click("#switch-go")
    wait_for(first, "() => document.getElementById('banner').hidden", seconds=2)
    assert complaints == more == []
    first.close()
    second.close()


def test_flatten_needs_its_word_and_ends_flat(desk: RunningDesk, context: BrowserContext) -> None:
    wait_until(lambda: desk.one("SELECT count(*) FROM positions WHERE status = 'open'"), seconds=90, what="a position")
    page, complaints = opened(context, desk.url)
    page.click("[data-switch=flatten]")
    page.fill("#switch-reason", "close it all")
    page.click("#switch-go")
    assert page.is_visible("#switch-word"), "without the word the browser refuses"
    assert desk.one("SELECT count(*) FROM halts WHERE resumed_at IS NULL") == 0
    page.fill("#switch-word", "FLATTEN")
    page.click("#switch-go")
    wait_until(lambda: desk.one("SELECT state FROM halts WHERE resumed_at IS NULL") == "halted", seconds=60, what="everything to be flat")
    assert desk.one("SELECT count(*) FROM positions WHERE status <> 'closed'") == 0
    assert desk.one("SELECT count(*) FROM paper_positions WHERE quantity <> 0") == 0
    assert complaints == []
    page.close()
    desk.manage("trading", "resume", "--reason", "the proof goes on")


def test_a_flatten_with_a_position_that_refuses_to_close_says_so_until_it_is_flat(desk: RunningDesk, context: BrowserContext) -> None:
    """One whose symbol has no price any more: nobody would fill its order."""
    wait_until(lambda: desk.one("SELECT count(*) FROM positions WHERE status = 'open'"), seconds=90, what="a position")
    desk.manage("trading", "reduce", "--reason", "nothing new while we look")
    stuck = desk.one(GONE)
    assert stuck
    page, complaints = opened(context, desk.url)
    page.click("[data-switch=flatten]")
    page.fill("#switch-reason", "going home")
    page.fill("#switch-word", "FLATTEN")
    page.click("#switch-go")
    others = "SELECT count(*) FROM positions WHERE status <> 'closed' AND symbol <> 'GONEUSDT'"
    wait_until(lambda: desk.one(others) == 0, seconds=60, what="the others to be closed")
    wait_for(page, "() => document.getElementById('attention').innerText.includes('refuse to close')", seconds=30)
    page.goto(f"{desk.url}switches/")
    assert "1 left (GONEUSDT)" in page.inner_text(".note-error")
    assert desk.one("SELECT state FROM halts WHERE resumed_at IS NULL AND scope = 'all'") == "reducing", (
        "it is not halted before it is flat"
    )
    told = "SELECT count(*) FROM events WHERE kind = 'flatten_progress' AND NOT (data -> 'done')::boolean"
    before = desk.one(told)
    page.wait_for_timeout(4000)
    assert desk.one(told) == before, "a flatten that is stuck is told once"

    assert desk.one(BACK) == "GONEUSDT", "it is traded again"
    wait_until(lambda: desk.one("SELECT status FROM positions WHERE id = %s", stuck) == "closed", seconds=60, what="it to be closed")
    wait_until(
        lambda: desk.one("SELECT state FROM halts WHERE resumed_at IS NULL AND scope = 'all'") == "halted", seconds=60, what="the halt"
    )
    page.goto(f"{desk.url}switches/")
    assert page.locator(".note-error").count() == 0
    assert complaints == []
    page.close()
    desk.manage("trading", "resume", "--reason", "the proof goes on")


def test_a_traders_own_switch_is_on_the_desks_list(desk: RunningDesk, context: BrowserContext) -> None:
    page, complaints = opened(context, desk.url)
    line = page.locator(".traders li", has_text="Momentum turn")
    line.get_by_role("button", name="Halt").click()
    page.fill("#switch-reason", "only this one")
    page.click("#switch-go")
    wait_for(page, "() => [...document.querySelectorAll('.traders em.halted')].length === 1")
    assert (
        desk.one("SELECT t.name FROM halts h JOIN traders t ON h.scope = 'trader:' || t.id WHERE h.resumed_at IS NULL") == "Momentum turn"
    )
    wait_for(page, "() => !document.getElementById('switch').open")
    line.get_by_role("button", name="Resume").click()
    page.fill("#switch-reason", "on again")
    page.click("#switch-go")
    wait_for(page, "() => !document.querySelector('.traders em.halted')")
    page.goto(f"{desk.url}audit/?action=switch&text=only+this")
    assert "only this one" in page.inner_text("tbody")
    assert complaints == []
    page.close()


def test_a_decision_can_be_read_with_its_chart_and_evidence(desk: RunningDesk, context: BrowserContext) -> None:
    schedule = wait_until(lambda: desk.one(JUDGED), seconds=120, what="a position that was judged")
    page, complaints = opened(context, f"{desk.url}workflows/{schedule}/")
    wait_for(page, "() => document.querySelectorAll('#chart canvas').length > 0")
    lines = page.locator("#closes [data-run]")
    assert lines.count() >= 3
    chosen = lines.nth(2)
    chosen.click()
    wait_for(page, "() => document.querySelector('#closes [aria-current]') !== null")
    closed = chosen.locator("time").inner_text()
    wait_for(page, "closed => document.querySelector('#evidence h2').textContent.includes(closed)", argument=closed)
    page.locator("#evidence summary", has_text="snapshot").click()
    assert '"close"' in page.inner_text("#evidence pre")
    position = desk.one("SELECT entity_id FROM workflow_schedules WHERE id = %s", schedule)
    page.goto(f"{desk.url}positions/{position}/")
    wait_for(page, "() => document.querySelectorAll('#chart canvas').length > 0")
    assert "Stop history" in page.inner_text("main")
    assert complaints == []
    page.close()


def test_the_forming_candle_is_shown_and_said_to_be_never_used(desk: RunningDesk, context: BrowserContext) -> None:
    page, complaints = opened(context, desk.url)

    def shown() -> bool:
        page.goto(f"{desk.url}workflows/{desk.one(ACTIVE)}/")
        return page.locator(".key-forming").count() > 0

    wait_until(shown, seconds=120, what="a workflow that is active while its page is opened")
    assert "still forming, never used for a decision" in page.inner_text(".legend")
    wait_for(page, "() => Number(document.getElementById('chart').dataset.forming) > 0")
    assert complaints == []
    page.close()


def test_the_feed_is_walked_by_keys(desk: RunningDesk, context: BrowserContext) -> None:
    page, complaints = opened(context, desk.url)
    wait_for(page, "() => document.querySelectorAll('#feed .row a').length > 5")
    for _ in range(3):
        page.keyboard.press("j")
    page.keyboard.press("k")
    rows = page.locator("#feed .row")
    assert rows.nth(1).get_attribute("aria-current") == "true"
    page.keyboard.press("?")
    assert page.is_visible("#keys")
    page.keyboard.press("Escape")
    while not page.locator("#feed [aria-current] a").count():
        page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: url != desk.url)
    page.locator("body").press("g")
    page.keyboard.press("x")
    page.wait_for_url(f"{desk.url}stats/")
    assert complaints == []
    page.close()


def test_on_a_phone_nothing_is_wider_than_the_screen(desk: RunningDesk, context: BrowserContext) -> None:
    schedule = wait_until(lambda: desk.one(JUDGED), seconds=120, what="a position that was judged")
    page, complaints = opened(context, desk.url)
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("", "switches/", f"workflows/{schedule}/"):
        page.goto(desk.url + path)
        wait_for(page, "() => document.getElementById('s-clock').textContent !== '–'")
        width = page.evaluate("() => document.documentElement.scrollWidth")
        assert width <= 390, f"/{path} is {width} wide"
        page.keyboard.press("!")
        assert page.is_visible("#switch-go")
        page.keyboard.press("Escape")
    assert complaints == []
    page.close()
