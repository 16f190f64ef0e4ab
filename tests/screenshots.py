"""Pictures of every page, light and dark, into docs/: `make screenshots`. A demo runs first, so that there is something to see."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Error, Page

from tests.support.browser import chromium, login, wait_for
from tests.support.processes import ROOT, RunningDesk, running_desk, wait_until

DOCS = ROOT / "docs"
SIZE = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
CLOSED = "SELECT count(*) FROM positions WHERE status = 'closed'"
HELD_BY = "SELECT account_id FROM positions WHERE status = 'open' LIMIT 1"
JUDGED = """
    SELECT s.id, s.entity_id, s.trader_id FROM workflow_schedules s
      JOIN position_management_decisions d ON d.position_id = s.entity_id
     WHERE s.is_active GROUP BY s.id HAVING count(*) >= 8 LIMIT 1
"""


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="screenshots-"))
    try:
        with running_desk(folder / "var", speed=60) as desk, chromium() as browser:
            wait_until(lambda: (desk.one(CLOSED) or 0) >= 6 and desk.ask(JUDGED), seconds=600, what="a busy hour")
            for theme in ("dark", "light"):
                _all(desk, browser, theme)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _all(desk: RunningDesk, browser: Browser, theme: str) -> None:
    context = browser.new_context(viewport=SIZE, color_scheme="dark" if theme == "dark" else "light")  # type: ignore[arg-type]
    page = login(context, url=desk.url, password=desk.password())
    [(schedule, position, trader)] = wait_until(lambda: desk.ask(JUDGED), seconds=300, what="a position that is being managed")
    pages = {
        "desk": "",
        "workflow": f"workflows/{schedule}/",
        "position": f"positions/{position}/",
        "trader": f"traders/{trader}/",
        "stats": "stats/?period=24h",
        "admin": "admin/monitoring/workflowschedule/",
        "account": f"accounts/{desk.one(HELD_BY)}/",
    }
    for name, path in pages.items():
        _show(page, desk.url + path)
        page.screenshot(path=DOCS / f"{name}-{theme}.png")
    _sessions(desk, page, theme)
    _show(page, desk.url)
    page.keyboard.press("!")
    wait_for(page, "() => document.querySelectorAll('#switch-facts li').length >= 3")
    page.screenshot(path=DOCS / f"switch-{theme}.png")
    page.keyboard.press("Escape")
    if theme == "dark":
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        _show(page, desk.url)
        page.screenshot(path=DOCS / "desk-phone.png")
        _show(page, desk.url + "sessions/")
        page.screenshot(path=DOCS / "sessions-phone.png")
    context.close()


def _sessions(desk: RunningDesk, page: Page, theme: str) -> None:
    """Three templates in use, one of them active and open in the editor after a run."""
    for place in (1, 4, 2):
        _show(page, desk.url + "sessions/")
        page.locator(".templates form").nth(place).locator("select").select_option(label="Oversold bounce")
        page.locator(".templates form").nth(place).locator("button").click()
        wait_for(page, "() => document.querySelectorAll('.palette button').length >= 10")
        page.get_by_role("button", name="Activate").click()
        wait_for(page, "() => document.getElementById('status').textContent === 'active'")
    page.get_by_role("button", name="Run once", exact=True).click()
    wait_for(page, "() => document.querySelectorAll('.node footer.did-done').length === 4", seconds=60)
    page.locator('.react-flow__node[data-id="ind"]').click()
    page.get_by_role("tab", name="output").click()
    page.wait_for_timeout(4000)  # a few closes
    page.screenshot(path=DOCS / f"editor-{theme}.png")
    _show(page, desk.url + "sessions/")
    page.screenshot(path=DOCS / f"sessions-{theme}.png")


def _show(page: Page, url: str) -> None:
    try:
        page.goto(url)
    except Error as error:  # the page before, a position's, was just reading itself again
        if "ERR_ABORTED" not in error.message:
            raise
        page.goto(url)
    wait_for(page, "() => document.getElementById('s-clock').textContent !== '–'")
    if page.locator("#chart, .curve").count():
        wait_for(page, "() => document.querySelectorAll('canvas').length > 0 || document.querySelector('.curve.empty, .empty')")
    page.wait_for_timeout(1500)  # charts draw in their own time


if __name__ == "__main__":
    main()
