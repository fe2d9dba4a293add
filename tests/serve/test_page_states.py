"""What the page says when there is nothing to show, when something is missing, and when the server is away."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import pytest
from live_server import SHOTS, TinyServed, running
from pages import Watched, address, altered, asked, expect, sent, shots_of, until
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Route


def test_a_slow_first_question_never_overwrites_a_fast_second_one(watched: Watched) -> None:
    page = asked(watched)
    held: list[Route] = []
    page.route("**/api/v1/search", lambda route: held.append(route))
    words = page.get_by_label("Question")
    for before, text in enumerate(("a dog", "two people dance")):
        words.fill(text)
        words.press("Enter")
        until(page, lambda before=before: len(held) > before)
    slow, fast = held
    fast.continue_()
    expect(page.locator(".busy")).to_be_hidden()
    wanted = shots_of(page)
    body = {"seq": 1, "stage": "final", "list": "late", "results": [], "systems": [], "ms": {}, "taken": [],
            "warnings": [], "total": 0, "rows": 0, "of": 0, "exact": True}  # fmt: skip
    slow.fulfill(body=json.dumps(body) + "\n", content_type="application/x-ndjson")
    page.evaluate("() => new Promise(requestAnimationFrame)")
    assert shots_of(page) == wanted
    expect(words).to_have_value("two people dance")


def test_nothing_is_asked_yet(watched: Watched) -> None:
    page = watched.page()
    expect(page.get_by_text(f"{SHOTS} shots of 3 videos")).to_be_visible()
    page.get_by_role("button", name="662 two people dance").click()
    expect(page.locator(".tile").first).to_be_focused()
    expect(page.get_by_label("Question")).to_have_value("two people dance")


def test_no_shots_are_left_and_which_filter_took_them(watched: Watched) -> None:
    page = watched.page(address(watched.root, filter={"videos": ["00001"], "not_videos": ["00001"]}))
    message = page.locator(".message")
    expect(message.get_by_role("heading", name="No shots")).to_be_visible()
    expect(message.get_by_role("listitem").first).to_contain_text("took")


def test_a_question_that_cannot_be_answered_says_why(watched: Watched) -> None:
    page = watched.page()
    for query, words in (
        ({"by": ["nobody"]}, "nobody"), ({"parts": [{"shot": "shot00009_9"}]}, "shot00009_9"),
        ({"feedback": "gone"}, "no such feedback"), ({"nonsense": 1}, "nonsense"),
    ):  # fmt: skip
        page.goto(address(watched.root, **query))
        expect(page.locator(".message")).to_contain_text(words)
        expect(page.locator(".busy")).to_be_hidden()
    watched.forget()


def test_an_address_that_cannot_be_read_says_so(watched: Watched) -> None:
    page = watched.page()
    for query in ("{nope", "[1]", "null", '{"parts": "hello"}', '{"parts": [null]}', '{"by": 5}'):
        page.goto(f"{watched.root}?query={quote(query)}")
        expect(page.get_by_role("alert")).to_contain_text("cannot be read")


def test_a_missing_picture_is_grey_with_its_shot(watched: Watched) -> None:
    page = watched.page()
    page.route("**/media/keyframe/**", lambda route: route.fulfill(status=404, json={"error": {"what": "none"}}))
    page.goto(address(watched.root))
    tile = page.locator(".tile").first
    expect(tile.locator(".none")).to_have_text(tile.get_attribute("data-shot") or "-")
    expect(page.locator(".tile img")).to_have_count(0)
    watched.forget()


def test_a_topic_without_judgments_says_so(watched: Watched) -> None:
    page = asked(watched, topic="663")
    expect(page.locator(".panel")).to_contain_text("This topic is not in the judgments.")
    expect(page.locator(".figures")).to_have_count(0)


def test_the_collection_is_still_being_opened(watched: Watched) -> None:
    page = watched.page("about:blank")
    opening: dict[str, object] = {"ready": False, "loading": {"what": "shot table", "done": 43, "of": 100}}

    def status(route: Route) -> None:
        found = route.fetch()
        route.fulfill(response=found, json={**found.json(), **opening})

    page.route("**/api/v1/status", status)
    page.goto(watched.root)
    expect(page.get_by_role("status")).to_contain_text("shot table 43 %, search works when it is there")
    opening.clear()
    expect(page.get_by_label("Question")).to_be_focused()


def test_texts_of_the_collection_are_never_markup(watched: Watched) -> None:
    page = watched.page("about:blank")
    evil = "<img src=x onerror=alert(1)>"
    topics = [
        {
            "id": "661",
            "text": evil,
            "narrative": evil,
            "judged": True,
            "relevant": 1,
            "pooled": 2,
            "lists": [],
            "marks": {},
        }
    ]
    altered(page, "**/api/v1/topics", topics=topics)
    error = dict.fromkeys(("what", "where", "got", "wanted", "next_step"), evil)
    page.route("**/api/v1/search", lambda route: route.fulfill(status=422, json={"error": error}))
    page.goto(watched.root)
    expect(page.get_by_role("button", name=evil)).to_be_visible()
    page.get_by_role("button", name=evil).click()
    expect(page.locator(".message h2")).to_have_text(evil)
    expect(page.locator(".panel")).to_be_attached()
    assert page.locator("img[src=x]").count() == 0
    watched.forget()


def test_marks_are_kept_while_the_server_is_away(watched: Watched) -> None:
    page = asked(watched, topic="662")
    away = [True]
    page.route("**/api/v1/**", lambda route: route.abort() if away else route.continue_())
    page.keyboard.press("y")
    expect(page.locator(".tile").first).to_have_class(re.compile("yes"))
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    page.keyboard.press("n")
    away.clear()
    expect(page.get_by_role("alert")).to_be_hidden()
    sent(page)
    page.reload()
    expect(page.locator(".tile.yes")).to_have_count(1)
    expect(page.locator(".tile.no")).to_have_count(1)
    watched.forget()


def test_marks_that_get_no_answer_are_sent_again(watched: Watched) -> None:
    page = watched.page("about:blank")
    page.add_init_script("const real = AbortSignal.timeout; AbortSignal.timeout = () => real.call(AbortSignal, 200)")
    page.goto(address(watched.root, topic="662"))
    expect(page.locator(".tile").first).to_be_focused()
    unanswered: list[Route] = []
    page.route("**/api/v1/marks", lambda route: route.continue_() if unanswered else unanswered.append(route))
    page.keyboard.press("y")
    until(page, lambda: bool(unanswered))
    sent(page)
    page.reload()
    expect(page.locator(".tile.yes")).to_have_count(1)


def test_the_page_recovers_when_the_server_begins_anew(tiny: TinyServed, tmp_path: Path, watched: Watched) -> None:
    first = tiny.options(tmp_path)
    with running(first) as server:
        port = int(re.findall(r":(\d+)/", server.root)[0])
        page = watched.page(server.root + "?query=" + quote(json.dumps({"parts": [{"text": "a dog"}]})))
        expect(page.locator(".tile").first).to_be_focused()
        wanted = shots_of(page)
    page.locator(".tile").first.focus()
    page.keyboard.press("y")
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    with running(tiny.options(tmp_path, port=port)):
        expect(page.get_by_role("alert")).to_be_hidden()
        sent(page)
        page.get_by_label("Question").fill("two people dance")
        page.keyboard.press("Enter")
        expect(page.locator(".busy")).to_be_hidden()
        expect(page.locator(".counts")).to_contain_text(f"{SHOTS} of {SHOTS}")
        page.go_back()
        expect(page.get_by_label("Question")).to_have_value("a dog")
        expect(page.locator(".tile.yes")).to_have_count(1)
        assert shots_of(page) == wanted
        page.close()
    watched.forget()


def test_a_thousand_tiles_are_few_nodes(watched: Watched) -> None:
    page = watched.page("about:blank", viewport={"width": 1920, "height": 1080})

    def many(route: Route) -> None:
        found = json.loads(route.fetch().text().splitlines()[-1])
        results = [{**found["results"][at % SHOTS], "rank": at + 1} for at in range(1000)]
        route.fulfill(body=json.dumps({**found, "total": 1000, "rows": 1000, "results": results}) + "\n")

    page.route("**/api/v1/search", many)
    page.goto(address(watched.root))
    expect(page.locator(".tile").first).to_be_focused()
    most = page.evaluate("""async () => {
      const grid = document.querySelector('.grid');
      let most = 0;
      for (let top = 0; top <= grid.scrollHeight; top += grid.clientHeight / 2) {
        grid.scrollTop = top;
        await new Promise(requestAnimationFrame);
        await new Promise(requestAnimationFrame);
        most = Math.max(most, document.querySelectorAll('*').length);
      }
      return most;
    }""")
    assert most <= 3000
    page.locator(".tile").last.focus()
    page.keyboard.press("End")
    expect(page.locator(".tile:focus .rank")).to_have_text("1000")


def test_every_control_has_a_name_and_one_tile_is_reached_by_tab(watched: Watched) -> None:
    page = asked(watched, topic="661")
    unnamed = page.evaluate("""() => [...document.querySelectorAll('button, a, input, select, summary, [role]')]
      .filter(one => !one.hidden && one.getAttribute('role') !== 'presentation' && !one.closest('[aria-hidden=true]'))
      .filter(one => !(one.getAttribute('aria-label') || one.textContent.trim() || one.closest('label')))
      .filter(one => !['alert', 'status'].includes(one.role))
      .map(one => one.outerHTML.slice(0, 120))""")
    assert unnamed == []
    assert page.locator('.tile[tabindex="0"]').count() == 1
    tile = page.locator(".tile:focus")
    assert re.match(r"rank 1, shot\d+_\d+", tile.get_attribute("aria-label") or "")
    grid = page.get_by_role("grid", name="Results")
    assert int(grid.get_attribute("aria-rowcount") or 0) * int(grid.get_attribute("aria-colcount") or 0) >= SHOTS
    page.keyboard.press("Shift+Tab")
    expect(tile).to_have_count(0)
    page.keyboard.press("Tab")
    expect(page.locator(".tile").first).to_be_focused()


@pytest.mark.parametrize("size", [(1024, 768), (512, 384)])  # the second: 200 % zoom of the first
def test_no_page_scrolls_sideways(watched: Watched, size: tuple[int, int]) -> None:
    wide = "all => all.filter(one => one.scrollWidth > innerWidth).map(one => one.className || one.tagName)"
    page = watched.page("about:blank", viewport={"width": size[0], "height": size[1]})
    for path in ("", "study", "compare", "video/00001", "basket", "sessions", "api"):
        page.goto(address(watched.root + path, topic="661"))
        expect(page.locator(".tile, .study, select, .muted, .call").first).to_be_visible()
        if not path:
            expect(page.locator(".tile").first).to_be_focused()
            expect(page.locator(".tile").first).to_be_in_viewport(ratio=0.9)
        until(page, lambda: page.locator("body, main, main > *").evaluate_all(wide) == [])  # also while it is laid out


@pytest.mark.parametrize(("scheme", "least", "most"), [("light", 200, 255), ("dark", 0, 60)])
def test_the_page_is_light_or_dark_as_the_system_is(
    watched: Watched, tmp_path: Path, scheme: str, least: float, most: float
) -> None:
    """Keeps pictures where AVS_SCREENSHOTS says, of all pages, to be looked at."""
    kept = os.environ.get("AVS_SCREENSHOTS")
    folder = Path(kept or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page = watched.page("about:blank", color_scheme=scheme)
    for path in ("", "study", "compare?a=one-shot&b=two-shot&topic=661", "video/00001", "sessions", "api"):
        page.goto(address(watched.root, topic="661") if not path else f"{watched.root}{path}")
        expect(page.locator(".tile, .study, .sides, .call").first).to_be_visible()
        name = f"{path.partition('?')[0].replace('/', '-') or 'search'}-{scheme}.png"
        page.screenshot(path=folder / name)
        with Image.open(folder / name) as picture:
            corner = np.asarray(picture.convert("L"))[:12, -12:]  # nothing is there but the ground
        assert least <= corner.mean() <= most
        if not kept:
            break


def test_a_read_only_server_leaves_marks_in_the_browser(tiny: TinyServed, tmp_path: Path, watched: Watched) -> None:
    with running(tiny.options(tmp_path, read_only=True)) as server:
        page = watched.page(address(server.root, topic="661"))
        expect(page.locator(".tile").first).to_be_focused()
        page.keyboard.press("y")
        expect(page.locator(".tile.yes")).to_have_count(1)
        expect(page.get_by_role("button", name="Export")).to_have_count(0)
        page.reload()
        expect(page.locator(".tile.yes")).to_have_count(1)
        expect(page.locator(".panel")).to_contain_text("kept in this browser alone")
        page.locator(".tile").nth(3).focus()
        page.keyboard.press("n")
        page.keyboard.press("]")
        expect(page.get_by_label("Question")).to_have_value("two people dance")
        expect(page.locator(".tile").first).to_be_focused()
        page.keyboard.press("z")
        expect(page.locator(".toast")).to_have_text("nothing to undo")  # for this topic
        page.keyboard.press("[")
        expect(page.locator(".tile.yes")).to_have_count(1)
        expect(page.locator(".tile.no")).to_have_count(1)
        page.keyboard.press("z")
        expect(page.locator(".tile.no")).to_have_count(0)
        page.close()
    watched.forget()


def test_the_token_of_the_address_becomes_a_cookie(tiny: TinyServed, tmp_path: Path, watched: Watched) -> None:
    with running(tiny.options(tmp_path, token=True)) as server:
        page = watched.page(server.address, own=True)
        expect(page.get_by_label("Question")).to_be_focused()
        assert "#" not in page.url and page.evaluate("() => document.cookie") == ""
        page.goto(address(server.root))
        expect(page.locator(".tile").first).to_be_focused()
        stranger = watched.page(server.root, own=True)
        expect(stranger.get_by_role("alert")).to_contain_text("for those who know its token")
        watched.forget()
