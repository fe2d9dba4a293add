"""A list as one file: the shots and figures of the server's list, its pictures inside, and nothing asked of anyone."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest
from live_server import SHOTS, TinyServed, ask
from pages import Watched
from PIL import Image

from avs.cli.main import main
from avs.core.ranking import RankedList, Run
from avs.trecvid.trec import write_trec

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Serve = Callable[..., httpx.Client]
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def listed(tiny: TinyServed, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options of a collection with a ranked list of topic 661."""
    folder = tmp_path_factory.mktemp("lists")
    rng = np.random.default_rng(4)
    ids = [line.split("\t")[0] for line in tiny.shots.read_text().splitlines()[1:]]
    write_trec(Run({"661": RankedList.from_scores("661", ids[:30], rng.random(30))}, "mine"), folder / "mine.trec")
    stores = [word for store in tiny.stores for word in ("--store", str(store))]
    return [
        *stores, "--shots", str(tiny.shots), "--videos", str(tiny.videos), "--topics", str(tiny.topics), "--qrels",
        str(tiny.qrels), "--lists", str(folder), "--cache", str(tmp_path_factory.mktemp("cache")), "--sessions",
        str(folder / "sessions"),
    ]  # fmt: skip


def exported(options: list[str], file: Path, *more: object) -> str:
    assert main(["serve", *options, "--export-page", str(file), *map(str, more), "--quiet"]) == 0
    return file.read_text(encoding="utf-8")


def shots_of(html: str) -> list[str]:
    return re.findall(r"<li class=.*?<b>\d+</b><span>([^<]*)</span>", html)


def pixels(coded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(coded)).convert("RGB"), dtype=float)


def test_the_list_is_that_of_the_server(listed: list[str], shared_client: httpx.Client, tmp_path: Path) -> None:
    html = exported(listed, tmp_path / "page.html", "--text", "a red circle", "--topic", "661", "--top", 12)
    answer = ask(shared_client, "a red circle", topic="661")
    assert shots_of(html) == [one["shot"] for one in answer["results"][:12]]
    figures = answer["measures"]["all"]
    for name, shown in {"infAP": "xinfAP", "iP@10": "P@10", "infNDCG": "infNDCG"}.items():
        assert f"{shown} <b>{figures[name]['text']}</b>" in html
    marks = re.findall(r'<li class="([^"]*)">', html)
    words = {1: "relevant", 0: "judged-not-relevant", -1: "not-judged", None: ""}
    assert marks == [words[one["judgment"]] for one in answer["results"][:12]]
    assert f"first 12 of {SHOTS} shots" in html and "automatic" in html and "class=alone" in html
    assert not (Path(listed[-1])).exists()  # nothing is journalled
    assert str(Path(listed[1]).parents[2]) not in html  # no path of this machine


def test_its_pictures_are_those_of_the_server(listed: list[str], shared_client: httpx.Client, tmp_path: Path) -> None:
    html = exported(listed, tmp_path / "page.html", "--text", "a dog", "--by", "two-shot", "--top", 3)
    coded = re.findall(r'src="data:image/jpeg;base64,([^"]*)" alt="([^"]*)"', html)
    assert [shot for _, shot in coded] == shots_of(html) and len(coded) == 3
    served = [pixels(shared_client.get(f"/media/keyframe/{shot}.jpg").content) for _, shot in coded]
    for at, (data, _) in enumerate(coded):
        here = pixels(base64.b64decode(data))
        assert max(here.shape) <= 320 and int(np.argmin([np.abs(here - there).mean() for there in served])) == at
    again = exported(listed, tmp_path / "again.html", "--text", "a dog", "--by", "two-shot", "--top", 3)
    assert again == html


