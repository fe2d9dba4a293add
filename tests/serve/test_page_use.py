"""Judging, measuring, grouping, comparing and exporting on the page give what the verbs give."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from live_server import SHOTS, TinyServed, running
from pages import Watched, address, expect, sent, shots_of, until
from pages import asked as asked_of
from PIL import Image

from avs.cli.main import main
from avs.trecvid.trec import read_trec

if TYPE_CHECKING:
    from playwright.sync_api import APIResponse, Browser, Page, Route

CELLS = "rows => rows.map(row => [...row.children].map(one => one.textContent))"
VIDEOS = "rows => rows.map(row => new Set([...row.children].map(tile => tile.dataset.shot.split('_')[0])).size)"


def asked(watched: Watched, **query: object) -> Page:
    return asked_of(watched, **{"topic": "661", **query})


def marks_of(page: Page) -> dict[str, str]:
    found = page.locator(".tally").last.locator("div").evaluate_all(CELLS)
    return dict(found)


def test_twenty_marks_by_keyboard_outlive_the_page(watched: Watched) -> None:
    page = asked(watched, topic="663")
    keys = "ynuyy" * 4
    for key in keys:
        page.keyboard.press(key)
    wanted = {"yes": "12", "no": "4", "unsure": "4"}
    assert marks_of(page) == wanted
    expect(page.locator(".tile:focus")).to_have_attribute("data-place", "20")
    sent(page)
    page.reload()
    expect(page.locator(".tile.yes").first).to_be_visible()
    assert marks_of(page) == wanted
    page.keyboard.press("z")  # of the page before: the server knows what was last
    expect(page.locator(".tile.yes")).to_have_count(11)
    other = asked(watched, topic="663")
    expect(other.locator(".tile.yes")).to_have_count(11)
    other.keyboard.press("n")
    expect(page.locator(".tile.no")).to_have_count(5)  # another tab hears of it


def test_measures_are_those_of_avs_eval(
    watched: Watched, tiny: TinyServed, lists: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place, name in enumerate(("one-shot", "two-shot"), start=1):
        page = asked(watched)
        page.keyboard.press(str(place))
        expect(page.locator(".controls summary")).to_have_text(name)
        expect(page.locator(".busy")).to_be_hidden()
        shown = page.locator(".figures").first.locator("div").evaluate_all(CELLS)
        capsys.readouterr()
        assert main(["eval", str(lists / f"{name}.trec"), "--qrels", str(tiny.qrels), "--per-topic"]) == 0
        told = capsys.readouterr().out
        head, *rows = [line.split("\t") for line in told.splitlines()]
        (row,) = [row for row in rows if row[1] == "661"]
        assert dict(shown) == dict(zip(head[2:], row[2:], strict=True))
    unjudged = page.locator(".nist-unjudged").first
    border = unjudged.locator(".cap").evaluate("node => getComputedStyle(node).boxShadow")
    assert border == "none"


def test_a_filter_shows_measures_of_its_own(watched: Watched) -> None:
    page = asked(watched, group="first-of-video")
    expect(page.get_by_text("of what is shown")).to_be_visible()
    figures = page.locator(".figures")
    whole = asked(watched).locator(".figures").first.text_content()
    assert figures.first.text_content() == whole
    assert figures.last.text_content() != whole


@pytest.mark.parametrize("query", [{"group": "first-of-video"}, {"duplicates": 0.5}])
def test_what_is_folded_adds_up_to_the_list(watched: Watched, query: dict[str, object]) -> None:
    page = asked(watched, **query)
    shown = len(shots_of(page))
    folded = page.locator(".more").evaluate_all("all => all.map(one => Number(one.textContent))")
    assert shown + sum(folded) == SHOTS


def test_by_video_shows_every_shot_with_its_video(watched: Watched) -> None:
    page = asked(watched, group="video")
    shots = shots_of(page)
    assert sorted(shots) == sorted(shots_of(asked(watched)))
    videos = [shot[4:].split("_")[0] for shot in shots]
    assert len(list(dict.fromkeys(videos))) == sum(a != b for a, b in zip(["", *videos], videos, strict=False))
    rows = page.locator(".row").evaluate_all(VIDEOS)
    assert set(rows) == {1}


def test_words_in_time_ask_two_parts(watched: Watched) -> None:
    page = asked(watched)
    page.get_by_label("Question").fill('a dog -"a red circle" < two people dance')
    page.keyboard.press("Enter")
    expect(page.get_by_label("Seconds between")).to_be_visible()
    expect(page.locator(".tile.chain").first).to_be_visible()
    assert page.locator(".tile.chain").first.locator("img, .none").count() == 2
    query = page.evaluate("() => JSON.parse(new URLSearchParams(location.search).get('query'))")
    assert query["parts"] == [
        {"text": "a dog", "minus": [{"text": "a red circle"}]}, {"text": "two people dance"}
    ]  # fmt: skip


def test_a_picture_is_searched_and_other_files_are_refused(watched: Watched) -> None:
    page = asked(watched)
    picture = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), 120, np.uint8)).save(picture, "png")
    chooser = page.locator("input[type=file]")
    chooser.set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": picture.getvalue()})
    expect(page.get_by_label("Question")).to_have_value(re.compile("image:"))
    expect(page.locator(".counts")).to_contain_text(f"{SHOTS} of {SHOTS}")
    bomb = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(bomb, "png")  # a few kilobytes
    banner = page.get_by_role("alert")
    for name, kind, content, words in (
        ("a.jpg", "image/jpeg", b"words, not a picture", "not a picture"),
        ("a.svg", "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "type"),
        ("b.png", "image/png", b"\0" * 11_000_000, "too large"),
        ("c.png", "image/png", bomb.getvalue(), "pixel"),
    ):
        chooser.set_input_files({"name": name, "mimeType": kind, "buffer": content})
        expect(banner).to_contain_text(words)
        banner.get_by_role("button", name="Close").click()
    assert len(watched.forget()) == 3  # what Chromium says of those that the server refused


def test_gained_and_lost_are_differences_of_sets(watched: Watched, tiny: TinyServed, lists: Path) -> None:
    a, b = (read_trec(lists / f"{name}.trec").lists["661"].shots for name in ("one-shot", "two-shot"))
    study = watched.page(f"{watched.root}study")
    expect(study.locator("table").first).to_be_visible()
    names = study.locator("table").first.locator("thead th").all_text_contents()[1:]
    page = watched.page(f"{watched.root}compare?a={quote(names[0])}&b={quote(names[1])}&topic=661")
    expect(page.locator(".side").first.locator("li")).to_have_count(min(50, len(a)))
    assert page.locator(".side").first.locator(".video").all_text_contents() == list(a[:50])
    assert page.locator(".side").last.locator(".video").all_text_contents() == list(b[:50])
    expect(page.get_by_role("heading", name="Gained, relevant only in b")).to_contain_text(f": {len(set(b) - set(a))}")


def test_lists_of_one_topic_are_compared_and_called_by_words(watched: Watched) -> None:
    page = asked(watched)
    compare, busy = page.get_by_role("link", name="Compare"), page.locator(".busy")
    page.keyboard.press("]")
    expect(page.get_by_label("Question")).to_have_value("two people dance")
    expect(page.locator(".panel")).to_contain_text("Topic 662")
    expect(busy).to_be_hidden()
    expect(compare).to_have_count(0)  # the list before it is of another topic
    page.keyboard.press("1")
    expect(page.locator(".controls summary")).to_have_text("one-shot")
    compare.click()
    for name, words in (("List a", "the list before it"), ("List b", "the list on the page")):
        expect(page.get_by_label(name).locator("option:checked")).to_have_text(words)
    expect(page.locator(".sides")).to_contain_text("infAP")
    page.get_by_label("Topic").select_option("661")
    expect(page.get_by_role("alert").last).to_contain_text("the list is of another topic")
    page.goto(f"{watched.root}compare?a=gone&b=one-shot&topic=661")
    expect(page.get_by_role("main")).to_contain_text("does not hold this list any more")
    page.get_by_role("link", name="ask again").click()
    expect(page.get_by_label("Question")).to_be_visible()
    assert len(watched.forget()) == 2  # what Chromium says of those that the server refused


def test_a_visitor_of_a_read_only_server_has_a_basket(browser: Browser, tiny: TinyServed, tmp_path: Path) -> None:
    with running(tiny.options(tmp_path, read_only=True)) as server:
        watched = Watched(browser, server.root)
        page = asked(watched)
        shot = page.locator(".tile:focus").get_attribute("data-shot") or ""
        page.keyboard.press("x")
        page.get_by_role("link", name="Basket 1").click()
        expect(page.locator(".smalls .cap")).to_have_text([shot])
        page.reload()
        expect(page.locator(".smalls .cap")).to_have_text([shot])
        page.get_by_role("button", name=f"Take {shot} out").click()
        expect(page.get_by_text("Nothing is in it.")).to_be_visible()
        page.get_by_role("link", name="Search").click()
        expect(page.get_by_role("group", name="Show")).to_be_visible()
        expect(page.get_by_role("group", name="Hide")).to_have_count(0)  # it does not know what was judged
        page.keyboard.press("h")
        expect(page.locator(".toast")).to_contain_text("read-only")
        watched.end()


def test_the_study_shows_the_worst_topic_first_and_leads_to_it(watched: Watched) -> None:
    page = watched.page(f"{watched.root}study")
    rows = page.locator("table").first.locator("tbody tr")
    expect(rows).to_have_count(3)
    means = [np.mean([float(one) for one in row.locator("td").all_text_contents()]) for row in rows.all()[1:]]
    assert means == sorted(means)
    heading = page.locator("thead button").last
    heading.focus()
    page.keyboard.press("Enter")
    expect(page.locator("th[aria-sort=ascending]")).to_have_count(1)
    expect(heading).to_be_focused()
    rows.last.get_by_role("link").first.click()
    expect(page.locator(".search .tile").first).to_be_focused()


def test_a_list_is_exported_as_what_its_user_made_of_it(watched: Watched) -> None:
    page = asked(watched)
    page.get_by_role("button", name="Export").click()
    dialog = page.get_by_role("dialog", name="Export")
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Write").click()
    expect(dialog.get_by_role("status")).to_contain_text(f"served.trec: {SHOTS} shots, class F")
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert [line.split()[2] for line in lines] == shots_of(page)
    page.keyboard.press("Escape")
    page.get_by_label("Question").fill("a circle, red")
    page.keyboard.press("Enter")
    expect(page.locator(".tile").first).to_be_focused()
    page.get_by_role("button", name="Export").click()
    with page.expect_download():
        dialog.get_by_role("button", name="Write").click()
    expect(dialog.get_by_role("status")).to_contain_text("class M")


def test_the_basket_holds_what_was_put_in(watched: Watched) -> None:
    page = asked(watched)
    shot = page.locator(".tile:focus").get_attribute("data-shot") or ""
    held: list[Route] = []
    page.route("**/api/v1/basket", lambda route: route.continue_() if held else held.append(route))
    asked_for: list[str] = []
    page.on("request", lambda request: asked_for.append(request.url))
    page.keyboard.press("x")
    page.get_by_role("link", name="Basket 1").click()
    expect(page.get_by_role("heading", name="Basket")).to_be_visible()
    assert not [one for one in asked_for if "/basket?topic" in one]  # it waits until the server has the shot
    until(page, lambda: bool(held))
    held[0].continue_()
    expect(page.locator(".smalls .cap")).to_have_text([shot])
    page.get_by_role("button", name=f"Take {shot} out").click()
    expect(page.get_by_text("Nothing is in it.")).to_be_visible()


def test_marks_that_are_loaded_late_take_none_away(watched: Watched) -> None:
    page = watched.page("about:blank")
    late: list[tuple[Route, APIResponse]] = []
    page.route("**/api/v1/marks?*", lambda route: route.continue_() if late else late.append((route, route.fetch())))
    page.goto(address(watched.root, topic="662"))
    expect(page.locator(".tile").first).to_be_focused()
    until(page, lambda: bool(late))
    page.keyboard.press("y")
    page.keyboard.press("x")
    expect(page.locator(".tile.yes")).to_have_count(1)
    sent(page)
    with page.expect_response("**/api/v1/marks?*"):
        late[0][0].fulfill(response=late[0][1])
    for _ in range(5):  # it is read, and shown
        page.evaluate("() => new Promise(requestAnimationFrame)")
    expect(page.locator(".tile.yes")).to_have_count(1)
    expect(page.locator(".tile.held")).to_have_count(1)


def test_undo_goes_on_in_another_page(watched: Watched) -> None:
    page = asked(watched)
    page.keyboard.press("y")
    page.keyboard.press("n")
    sent(page)
    page.reload()
    expect(page.locator(".tile.no")).to_have_count(1)
    page.keyboard.press("z")
    expect(page.locator(".tile.no")).to_have_count(0)

    def undone() -> bool:
        page.keyboard.press("z")  # which event is next to be taken back, the server says a moment later
        return page.locator(".tile.yes").count() == 0

    until(page, undone)


def test_words_for_a_list_of_a_file_are_asked_of_the_stores(watched: Watched) -> None:
    systems = httpx.get(f"{watched.root}api/v1/status").json()["systems"]
    made_before = next(one["name"] for one in systems if one["kind"] == "list")
    page = asked(watched, parts=[], by=[made_before], topic="661")
    page.get_by_label("Question").fill("a dog")
    page.keyboard.press("Enter")
    expect(page.locator(".controls summary")).to_have_text("2 systems")
    expect(page.locator(".busy")).to_be_hidden()


def test_words_that_were_not_asked_yet_stay(watched: Watched) -> None:
    page = asked(watched)
    page.get_by_label("Question").fill("a dog in the")
    page.get_by_role("button", name="Videos").click()
    expect(page.get_by_role("button", name="Videos")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("Question")).to_have_value("a dog in the")


def test_figures_follow_a_weight_while_it_slides(watched: Watched) -> None:
    page = asked(
        watched, topic="661", fuse="weighted", by=["one-shot", "two-shot"], weights={"one-shot": 1, "two-shot": 1}
    )
    page.locator(".controls summary").click()
    steps = page.evaluate("() => history.length")
    weight = page.get_by_label("Weight of one-shot")
    weight.evaluate("node => { node.value = 0; node.dispatchEvent(new Event('input', { bubbles: true })) }")
    expect(page).to_have_url(re.compile(r"one-shot%22%3A0[%,]"))
    assert weight.evaluate("node => node.isConnected")  # the hand still holds it
    weight.evaluate("node => node.dispatchEvent(new Event('change', { bubbles: true }))")
    expect(weight).to_have_value("0")
    assert page.evaluate("() => history.length") == steps
