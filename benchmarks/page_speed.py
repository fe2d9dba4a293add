"""What a person at the page of avs serve waits for, in Chromium: used by serve_speed.py.

A time begins at the event of the key and ends after the frame that shows what it did was painted. So it holds up to two
frames of 17 ms of waiting for the screen.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

SENT = "() => !Object.keys(localStorage).some(key => key.startsWith('avs-marks:'))"
SHOWN = """until => { window.waited = new Promise(done => addEventListener("keydown", event => {
  const look = () => { if (!eval_(until)) return requestAnimationFrame(look);
    requestAnimationFrame(() => done(performance.now() - event.timeStamp)); };
  const eval_ = what => what === "focus" ? document.activeElement?.dataset.place !== before
    : what === "mark" ? document.querySelectorAll(".tile.yes").length > marked
    : !Object.keys(localStorage).some(key => key.startsWith("avs-marks:"));
  const before = document.activeElement?.dataset.place, marked = document.querySelectorAll(".tile.yes").length;
  requestAnimationFrame(look);
}, { capture: true, once: true })); }"""
SCROLL = """async () => {
  const grid = document.querySelector("[role=grid]"), tasks = [];
  const watch = new PerformanceObserver(list => tasks.push(...list.getEntries().map(one => one.duration)));
  watch.observe({ entryTypes: ["longtask"] });
  let most = 0, seen = new Set(), frames = 0;
  grid.scrollTop = 0;
  const frame = () => new Promise(requestAnimationFrame);
  while (true) {
    await frame(); await frame(); frames += 2;
    most = Math.max(most, document.querySelectorAll("*").length);
    for (const tile of grid.querySelectorAll(".tile")) seen.add(tile.dataset.place);
    if (grid.scrollTop + grid.clientHeight >= grid.scrollHeight - 1) break;
    grid.scrollTop += grid.clientHeight / 2;
  }
  await new Promise(done => setTimeout(done, 200));
  watch.disconnect();
  return { "DOM nodes": most, "tiles seen": seen.size, "tasks over 50 ms": tasks.length,
    "longest of them ms": Math.max(0, ...tasks), frames };
}"""


def make_pictures(folder: Path, shots: list[str]) -> None:
    """A picture for each shot of a list."""
    from PIL import Image

    from avs.video.keyframes import keyframe_path

    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 255, (9, 16, 3), dtype=np.uint8)).resize((480, 270)) for _ in range(20)]
    for number, shot in enumerate(shots):
        path = keyframe_path(folder, shot)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            pictures[number % len(pictures)].save(path, quality=85)


def page_times(root: str, query: dict[str, Any], repeats: int) -> dict[str, Any]:
    """Milliseconds from a key to what it does, and what scrolling 1,000 tiles takes.

    Args:
        query: of a judged topic.
    """
    from playwright.sync_api import expect, sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    found: dict[str, Any] = {}
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(f"{root}?query={quote(json.dumps(query))}")
        expect(page.locator(".tile").first).to_be_focused(timeout=60_000)
        for what, key, until in (
            ("keypress to visible focus", "ArrowRight", "focus"),
            ("mark to visible state", "y", "mark"),
            ("mark to xinfAP", "n", "sent"),
        ):
            times = []
            for _ in range(repeats):
                page.evaluate(SHOWN, until)
                page.keyboard.press(key)
                times.append(float(page.evaluate("() => window.waited")))
                while not page.evaluate(SENT):
                    page.evaluate("() => new Promise(requestAnimationFrame)")
            middle, late = np.percentile(times, [50, 95]).tolist()
            found[what] = {"p50_ms": round(middle, 1), "p95_ms": round(late, 1), "count": repeats}
        found["1,000 tiles scrolled end to end"] = page.evaluate(SCROLL)
        browser.close()
    return found
