"""A graph drawn in a real browser from nothing, tried, activated, and turned into a signal by a close of the simulated exchange."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page

from config import embedded_postgres
from tests.support.browser import chromium, login, wait_for, watch
from tests.support.processes import ROOT, RunningDesk, running_desk, wait_until

pytestmark = pytest.mark.proof
CONDITIONS = [("rsi_14", "lt", "100"), ("bb_percent_20", "lt", "500")]  # an oversold bounce that every market makes: percent of both
MAKE_ONE = """
from monitoring.models import User
from workflows import sessions
print(sessions.create(user=User.objects.first(), name="Kept").root_id)
"""
READY = "() => document.querySelectorAll('.palette button').length >= 10"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDesk]:
    with running_desk(tmp_path_factory.mktemp("editor") / "var", speed=20) as running:
        yield running


@pytest.fixture(scope="module")
def context(desk: RunningDesk) -> Iterator[BrowserContext]:
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        login(context, url=desk.url, password=desk.password()).close()
        yield context


def connect(page: Page, source: str, target: str, *, output: str = "rows", into: str = "rows") -> None:
    """Drag from port to port."""
    start = page.locator(f'.react-flow__node[data-id="{source}"] .source[data-handleid="{output}"]')
    end = page.locator(f'.react-flow__node[data-id="{target}"] .target[data-handleid="{into}"]')
    a, b = start.bounding_box(), end.bounding_box()
    assert a
    assert b
    page.mouse.move(a["x"] + a["width"] / 2, a["y"] + a["height"] / 2)
    page.mouse.down()
    page.mouse.move(b["x"], b["y"] + b["height"] / 2, steps=8)
    page.mouse.move(b["x"] + b["width"] / 2, b["y"] + b["height"] / 2)
    page.mouse.up()


def place(page: Page, label: str, *, x: int, y: int) -> None:
    """Drop a type of node from the palette on the canvas."""
    canvas = page.locator(".canvas").bounding_box()
    assert canvas
    page.locator(".palette button", has_text=label).first.drag_to(page.locator(".canvas"), target_position={"x": x, "y": y})


def fill(page: Page, name: str, text: str) -> None:
    page.fill(f"#set-{name}", text)
    page.locator(f"#set-{name}").blur()


def draw(page: Page) -> None:
    """Candle close → indicators → filter → signal."""
    place(page, "Candle close", x=40, y=80)
    fill(page, "symbols", "BTCUSDT, ETHUSDT")
    page.select_option("#set-interval", "1m")
    place(page, "Indicators", x=260, y=80)
    fill(page, "names", "rsi_14, bb_percent_20")
    place(page, "Filter", x=40, y=330)
    for place_, (field, operator, value) in enumerate(CONDITIONS):
        page.get_by_role("button", name="Add a condition").click()
        for label, text in (("field", field), ("value", value)):
            page.get_by_label(label, exact=True).nth(place_).fill(text)
        page.get_by_label("operator").nth(place_).select_option(operator)
    page.get_by_label("value", exact=True).last.blur()
    place(page, "Create signal", x=280, y=330)
    page.locator("#set-trader").select_option(label="Oversold bounce")
    for source, target, output in (
        ("candle_close_1", "indicators_1", "rows"),
        ("indicators_1", "filter_1", "rows"),
        ("filter_1", "create_signal_1", "passed"),
    ):
        connect(page, source, target, output=output)


def test_an_oversold_bounce_is_drawn_tried_activated_and_becomes_a_signal(desk: RunningDesk, context: BrowserContext) -> None:
    page = context.new_page()
    complaints = watch(page)
    page.goto(f"{desk.url}sessions/")
    page.locator("summary", has_text="New").click()
    page.fill(".popover [name=name]", "Oversold bounce")
    page.get_by_role("button", name="Create").click()
    wait_for(page, READY)
    draw(page)
    assert page.locator(".react-flow__edge").count() == 3
    wait_for(page, "() => !document.querySelector('.node .mark') && !document.getElementById('problems')")
    page.keyboard.press("Control+s")
    wait_for(page, "() => document.getElementById('version').textContent === 'v2' && !document.getElementById('dirty').textContent")

    page.get_by_role("button", name="Run once", exact=True).click()
    wait_for(page, "() => document.querySelectorAll('.node footer.did-done').length === 4", seconds=60)
    page.locator('.react-flow__node[data-id="indicators_1"]').click()
    page.get_by_role("tab", name="output").click()
    wait_for(page, "() => document.querySelectorAll('.output tbody tr').length === 2")
    assert "rsi_14" in page.inner_text(".output thead")
    page.locator('.react-flow__node[data-id="create_signal_1"]').click()
    wait_for(page, "() => document.querySelector('.output')?.innerText.includes('a trial')")
    assert desk.one("SELECT count(*) FROM signals WHERE source = 'session'") == 0

    page.get_by_role("button", name="Activate").click()
    wait_for(page, "() => document.getElementById('status').textContent === 'active'")
    wait_until(lambda: desk.one("SELECT count(*) FROM signals WHERE source = 'session'"), seconds=60, what="a signal of the session")
    page.get_by_role("tab", name="runs").click()
    page.get_by_role("button", name="Pause").click()
    wait_for(page, "() => document.getElementById('status').textContent === 'paused'")
    assert complaints == []
    page.close()


def test_editing_is_undone_copied_versioned_and_never_overwrites(desk: RunningDesk, context: BrowserContext) -> None:
    page = context.new_page()
    complaints = watch(page)
    page.goto(f"{desk.url}sessions/")
    page.locator(".templates form", has=page.locator("button")).nth(2).locator("button").click()
    wait_for(page, READY)
    wait_for(page, "() => document.querySelectorAll('.react-flow__node').length === 4")

    page.locator('.react-flow__node[data-id="low"]').click()
    page.keyboard.press("Control+c")
    page.keyboard.press("Control+v")
    wait_for(page, "() => document.querySelectorAll('.react-flow__node').length === 5")
    wait_for(page, "() => document.querySelector('[data-id=\"filter_1\"] .mark')")  # nothing is connected to it
    page.keyboard.press("Control+z")
    wait_for(page, "() => document.querySelectorAll('.react-flow__node').length === 4")
    page.keyboard.press("Control+Shift+z")
    wait_for(page, "() => document.querySelectorAll('.react-flow__node').length === 5")
    page.keyboard.press("Control+z")

    other = context.new_page()
    other.goto(page.url)
    wait_for(other, READY)
    for tab, text in ((other, "theirs"), (page, "mine")):
        tab.locator('.react-flow__node[data-id="low"]').click()
        tab.fill("#node-label", text)
        tab.locator("#node-label").blur()
        tab.keyboard.press("Control+s")
    wait_for(page, "() => document.getElementById('said')?.innerText.includes('v2 was saved by operator')")
    page.get_by_role("button", name="Load theirs").click()
    wait_for(page, "() => document.getElementById('version').textContent === 'v2'")
    wait_for(page, "() => document.querySelector('.react-flow__node[data-id=low]').innerText.includes('theirs')")

    page.get_by_role("tab", name="versions").click()
    page.locator(".lines button", has_text="v1").first.click()
    wait_for(page, "() => document.querySelector('.changes')?.innerText.includes('data.label')")
    page.get_by_role("button", name="Restore v1").click()
    wait_for(page, "() => document.getElementById('version').textContent === 'v3'")
    wait_for(page, "() => document.querySelector('.react-flow__node[data-id=low]').innerText.includes('Oversold')")

    foreign = (
        '{"nodes": [{"id": "1", "type": "input", "data": {"label": "Elsewhere", "kept": 7}, "position": {"x": 0, "y": 0}}], "edges": []}'
    )
    page.set_input_files("input[type=file]", {"name": "elsewhere.json", "mimeType": "application/json", "buffer": foreign.encode()})
    wait_for(page, "() => document.querySelector('.node.group-unknown')?.innerText.includes('unknown type input')")
    page.keyboard.press("Control+s")
    wait_for(page, "() => document.getElementById('version').textContent === 'v4'")
    root = page.get_attribute("#editor", "data-root")
    saved = page.evaluate("root => fetch(`/api/v1/sessions/${root}`).then((answer) => answer.json())", root)
    assert [found["data"]["kept"] for found in saved["nodes"]] == [7]
    # The server's refusal of the save that came second is one the browser tells of.
    assert [text for text in complaints if "409" not in text] == []
    other.close()
    page.close()


def test_a_dump_holds_everybodys_sessions(desk: RunningDesk) -> None:
    """Row-level security must not make backups fail, or half of one."""
    made = desk.manage("shell", "-c", MAKE_ONE).split()[-1]
    dumped = subprocess.run([sys.executable, "manage.py", "pg", "dump"], env=desk.environment, cwd=ROOT, capture_output=True, check=True)
    program = embedded_postgres.binaries.bin_directory() / "pg_restore"
    restored = subprocess.run(
        [program, "-f", "-", "--data-only", "-t", "workflow_sessions"], input=dumped.stdout, capture_output=True, check=True
    )
    assert made in restored.stdout.decode()
