"""The page of avs serve in a real Chromium, with everything that it complains about."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    expect = sync_playwright = None

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Route

ASK = "apt-get install chromium; pip install playwright"
PATIENCE_MS = 20_000  # a busy machine is slow, not wrong


class Watched:
    """A browser whose pages must not complain.

    Args:
        root: address of the server, with a slash at its end.
    """

    def __init__(self, browser: Browser, root: str) -> None:
        self.browser, self.root = browser, root
        self.faults: list[str] = []
        self._contexts: list[BrowserContext] = []
        self._shared: BrowserContext | None = None

    def page(self, address: str | None = None, *, own: bool = False, **context: Any) -> Page:
        """A new page; `own` or any option of a context: in a context of its own."""
        if own or context or self._shared is None:
            made = self.browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context})
            made.set_default_timeout(PATIENCE_MS)
            self._contexts.append(made)
            if not (own or context):
                self._shared = made
        else:
            made = self._shared
        page = made.new_page()
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", lambda request: self._asked(request.url))
        page.goto(address or self.root)
        return page

    def forget(self) -> list[str]:
        """Close all pages, each of which holds a connection; what they complained of."""
        for context in self._contexts:
            context.close()
        self._contexts, self._shared = [], None
        faults, self.faults = self.faults, []
        return faults

    def end(self) -> None:
        """Close all pages; none must have complained."""
        faults = self.forget()
        assert not faults, faults

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.faults.append(f"{kind}: {text}")

    def _asked(self, address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("blob", "data") and parts.netloc != urlsplit(self.root).netloc:
            self.faults.append(f"a request to another host: {address}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. Skips where there is none, unless AVS_NEED_CHROMIUM is 1."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None or sync_playwright is None:
        if os.environ.get("AVS_NEED_CHROMIUM") == "1":
            pytest.fail(f"the page is not tested: {ASK}")
        pytest.skip(ASK)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


def shots_of(page: Page) -> list[str]:
    """The shots of all tiles, from first to last, whatever is in the document."""
    found: dict[int, str] = {}
    grid = page.get_by_role("grid")
    step = grid.evaluate("grid => { grid.scrollTop = 0; return grid.clientHeight / 2 }")
    while True:
        page.evaluate("() => new Promise(requestAnimationFrame)")
        page.evaluate("() => new Promise(requestAnimationFrame)")
        tiles = grid.locator(".tile").evaluate_all(
            "tiles => tiles.map(tile => [tile.dataset.place, tile.dataset.shot])"
        )
        found |= {int(place): shot for place, shot in tiles}
        if grid.evaluate("grid => grid.scrollTop + grid.clientHeight >= grid.scrollHeight - 1"):
            return [found[place] for place in sorted(found)]
        grid.evaluate("(grid, step) => { grid.scrollTop += step }", step)


def until(page: Page, true: Callable[[], bool]) -> None:
    """Return when something is true; meanwhile the page goes on."""
    ends = time.monotonic() + PATIENCE_MS / 1000
    while not true():
        assert time.monotonic() < ends, "it does not become true"
        page.evaluate("() => new Promise(requestAnimationFrame)")


def sent(page: Page) -> None:
    """Return when the server has every mark of the page."""
    kept = "() => Object.keys(localStorage).some(key => key.startsWith('avs-marks:'))"
    until(page, lambda: not page.evaluate(kept))


def address(root: str, **query: object) -> str:
    """The address of a question, which is about a red circle unless it says otherwise."""
    return f"{root}?query={quote(json.dumps({'parts': [{'text': 'a red circle'}], **query}))}"


def asked(watched: Watched, **query: object) -> Page:
    """A page that shows the list of a question; its first tile has the focus."""
    page = watched.page(address(watched.root, **query))
    expect(page.locator(".tile").first).to_be_focused()
    return page


def altered(page: Page, path: str, **changed: Any) -> None:
    """Let the server's answer to a path differ."""

    def answer(route: Route) -> None:
        found = route.fetch()
        route.fulfill(response=found, json={**found.json(), **changed})

    page.route(path, answer)
