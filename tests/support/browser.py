"""A real Chromium on pages of this machine."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, with a fresh profile."""
    path = shutil.which("chromium")
    assert path, "Chromium is not installed; `make proof` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def login(context: BrowserContext, *, url: str, password: str) -> Page:
    """A page on the desk, after the login form."""
    page = context.new_page()
    page.goto(url)
    page.fill("#id_username", "operator")
    page.fill("#id_password", password)
    page.click("[type=submit]")
    page.wait_for_url(url)
    return page


def watch(page: Page) -> list[str]:
    """Collects what the page complains about: script errors, policy violations, requests that leave the host."""
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type == "error" and "WebSocket" not in message.text else None
    )
    page.on("request", lambda request: None if "//127.0.0.1:" in request.url else complaints.append(f"left the host: {request.url}"))
    return complaints


def wait_for(page: Page, script: str, *, argument: object = None, seconds: float = 30) -> None:
    """
    Wait until a script gives something true.

    Playwright's own `wait_for_function` evaluates text inside the page, which the strict policy rightly refuses.
    """
    deadline = time.monotonic() + seconds
    while not page.evaluate(script, argument):
        assert time.monotonic() < deadline, f"waited {seconds} s for {script}"
        page.wait_for_timeout(50)
