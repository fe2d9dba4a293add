"""What bends a list and what is told of it: filters, feedback, fusers, texts; sessions; the document of the API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from live_server import PER_VIDEO, SHOTS
from pages import Watched, address, asked, expect, shots_of

from avs.serve.api import CALLS

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route


def settled(page: Page) -> None:
    expect(page.locator(".busy")).to_be_hidden()


def test_one_video_alone_or_all_but_one(watched: Watched) -> None:
    page = asked(watched, by=["one-shot"])  # the average of two would be of the scores of that video
    before = shots_of(page)
    page.locator(".tile").first.focus()
    video = before[0][4:9]
    strip = page.get_by_role("region", name="Video of the shot")
    strip.get_by_role("button", name="Only this video").click()
    expect(page.locator(".chip")).to_have_text(f"only {video}×")
    settled(page)
    assert shots_of(page) == [shot for shot in before if shot[4:9] == video] and len(shots_of(page)) == PER_VIDEO
    page.get_by_role("button", name=f"without only {video}").click()
    expect(page.locator(".chip")).to_have_count(0)
    settled(page)
    assert shots_of(page) == before
    strip.get_by_role("button", name="Not this video").click()
    expect(page.locator(".chip")).to_have_text(f"not {video}×")
    settled(page)
    assert shots_of(page) == [shot for shot in before if shot[4:9] != video]
    other = shots_of(page)[0][4:9]
    page.locator(".tile").first.focus()
    expect(strip.get_by_role("link")).to_contain_text(other)
    strip.get_by_role("button", name="Not this video").click()
    expect(page.locator(".chip")).to_have_count(2)
    page.get_by_role("button", name=f"without not {video}").click()
    expect(page.locator(".chip")).to_have_text(f"not {other}×")


@pytest.mark.parametrize("method", ["linear", "bayes"])
def test_other_ways_of_feedback(watched: Watched, method: str) -> None:
    page = asked(watched, topic="663", by=["one-shot"])
    before = shots_of(page)
    page.locator(".tile").first.focus()
    for key in "nyy":
        page.keyboard.press(key)
    page.get_by_label("Feedback by").select_option(method)
    with page.expect_request("**/api/v1/feedback") as asked_for:
        page.get_by_role("button", name="Search again").click()
    assert asked_for.value.post_data_json["method"] == method
    expect(page.locator(".chip")).to_contain_text("with my marks")
    settled(page)
    assert sorted(shots_of(page)) == sorted(before) and shots_of(page) != before
    page.locator(".tile").first.focus()
    page.keyboard.press("F")
    expect(page.locator(".chip")).to_have_count(0)
    settled(page)
    assert shots_of(page) == before


def test_a_perfect_user_is_told_and_not_exported(watched: Watched) -> None:
    page = asked(watched, topic="661")
    expect(page.locator(".stamp")).to_have_count(0)
    page.get_by_role("button", name="Simulate a perfect user").click()
    expect(page.locator(".panel")).to_contain_text("the list is automatic-invalid")
    page.get_by_role("button", name="Search again").click()
    expect(page.locator(".stamp")).to_have_text("automatic-invalid: judgments helped")
    page.get_by_role("button", name="Export").click()
    page.get_by_role("button", name="Write").click()
    expect(page.get_by_role("dialog").get_by_role("status")).to_contain_text("it is no run")
    page.keyboard.press("Escape")
    other = asked(watched, topic="663")  # which is not judged
    expect(other.get_by_role("button", name="Search again")).to_be_visible()
    expect(other.get_by_role("button", name="Simulate a perfect user")).to_have_count(0)
    watched.forget()  # that the export was refused is told by Chromium


def test_words_in_texts_are_a_filter_and_a_reason(watched: Watched) -> None:
    page = asked(watched)
    words = page.get_by_label("Words in texts")
    words.fill("mind")
    words.press("Tab")
    settled(page)
    expect(page.locator(".counts")).to_contain_text("2 of")
    assert sorted(shots_of(page)) == ["shot00001_3", "shot00002_4"]
    words.fill('"mind the gap"')
    words.press("Enter")
    expect(page.locator(".counts")).to_contain_text("1 of")
    page.locator('.tile[data-shot="shot00001_3"]').focus()
    page.keyboard.press("w")
    why = page.get_by_role("region", name="Why")
    expect(why).to_contain_text("EXIT to platform nine")
    expect(why).to_contain_text("mind the gap")
    page.get_by_label("Kind of text").select_option("read")
    expect(page.locator(".message")).to_contain_text("No shots")
    words.fill("")
    words.press("Enter")
    expect(page.locator(".tile")).to_have_count(1)  # the one that has a text of that kind


def test_weights_are_kept_as_a_fuser_that_knows_its_topic(watched: Watched) -> None:
    page = asked(watched, topic="661", fuse="weighted", weights={"one-shot": 1, "two-shot": 0.25})
    expect(page.locator(".figures").first).to_be_visible()
    before = shots_of(page)
    page.locator(".controls summary").click()
    menu = page.locator(".controls details")
    expect(menu).to_contain_text("tuned on this topic")
    menu.get_by_label("Name of the fuser").fill("by-hand")
    menu.get_by_role("button", name="Keep as a fuser").click()
    expect(page.locator(".toast")).to_contain_text("learned from 661")
    page.keyboard.press("Escape")
    page.get_by_label("Fuse by").select_option("by-hand")
    expect(page.locator(".stamp")).to_contain_text("automatic-invalid")
    settled(page)
    assert shots_of(page) == before


def test_a_question_of_a_session_opens_again(watched: Watched) -> None:
    page = asked(watched, parts=[{"text": "a striped umbrella", "minus": [{"text": "rain"}]}], duplicates=0.9)
    before = shots_of(page)
    page.get_by_role("link", name="Sessions").click()
    row = page.get_by_role("row").filter(has_text="this one")
    expect(row.get_by_role("cell").nth(3)).to_have_text("0")  # no damaged lines
    row.get_by_role("link").click()
    more = page.get_by_role("button", name=re.compile(r"\d more"))
    rows = page.locator(".questions li")
    expect(rows.first).to_be_visible()
    while more.count():
        shown = rows.count()
        more.click()
        expect(rows).not_to_have_count(shown)
    numbers = rows.locator(":scope > .muted").all_text_contents()
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]  # none twice
    question = page.get_by_role("listitem").filter(has_text="a striped umbrella").last
    expect(question).to_contain_text(f"{SHOTS} shots in")
    expect(question.locator(".glimpse img")).to_have_count(8)
    question.get_by_role("link").click()
    expect(page.locator(".search .tile").first).to_be_focused()
    expect(page.get_by_label("Question")).to_have_value('a striped umbrella -"rain"')
    assert shots_of(page) == before
    page.go_back()
    expect(page.locator(".questions li").first).to_be_visible()


def test_the_panel_of_a_narrow_window_lies_over_the_list(watched: Watched) -> None:
    """512 pixels: a window of 1,024 at 200 %."""
    page = watched.page(address(watched.root, topic="661"), viewport={"width": 512, "height": 384})
    panel, why = page.locator(".panel"), page.get_by_role("region", name="Why")
    expect(page.locator(".tile").first).to_be_focused()
    expect(panel).to_be_hidden()
    page.keyboard.press("w")
    expect(why.get_by_role("heading", name="Why shot")).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page.locator(".tile").first).to_be_focused()
    page.get_by_role("button", name="Panel").click()
    expect(panel.get_by_role("heading", name="Measures")).to_be_in_viewport()
    page.set_viewport_size({"width": 1280, "height": 800})
    expect(panel).to_be_hidden()
    page.locator(".tile").first.focus()
    page.keyboard.press("w")
    expect(why).to_be_visible()
    page.keyboard.press("Escape")
    expect(panel).to_be_visible()


def test_keys_of_the_list_judge_on_the_page_of_a_video_too(watched: Watched) -> None:
    page = asked(watched, topic="662")
    page.keyboard.press("v")
    tile = page.locator(".video-page .tile")
    first = int(page.locator(".video-page .tile:focus").get_attribute("data-place") or 0)
    for key in "yxn":
        page.keyboard.press(key)
    expect(tile.nth(first)).to_have_class(re.compile(r"\byes\b"))
    for kind in ("held", "no"):
        expect(tile.nth(first + 1)).to_have_class(re.compile(rf"\b{kind}\b"))
    expect(tile.nth(first + 2)).to_be_focused()
    page.keyboard.press("z")
    expect(tile.nth(first + 1)).not_to_have_class(re.compile(r"\bno\b"))
    other = watched.page(page.url)
    expect(other.locator(".video-page .tile.yes")).to_have_count(1)  # marks that come after the tiles are shown on them
    other.locator(".video-page .tile.yes").focus()
    other.keyboard.press("u")
    expect(tile.nth(first)).to_have_class(re.compile(r"\bunsure\b"))  # of another tab
    shot = other.locator(".video-page .tile:focus").get_attribute("data-shot")
    other.keyboard.press("m")
    expect(other.get_by_label("Question")).to_have_value(f"shot:{shot}")
    watched.forget()  # that the film cannot be played is told by Chromium


def test_the_shot_in_the_large_player_can_be_judged(watched: Watched) -> None:
    page = asked(watched, topic="662")
    shot = page.locator(".tile:focus").get_attribute("data-shot")
    page.keyboard.press("Shift+Enter")
    dialog = page.get_by_role("dialog", name="Player")
    page.keyboard.press("y")
    expect(dialog.locator(".foot")).to_contain_text("✓ marked yes")
    page.keyboard.press("x")
    expect(dialog.locator(".foot")).to_contain_text("+ in basket")
    page.keyboard.press("z")
    expect(dialog.locator(".foot")).not_to_contain_text("marked yes")
    page.keyboard.press("m")
    expect(dialog).to_be_hidden()
    expect(page.get_by_label("Question")).to_have_value(f"shot:{shot}")
    watched.forget()  # that the film cannot be played is told by Chromium


def test_a_long_session_is_read_page_by_page(watched: Watched) -> None:
    page = watched.page(f"{watched.root}sessions")

    def long(route: Route) -> None:
        found = route.fetch()
        held = found.json()
        held["session"]["queries"] = held["start"] + 130
        route.fulfill(response=found, json=held)

    page.route("**/api/v1/sessions/*", long)
    page.get_by_role("row").filter(has_text="this one").get_by_role("link").click()
    asked_for: list[str] = []
    page.on("request", lambda request: asked_for.append(request.url))
    with page.expect_response(lambda response: "from=100" in response.url) as second:
        page.get_by_role("button", name="30 more").evaluate("node => { node.click(); node.click(); }")
    assert second.value.json()["start"] == 100
    assert len([one for one in asked_for if "from=100" in one]) == 1


def test_more_questions_can_be_asked_for_again(watched: Watched) -> None:
    page = watched.page(f"{watched.root}sessions")
    away: list[str] = []

    def long(route: Route) -> None:
        if "from=100" in route.request.url and not away:
            away.append(route.request.url)
            return route.fulfill(status=503, json={"error": {"what": "the server is busy"}})
        found = route.fetch()
        held = found.json()
        held["session"]["queries"] = held["start"] + 130
        return route.fulfill(response=found, json=held)

    page.route("**/api/v1/sessions/*", long)
    page.get_by_role("row").filter(has_text="this one").get_by_role("link").click()
    page.get_by_role("button", name="30 more").click()
    expect(page.get_by_role("alert")).to_contain_text("the server is busy")
    with page.expect_response(lambda response: "from=100" in response.url and response.ok):
        page.get_by_role("button", name="30 more").click()
    watched.forget()


def test_the_document_of_the_api_can_be_read(watched: Watched) -> None:
    page = watched.page(f"{watched.root}api")
    expect(page.locator(".call")).to_have_count(len(CALLS))
    for name in ("Query", "Answer", "AvsErrorShape"):
        expect(page.locator(f"#shape-{name}")).to_have_count(1)
    unknown = page.locator("button.name").evaluate_all(
        "all => all.map(one => one.textContent).filter(one => !document.getElementById(`shape-${one}`))"
    )
    assert unknown == []
    search = page.locator(".call").filter(has_text="/api/v1/search")
    search.get_by_role("button", name="Query", exact=True).click()
    expect(page.locator("#shape-Query")).to_be_in_viewport()
    page.locator("#shape-Answer").get_by_role("button", name="Scored").click()
    expect(page.locator("#shape-Scored")).to_be_in_viewport()
    assert page.url.endswith("/api")


def test_bent_addresses_still_open(watched: Watched) -> None:
    """Several kinds of texts, and more videos than there is room for, which are not there either."""
    page = asked(watched, filter={"kinds": ["read", "heard"]})
    expect(page.locator(".tile")).to_have_count(2)
    expect(page.get_by_label("Kind of text")).to_have_value("read, heard")
    page.goto(address(watched.root, filter={"not_videos": [f"x{number}" for number in range(6)]}))
    expect(page.locator(".message")).to_contain_text("x0")
    expect(page.locator(".chip")).to_have_count(5)
    expect(page.locator(".chip").last).to_contain_text("not 2 more")
    watched.forget()
