"""The page in Chromium: what is typed is searched, what is shown is what the verbs give, and addresses are kept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from live_server import SHOTS
from pages import Watched, address, expect, shots_of

from avs.cli.main import main
from avs.trecvid.trec import read_trec

SENTENCE = "a red circle"


@pytest.fixture(scope="module")
def fused(lists: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The shots of `avs fuse` for the first topic."""
    folder = tmp_path_factory.mktemp("fused")
    both = [str(lists / "one-shot.trec"), str(lists / "two-shot.trec")]
    assert main(["fuse", *both, "--method", "average", "-o", str(folder / "fused.trec"), "--quiet"]) == 0
    return read_trec(Path(folder / "fused.trec")).lists["661"].shots


def test_what_is_typed_is_searched_and_shown_in_the_order_of_the_verbs(
    watched: Watched, fused: tuple[str, ...]
) -> None:
    page = watched.page()
    words = page.get_by_label("Question")
    expect(words).to_be_focused()
    page.keyboard.type(SENTENCE)
    page.keyboard.press("Enter")
    expect(page.locator(".counts")).to_contain_text(f"{SHOTS} of {SHOTS} exact")
    assert shots_of(page) == list(fused)
    expect(page.locator(".tile").first).to_be_focused()
    page.keyboard.press("/")
    expect(words).to_be_focused()
    page.keyboard.type("/ y ? 1")
    expect(words).to_have_value("/ y ? 1")


def test_an_address_gives_the_same_list_to_another_browser(watched: Watched, fused: tuple[str, ...]) -> None:
    page = watched.page()
    page.get_by_label("Question").fill(SENTENCE)
    page.keyboard.press("Enter")
    expect(page.locator(".tile").first).to_be_focused()
    page.keyboard.press("ArrowRight")
    second = page.locator(".tile").nth(1)
    expect(second).to_be_focused()
    expect(page).to_have_url(re.compile(f"at={fused[1]}$"))
    other = watched.page(page.url, own=True)
    expect(other.locator(".tile").nth(1)).to_be_focused()
    assert shots_of(other) == shots_of(page) == list(fused)


def test_back_and_forward(watched: Watched) -> None:
    page = watched.page(address(watched.root, parts=[{"text": SENTENCE}]))
    expect(page.locator(".tile").first).to_be_focused()
    first = shots_of(page)
    page.keyboard.press("1")
    expect(page.locator(".controls summary")).to_have_text("one-shot")
    expect(page.locator(".busy")).to_be_hidden()
    alone = shots_of(page)
    assert alone != first
    page.go_back()
    expect(page.locator(".controls summary")).to_have_text("2 systems")
    expect(page.locator(".busy")).to_be_hidden()
    assert shots_of(page) == first
    page.go_forward()
    expect(page.locator(".controls summary")).to_have_text("one-shot")
    expect(page.locator(".busy")).to_be_hidden()
    assert shots_of(page) == alone
