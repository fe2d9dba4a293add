"""The page says of every shot whether it is relevant or not judged; nothing on it can be misread as HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from avs.core.qrels import TopicQrels
from avs.core.ranking import RankedList
from avs.core.shots import ShotTable
from avs.core.topic import Topic
from avs.demo.gallery import DEPTH, MARKS, NOT_JUDGED, NOT_RELEVANT, RELEVANT, Gallery, ShownSystem

EVIL = "<img src=x onerror=alert(1)>"
SHOTS = [f"shotv_{number}" for number in range(1, 11)]


def page(folder: Path, *, judged: bool = True, warning: str = "", video: str = "v.mp4", text: str = "a dog") -> str:
    """A page of two systems, judgments of three shots, and a picture of every shot but the last."""
    for shot in SHOTS[:-1]:
        (folder / f"{shot} #1.jpg").touch()
    lists = {"1": RankedList.from_scores("1", SHOTS, np.arange(10.0)[::-1])}
    pool = TopicQrels("1", tuple(SHOTS[:3]), np.ones(3), np.array([1, 0, -1]))
    Gallery(
        f"of {text}",
        [Topic("1", text)],
        [
            ShownSystem(f"first {text}", lists, {"xinfAP": {"1": 0.25}}, {"xinfAP": 0.5}),
            ShownSystem(
                "second", {"1": RankedList.from_scores("1", SHOTS[::-1], np.arange(10.0)[::-1])}, {}, {"xinfAP": 0}
            ),
        ],
        ShotTable(SHOTS, [60.0 + n for n in range(10)], [61.0 + n for n in range(10)]),
        picture=lambda shot: folder / f"{shot} #1.jpg",
        clip=lambda _: folder / video,
        judged={"1": pool} if judged else {},
        warning=warning,
    ).write(folder / "page.html")
    return (folder / "page.html").read_text()


def test_three_states_each_with_a_shape_of_its_own_and_a_legend(tmp_path: Path) -> None:
    html = page(tmp_path)
    first = html[html.index("<article>") : html.index("</article>")]
    states = re.findall(r'<li class="([^"]*)">.*?aria-label="([^"]*)"', first)
    wanted = [RELEVANT, NOT_RELEVANT, *[NOT_JUDGED] * (DEPTH - 2)]
    assert states == [(state.replace(" ", "-"), state) for state in wanted]
    assert len(set(MARKS.values())) == 3
    legend = html[html.index('class="legend"') : html.index("<main>")]
    assert re.findall(r"</svg> ([a-z ]+)", legend) == list(MARKS)


def test_without_judgments_there_is_no_verdict(tmp_path: Path) -> None:
    html = page(tmp_path, judged=False)
    assert 'class="legend"' not in html and "aria-label" not in html


def test_systems_stand_side_by_side_with_their_scores(tmp_path: Path) -> None:
    html = page(tmp_path)
    assert re.findall(r"<article><h3>(\w+)", html) == ["first", "second"]
    assert "xinfAP <b>0.250</b>" in html and "<td>0.5000" in html
    assert html.count("<li class=") == 2 * DEPTH


def test_pictures_link_to_the_clip_at_its_second(tmp_path: Path) -> None:
    html = page(tmp_path, video="d\"#'<b>ü.mp4")
    assert (
        '<a href="d%22%23%27%3Cb%3E%C3%BC.mp4#t=60.00,61.00" title="shotv_1: rank 1, score 9.0000, relevant">' in html
    )
    assert 'src="shotv_1%20%231.jpg"' in html
    assert "<time>1:00</time>" in html
    assert html.count("no picture") == 1


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, attrs))


@pytest.mark.parametrize("where", ["text", "warning", "video"])
def test_what_others_wrote_stays_text(where: str, tmp_path: Path) -> None:
    reader = Tags()
    reader.feed(page(tmp_path, **{where: EVIL}))  # type: ignore[arg-type]
    attributes = {name for _, found in reader.found for name, _ in found}
    assert attributes <= {
        "lang", "charset", "name", "content", "class", "id", "href", "title", "src", "alt", "loading", "role",
        "aria-label", "width", "height", "viewbox", "cx", "cy", "r", "d", "x", "y", "rx", "stroke-dasharray",
    }  # fmt: skip
    assert sum(tag == "img" for tag, _ in reader.found) == 2 * DEPTH - 1


def test_a_warning_is_on_the_page(tmp_path: Path) -> None:
    assert '<p class="warning" role="alert">take &lt; care</p>' in page(tmp_path, warning="take < care")