def test_topics_lists_and_questions_in_time(
    listed: list[str], shared_client: httpx.Client, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_topic = exported(listed, tmp_path / "a.html", "--topic", "662")
    assert shots_of(by_topic) == [one["shot"] for one in ask(shared_client, "two people dance")["results"]]
    assert "<h1>two people dance</h1>" in by_topic and "Topic 662 ·" in by_topic
    mine = exported(listed, tmp_path / "b.html", "--topic", "661", "--by", "mine", "--top", 1000)
    assert len(shots_of(mine)) == 30 and "<h3>mine <span>xinfAP" in mine and "<h1>a red circle</h1>" in mine
    both = exported(listed, tmp_path / "c.html", "--text", "a dog", "--text", EVIL, "--top", 5)
    answer = ask(shared_client, parts=[{"text": "a dog"}, {"text": EVIL}])
    tiles = both.split("<li class=")[1:6]
    assert [re.findall(r'alt="([^"]*)"', tile) for tile in tiles] == [one["parts"] for one in answer["results"][:5]]
    assert EVIL not in both and "a dog &lt; &lt;img src=x onerror=alert(1)&gt;" in both
    assert main(["serve", *listed, "--export-page", str(tmp_path / "d.html"), "--topic", "663", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["shots"], told["total"], told["without_picture"]) == (SHOTS, SHOTS, {})
    assert told["bytes"] == (tmp_path / "d.html").stat().st_size


def test_without_pictures_ids_are_shown_and_it_is_told(
    tiny: TinyServed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--store", str(tiny.stores[0]), "--cache", str(tmp_path / "cache")]
    assert main(["serve", *options, "--export-page", str(tmp_path / "a.html"), "--text", "a dog"]) == 0
    html, err = (tmp_path / "a.html").read_text(), capsys.readouterr().err
    assert html.count("no picture") == SHOTS == len(shots_of(html)) and "<time>" not in html
    assert f"{SHOTS} shots without a picture" in err
    broken = tmp_path / "videos"
    shutil.copytree(tiny.videos, broken)
    (broken / "00001.mp4").write_bytes(b"not a video")
    options += ["--shots", str(tiny.shots), "--videos", str(broken)]
    assert main(["serve", *options, "--export-page", str(tmp_path / "b.html"), "--text", "a dog"]) == 0
    assert (tmp_path / "b.html").read_text().count("no picture") == 25
    assert "25 shots without a picture" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ([], "nothing to show"),
        (["--topic", "999"], "no such topic"),
        (["--topic", "662", "--by", "mine"], "no shots of this topic"),
        (["--text", "a dog", "--by", "on-shot"], 'did you mean "one-shot"'),
        (["--text", "a dog", "--by", "mine"], "a ranked list is of topics"),
        (["--text", " "], "not a question"),
        (["--text", "x" * 2001], "2,000 characters"),
        (["--text", "a dog", "--top", "0"], "more than a page shows"),
        (["--text", "a dog", "--topic", "a/b"], "topic"),
        (["--text", "a dog", "--fuse", "best"], "no such fuser"),
        ([word for text in "abcde" for word in ("--text", text)], "1 to 4 sentences"),
    ],
)
def test_what_cannot_be_shown(
    listed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], told: str
) -> None:
    assert main(["serve", *listed, "--export-page", str(tmp_path / "page.html"), *more]) == 2
    assert told in capsys.readouterr().err and not (tmp_path / "page.html").exists()


def test_a_page_never_replaces_a_file_of_another_kind(
    listed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "topics.txt").write_text("mine")
    (tmp_path / "folder.html").mkdir()
    for name in ("topics.txt", "folder.html"):
        assert main(["serve", *listed, "--export-page", str(tmp_path / name), "--text", "a dog"]) == 2
        assert "a name that ends in .html" in capsys.readouterr().err
    assert (tmp_path / "topics.txt").read_text() == "mine"
    assert main(["serve", *listed, "--text", "a dog", "--top", "3"]) == 2
    assert "--text, --top" in capsys.readouterr().err


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    """Pages of files, which ask nobody."""
    found = Watched(browser, "file:///")
    yield found
    found.end()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1024, 1920])
def test_it_opens_without_a_server_or_a_network(
    listed: list[str], watched: Watched, tmp_path: Path, scheme: str, width: int
) -> None:
    """Every picture is there, no script runs, nothing is reported, and it is as wide as the window."""
    exported(listed, tmp_path / "page.html", "--text", EVIL, "--topic", "661", "--top", 40)
    page = watched.page(
        f"file://{tmp_path / 'page.html'}", color_scheme=scheme, offline=True, viewport={"width": width, "height": 900}
    )
    assert page.locator("h1").inner_text() == EVIL and page.title() == EVIL
    page.locator("li img").last.scroll_into_view_if_needed()
    sizes = page.evaluate("Promise.all([...document.images].map(one => one.decode().then(() => one.naturalWidth)))")
    assert len(sizes) == 40 and min(sizes) > 0
    assert page.evaluate("document.documentElement.scrollWidth") == width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(251, 251, 250)" if scheme == "light" else "rgb(19, 19, 20)")
    folder = os.environ.get("AVS_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"export-{scheme}-{width}.png"))
