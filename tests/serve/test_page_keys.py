"""Every key does what help says, and none of it while one types or holds Ctrl."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from pages import Watched, expect, shots_of, until
from pages import asked as asked_of

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

KEYS = """() => import('/static/keys.js').then(
  keys => Object.fromEntries(Object.keys(keys.KEYS).map(one => [one, keys.keysOf(one)])))"""
PRESS = """([key, changed, held]) => {
  const event = new KeyboardEvent('keydown', { key, shiftKey: changed, ctrlKey: held === 'ctrl',
    metaKey: held === 'meta', bubbles: true, cancelable: true });
  document.activeElement.dispatchEvent(event);
  return event.defaultPrevented;
}"""
GO = "path => { history.pushState({ inside: true }, '', path); dispatchEvent(new PopStateEvent('popstate')) }"


def asked(watched: Watched, **query: object) -> Page:
    return asked_of(watched, **{"topic": "661", **query})


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_keys_of_a_question(watched: Watched) -> None:
    page = asked(watched)
    words, systems, topic = page.get_by_label("Question"), page.locator(".controls summary"), page.locator("#topic")
    press(page, "/")
    expect(words).to_be_focused()
    press(page, "Escape")
    expect(page.locator(".tile").first).to_be_focused()
    press(page, "2")
    expect(systems).to_have_text("two-shot")
    press(page, "2")
    expect(systems).to_have_text("2 systems")
    press(page, "t")
    expect(topic).to_be_focused()
    page.locator(".tile").first.focus()
    press(page, "]")
    expect(words).to_have_value("two people dance")
    press(page, "[")
    expect(words).to_have_value("a red circle")
    expect(page.locator(".tile").first).to_be_focused()
    shot = page.locator(".tile").first.get_attribute("data-shot")
    press(page, "m")
    expect(words).to_have_value(f"shot:{shot}")


def test_keys_that_move(watched: Watched) -> None:
    page = asked(watched)
    last = str(len(shots_of(page)) - 1)
    columns = int(page.get_by_role("grid").get_attribute("aria-colcount") or 0)
    focus = page.locator(".tile:focus")
    page.locator(".tile").first.focus()
    row = columns * 2
    for key, place in (
        ("ArrowRight", 1), ("ArrowDown", 1 + columns), ("ArrowLeft", columns), ("ArrowUp", 0), ("End", int(last)),
        ("Home", 0), ("PageDown", row), ("PageUp", 0),
    ):  # fmt: skip
        press(page, key)
        if key == "PageDown":
            expect(focus).not_to_have_attribute("data-place", "0")
        else:
            expect(focus).to_have_attribute("data-place", str(place))
        expect(focus).to_be_in_viewport()
    assert page.locator('.tile[tabindex="0"]').count() == 1


def test_keys_that_look(watched: Watched) -> None:
    page = asked(watched)
    press(page, " ")
    expect(page.locator(".tile .playing")).to_have_count(1)
    press(page, " ")
    expect(page.locator(".tile .playing")).to_have_count(0)
    press(page, "Shift+Enter")
    expect(page.locator("dialog.large")).to_be_visible()
    strip = page.locator("dialog.large .strip")  # MPEG-4 part 2, which Chromium cannot play
    expect(strip).to_be_visible()
    press(page, ".")  # stops the frames
    before = strip.get_attribute("style")
    press(page, ".")
    after = strip.get_attribute("style")
    assert after != before
    press(page, ",")
    assert strip.get_attribute("style") == before
    press(page, "Escape")
    expect(page.locator("dialog.large")).to_be_hidden()
    expect(page.locator(".tile").first).to_be_focused()
    press(page, "w")
    expect(page.get_by_role("region", name="Why").get_by_role("row")).to_have_count(3)
    press(page, "v")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Video 0")
    press(page, "Escape")
    expect(page.locator(".search .tile").first).to_be_focused()
    watched.forget()  # that the film cannot be played is told by Chromium


def test_keys_that_judge(watched: Watched) -> None:
    page = asked(watched, topic="662")
    tile = page.locator(".tile")
    press(page, "y", "n", "u")
    for place, kind in enumerate(("yes", "no", "unsure")):
        expect(tile.nth(place)).to_have_class(re.compile(rf"\b{kind}\b"))
    expect(tile.nth(3)).to_be_focused()
    press(page, "z")
    expect(tile.nth(2)).not_to_have_class(re.compile("unsure"))
    press(page, "Shift+ArrowRight", "y")
    for place in (3, 4):
        expect(tile.nth(place)).to_have_class(re.compile("yes"))
    press(page, "x")
    expect(tile.nth(5)).to_have_class(re.compile("held"))
    expect(page.get_by_role("link", name="Basket 1")).to_be_visible()
    before = shots_of(page)
    page.locator(".tile").first.focus()
    press(page, "f")
    expect(page.locator(".chip")).to_contain_text("with my marks")
    expect(page.locator(".busy")).to_be_hidden()
    assert shots_of(page) != before
    press(page, "F")
    expect(page.locator(".chip")).to_have_count(0)
    expect(page.locator(".busy")).to_be_hidden()
    assert shots_of(page) == before
    press(page, "h")
    expect(page.get_by_role("status").first).to_contain_text("hide judged: 4")


def test_keys_that_show(watched: Watched) -> None:
    page = asked(watched)
    press(page, "b")
    expect(page.get_by_role("button", name="Videos")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".row.first")).not_to_have_count(0)
    press(page, "b", "d")
    expect(page.get_by_role("button", name="Fold duplicates 0.95")).to_have_attribute("aria-pressed", "true")
    expect(page).to_have_url(re.compile("&at="))  # the list is there, and the address says what has the focus
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    press(page, "k")
    expect(page.locator(".toast")).to_have_text("link copied")
    assert page.evaluate("() => navigator.clipboard.readText()") == page.url
    press(page, "?")
    help_ = page.get_by_role("dialog", name="Keys")
    expect(help_).to_be_visible()
    shown = help_.locator("[data-action]").evaluate_all("rows => rows.map(row => row.dataset.action)")
    assert sorted(shown) == sorted(page.evaluate(KEYS))
    expect(help_.locator('[data-action="link"] kbd')).to_have_text("k")
    press(page, "Escape")
    expect(help_).to_have_count(0)


def test_enter_opens_a_group_and_closes_it(watched: Watched) -> None:
    page = asked(watched, group="first-of-video")
    rows = shots_of(page)
    page.locator(".tile").first.focus()
    folded = int((page.locator(".more").first.text_content() or "").lstrip("+"))
    press(page, "Enter")
    expect(page.locator(".tile.member").first).to_be_visible()
    assert len(shots_of(page)) == len(rows) + folded
    page.locator(".tile").first.focus()
    press(page, "Enter")
    expect(page.locator(".tile.member")).to_have_count(0)
    assert shots_of(page) == rows


def test_no_key_works_while_one_types_or_holds_another(watched: Watched) -> None:
    page = asked(watched)
    pairs = [(action, key) for action, keys in page.evaluate(KEYS).items() for key in keys]
    # those that would leave the list, or need a dialog, come in the tests of their own
    apart = {"help", "player", "play", "video", "search", "like", "topic", "query", "leave", "system", "next", "before"}
    for action, key in pairs:
        name, changed = key.removeprefix("Shift+"), key.startswith("Shift+")
        for held in ("ctrl", "meta"):
            assert not page.evaluate(PRESS, [name, changed, held]), f"{held} {key}"
        if action not in apart:
            assert page.evaluate(PRESS, [name, changed, ""]), f"{key} does nothing"
    page.get_by_label("Question").focus()
    for action, key in pairs:
        if action not in ("search", "leave"):
            assert not page.evaluate(PRESS, [key.removeprefix("Shift+"), key.startswith("Shift+"), ""]), key
    watched.forget()


def test_a_late_answer_takes_no_letter_from_a_field(watched: Watched) -> None:
    page = asked(watched)
    held: list[Route] = []
    page.route("**/api/v1/search", lambda route: route.continue_() if held else held.append(route))
    words = page.get_by_label("Question")
    press(page, "d", "/")
    expect(words).to_be_focused()
    until(page, lambda: bool(held))
    held[0].continue_()
    expect(page.locator(".busy")).to_be_hidden()
    expect(words).to_be_focused()
    press(page, "y")
    expect(words).to_have_value("y")
    press(page, "Enter")
    expect(page.locator(".tile").first).to_be_focused()
    assert page.locator(".tile.yes").count() == 0


@pytest.mark.parametrize("path", ["study", "video/00001", "sessions", "basket"])
def test_words_after_the_key_of_the_question_are_no_keys_of_the_list(watched: Watched, path: str) -> None:
    page = asked(watched)
    page.evaluate(GO, f"/{path}")
    expect(page.locator(".search")).to_have_count(0)
    press(page, "/", *"sunny")
    words = page.get_by_label("Question")
    expect(words).to_be_focused()
    expect(words).to_have_value("sunny")
    expect(page.locator(".tile.yes, .tile.no, .tile.unsure, .tile.held")).to_have_count(0)


def test_no_mark_of_one_topic_is_of_a_shot_of_the_list_before(watched: Watched) -> None:
    page = asked(watched)
    held: list[Route] = []
    page.route("**/api/v1/search", lambda route: route.continue_() if held else held.append(route))
    page.route("**/api/v1/marks", lambda route: pytest.fail("a mark of the list before"))
    press(page, "]", "y", "n", "x")
    until(page, lambda: bool(held))
    expect(page.locator(".tile")).to_have_count(0)
    held[0].continue_()
    expect(page.locator(".tile").first).to_be_focused()
    expect(page.locator(".tile.yes, .tile.no, .tile.held")).to_have_count(0)


def test_escape_closes_a_menu_and_a_choice_by_keyboard_keeps_the_focus(watched: Watched) -> None:
    page = asked(watched)
    summary = page.locator(".controls summary")
    summary.focus()
    press(page, "Enter")
    expect(page.locator(".controls details")).to_have_attribute("open", "")
    press(page, "Escape")
    expect(page.locator(".controls details")).not_to_have_attribute("open", "")
    expect(summary).to_be_focused()
    press(page, "t", "ArrowDown")
    expect(page.get_by_label("Question")).to_have_value("two people dance")
    expect(page.locator(".tile").first).to_be_visible()
    expect(page.locator("#topic")).to_be_focused()


def test_systems_and_weights_are_chosen_by_keyboard(watched: Watched) -> None:
    page = asked(watched, fuse="weighted", by=["one-shot", "two-shot"], weights={"one-shot": 1, "two-shot": 1})
    page.locator(".controls summary").focus()
    press(page, "Enter", "Tab", "Tab")
    weight = page.get_by_label("Weight of one-shot")
    for value in ("0.95", "0.9"):
        expect(weight).to_be_focused()
        press(page, "ArrowLeft")
        expect(weight).to_have_value(value)
        expect(page.locator(".busy")).to_be_hidden()
    expect(weight).to_be_focused()


def test_a_second_answer_waits_until_it_is_taken(watched: Watched) -> None:
    page = asked(watched)

    def twice(route) -> None:
        answer = route.fetch()
        last = json.loads(answer.text().splitlines()[-1])
        first = {**last, "stage": "first", "list": "before", "rows": 3, "results": last["results"][:3][::-1]}
        route.fulfill(body=f"{json.dumps(first)}\n{json.dumps(last)}\n", content_type="application/x-ndjson")

    page.route("**/api/v1/search", twice)
    wanted = shots_of(page)
    page.locator(".tile").first.focus()
    # time stands still for the page, so that its wait for the pointer cannot end by itself
    page.clock.install()
    page.clock.pause_at(page.evaluate("() => Date.now() + 1000"))
    press(page, "ArrowRight", "1", "1")
    expect(page.locator(".pill")).to_contain_text("57 new: press g")
    expect(page.locator(".tile")).to_have_count(3)
    press(page, "g")
    expect(page.locator(".pill")).to_have_count(0)
    page.clock.resume()
    assert shots_of(page) == wanted
