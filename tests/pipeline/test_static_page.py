"""The page says of every shot whether it is relevant or not judged; it needs nothing but itself; texts stay texts."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avs.core.qrels import TopicQrels
from avs.core.ranking import RankedList
from avs.core.topic import Topic
from avs.pipeline.static_page import (
    MARKS,
    NOT_JUDGED,
    NOT_RELEVANT,
    RELEVANT,
    STYLE,
    ShownSystem,
    StaticPage,
    reduced_picture,
)

EVIL = "<img src=x onerror=alert(1)>"
DEPTH = 8
SHOTS = [f"shotv_{number}" for number in range(1, 11)]


def picture(shot: str) -> bytes | None:
    """Of every shot but the last."""
    return None if shot == SHOTS[-1] else f"picture of {shot}".encode()


def page(folder: Path, *, video: str = "v.mp4", text: str = "a dog", **more: Any) -> str:
    """A page of two systems and judgments of three shots."""
    lists = {"1": RankedList.from_scores("1", SHOTS, np.arange(10.0)[::-1])}
    backwards = {"1": RankedList.from_scores("1", SHOTS[::-1], np.arange(10.0)[::-1])}
    pool = TopicQrels("1", tuple(SHOTS[:3]), np.ones(3), np.array([1, 0, -1]))
    given: dict[str, Any] = {
        "title": f"of {text}",
        "topics": [Topic("1", text), Topic("2", "not found by any")],
        "systems": [
            ShownSystem(f"first {text}", lists, {"xinfAP": {"1": "0.250"}}, {"xinfAP": "0.5000"}),
            ShownSystem("second", backwards, {}, {"xinfAP": "0.0000"}),
        ],
        "depth": DEPTH,
        "picture": picture,
        "times_s": lambda shot: (59.0 + int(shot.rpartition("_")[2]), 60.0 + int(shot.rpartition("_")[2])),
        "clip": lambda _: folder / video,
        "judged": {"1": pool},
        "facts": [f"facts of {text}"],
        "made": f"made of {text}",
    }
    StaticPage(**{**given, **more}).write(folder / "page.html")
    return (folder / "page.html").read_text()


def first_list(html: str) -> str:
    return html[html.index("<article>") : html.index("</article>")]


def test_three_states_each_with_a_shape_of_its_own_and_a_legend(tmp_path: Path) -> None:
    html = page(tmp_path)
    tiles = first_list(html).split("<li class=")[1:]
    states = [(tile.split('"')[1], "".join(re.findall(r'aria-label="([^"]*)"', tile))) for tile in tiles]
    wanted = [RELEVANT, NOT_RELEVANT, NOT_JUDGED, *[""] * (DEPTH - 3)]
    assert states == [(state.replace(" ", "-"), state) for state in wanted]
    assert len(set(MARKS.values())) == 3
    legend = html[html.index('class="legend"') : html.index("<main")]
    assert re.findall(r"</svg> ([a-z ]+)", legend) == list(MARKS) and "no mark: outside the pool" in legend


def test_without_judgments_there_is_no_verdict(tmp_path: Path) -> None:
    html = page(tmp_path, judged={})
    assert 'class="legend"' not in html and "aria-label" not in html


def test_systems_stand_side_by_side_with_their_scores(tmp_path: Path) -> None:
    html = page(tmp_path)
    assert re.findall(r"<article><h3>(\w+)", html) == ["first", "second"] * 2
    assert "xinfAP <b>0.250</b>" in html and "<td>0.5000" in html
    assert html.count("<li class=") == 2 * DEPTH and "class=alone" not in html
    assert "<h2><b>1</b> a dog</h2>" in html


def test_a_list_alone_has_the_whole_width_and_no_second_title(tmp_path: Path) -> None:
    html = page(
        tmp_path,
        topics=[Topic("1", "a dog")],
        systems=[ShownSystem("one", {"1": RankedList.from_scores("1", SHOTS, np.arange(10.0))})],  # noqa: E501
    )
    assert "<main class=alone>" in html and "<h2>" not in html


def test_pictures_are_in_the_page_and_link_to_the_clip_at_its_second(tmp_path: Path) -> None:
    html = page(tmp_path, video="d\"#'<b>ü.mp4")
    assert (
        '<a class="pic" href="d%22%23%27%3Cb%3E%C3%BC.mp4#t=60.00,61.00" '
        'title="shotv_1: rank 1, score 9.0000, relevant">' in html
    )
    pictures = re.findall(r'src="([^"]*)"', first_list(html))
    assert [base64.b64decode(one.removeprefix("data:image/jpeg;base64,")) for one in pictures] == [
        picture(shot) for shot in SHOTS[:DEPTH]
    ]
    assert "<time>1:00</time>" in html
    assert html.count("no picture") == 1


def test_a_page_that_goes_elsewhere_links_to_nothing(tmp_path: Path) -> None:
    html = page(tmp_path, clip=None, times_s=lambda _: None)
    assert "href=" not in html.replace('href="#', "") and "<time>" not in html
    assert html.count('<div class="pic"') == 2 * DEPTH


def test_the_parts_of_a_question_in_time_are_shown_together(tmp_path: Path) -> None:
    lists = {"1": RankedList.from_scores("1", SHOTS[:2], np.array([2.0, 1.0]))}
    parts = {SHOTS[0]: (SHOTS[0], SHOTS[4]), SHOTS[1]: (SHOTS[1], SHOTS[9])}
    made: dict[str, Any] = {"topics": [Topic("1", "a")], "systems": [ShownSystem("one", lists, parts=parts)]}
    tiles = page(tmp_path, **made).split("<li class=")[-2:]
    assert [re.findall(r'alt="([^"]*)"', tile) for tile in tiles] == [[SHOTS[0], SHOTS[4]], [SHOTS[1]]]
    shown = StaticPage("", made["topics"], made["systems"], 1, picture, lambda _: None).shown
    assert shown == {SHOTS[0], SHOTS[4]}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))


@pytest.mark.parametrize("where", ["text", "warning", "video"])
def test_what_others_wrote_stays_text(where: str, tmp_path: Path) -> None:
    reader = Tags()
    reader.feed(page(tmp_path, **{where: EVIL}))
    attributes = {name for _, found in reader.found for name, _ in found}
    assert attributes <= {
        "lang", "charset", "name", "content", "class", "id", "href", "title", "src", "alt", "decoding",
        "role", "aria-label", "width", "height", "viewbox", "cx", "cy", "r", "d", "x", "y", "rx", "stroke-dasharray",
        "http-equiv",
    }  # fmt: skip
    assert {tag for tag, _ in reader.found}.isdisjoint({"script", "iframe", "object", "form", "base", "link"})
    assert sum(tag == "img" for tag, _ in reader.found) == 2 * DEPTH - 1


def test_the_policy_allows_this_style_and_these_pictures_alone(tmp_path: Path) -> None:
    html = page(tmp_path)
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert html.index("Content-Security-Policy") < html.index("<style>")


def test_a_warning_is_on_the_page(tmp_path: Path) -> None:
    assert '<p class="warning" role="alert">take &lt; care</p>' in page(tmp_path, warning="take < care")


def test_pictures_are_made_small() -> None:
    coded = io.BytesIO()
    Image.new("RGBA", (1000, 500), "red").save(coded, "png")
    small = Image.open(io.BytesIO(reduced_picture(coded.getvalue(), 200)))
    assert small.format == "JPEG" and small.size == (200, 100)
    with pytest.raises(OSError):
        reduced_picture(b"no picture", 200)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(scheme: str) -> None:
    light, _, dark = STYLE.read_text().partition("@media (prefers-color-scheme: dark)")
    found = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", light if scheme == "light" else dark))
    for ink, ground in [("ink", "ground"), ("soft", "ground"), ("soft", "mat"), ("bad", "raised"), ("good", "ground")]:
        low, high = sorted(_luminance(found[name]) for name in (ink, ground))
        assert (high + 0.05) / (low + 0.05) >= 4.5, f"{ink} on {ground}"


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
