from __future__ import annotations

import json
import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from tiny_study import FOLDS, LISTS, NASTY, POOLS, SCALE, Counting, counted_study, make_runs, study, two_steps, weighted

from avs.fusion.folds import leave_one_out, topic_folds
from avs.fusion.fuser import Learner
from avs.fusion.methods.comb import Average
from avs.fusion.pool import pool_runs
from avs.metrics.xinfap_objective import xinfap_objective
from avs.pipeline.fuse.page import write_page
from avs.pipeline.fuse.report import NOISE, curve_lines, findings, fold_means, report_data, report_lines, topic_rows
from avs.pipeline.fuse.study import FusionStudy


@pytest.fixture(scope="module")
def counted() -> tuple[FusionStudy, Counting]:
    return counted_study()


@pytest.mark.parametrize(
    ("difference", "p_value", "says", "hint"),
    [
        (
            0.02,
            0.01,
            "coordinate-ascent beats the average (p = .010). Mean xinfAP: 0.5200 against 0.5000 (+0.02",
            False,
        ),
        (
            0.02,
            0.2,
            "The difference between coordinate-ascent and the average is not significant (p = .200): these",
            True,
        ),
        (
            -0.02,
            0.2,
            "The difference between coordinate-ascent and the average is not significant (p = .200): use",
            True,
        ),
        (-0.02, 0.0001, "coordinate-ascent is worse than the average, so use the average (p < .001). Mean", False),
    ],
)
def test_the_first_finding_says_plainly_whether_learning_helps(
    counted: tuple[FusionStudy, Counting], difference: float, p_value: float, says: str, hint: bool
) -> None:
    found, _ = counted
    test = replace(found.comparisons[0], means=(0.5 + difference, 0.5), p_value=p_value, wins=5, losses=4)
    first = findings(replace(found, comparisons=(test, *found.comparisons[1:])))[0]
    assert first.startswith(says)
    assert first.endswith(NOISE) == hint


def test_what_learns_nothing_is_said_to_change_nothing() -> None:
    first, *rest = findings(study(lambda _: Average(SCALE), method="average"))
    assert first == "average scores the same as the average on every topic: learning changed nothing."
    assert not any("number of topics" in sentence for sentence in rest)  # of a flat curve there is nothing to say


@pytest.mark.parametrize("difference", [-0.0014, 0.0, 0.0014])
def test_a_method_without_learning_that_is_above_the_learned_one_is_told(
    counted: tuple[FusionStudy, Counting], difference: float
) -> None:
    found, _ = counted
    test = replace(found.comparisons[-1], means=(0.3576, 0.3576 - difference), p_value=0.4)
    assert (test.first, test.second) == ("coordinate-ascent", found.system("unlearned").name)
    second = findings(replace(found, comparisons=(*found.comparisons[:-1], test)))[1]
    said = f"{test.second}, which learns nothing, is above coordinate-ascent (p = .400). Mean xinfAP: 0.3576 against "
    assert second.startswith(said) == (difference < 0)


def test_a_curve_that_is_not_flat_is_told(counted: tuple[FusionStudy, Counting]) -> None:
    found, _ = counted
    last = found.curve[-1].mean
    wanted = f"{last:.4f} from 6; the average has {found.system('average').mean:.4f}."
    assert findings(found)[-1].startswith("Mean xinfAP of coordinate-ascent by the number of topics it learned from: ")
    assert findings(found)[-1].endswith(wanted)


def test_the_means_of_the_folds_make_up_the_mean(counted: tuple[FusionStudy, Counting]) -> None:
    found, _ = counted
    folds = fold_means(found)
    assert list(folds) == ["fold 1", "fold 2", "fold 3"]
    sizes = [len(fold.test) for fold in FOLDS]
    for row, system in enumerate(found.systems):
        assert np.average([means[row] for means in folds.values()], weights=sizes) == pytest.approx(system.mean)


def test_topics_stand_by_their_difference(counted: tuple[FusionStudy, Counting]) -> None:
    found, _ = counted
    rows = topic_rows(found)
    sizes = [abs(row.difference) for row in rows]
    assert sizes == sorted(sizes, reverse=True) and {row.topic for row in rows} == set(POOLS)
    for row in rows:
        at = found.topics.index(row.topic)
        assert row.learned == found.system("learned").values[at]
        assert row.average == found.system("average").values[at]
        assert row.topic in next(fold for fold in FOLDS if fold.name == row.fold).test


def test_the_data_are_json(counted: tuple[FusionStudy, Counting]) -> None:
    found, _ = counted
    data = json.loads(json.dumps(report_data(found), allow_nan=False))
    fusions = ["rrf", "combmnz", "borda", "average", "average of best subset", "coordinate-ascent"]
    assert [row["name"] for row in data["systems"]] == [*LISTS, *fusions]
    assert data["systems"][-1]["topics"] == dict(zip(found.topics, found.system("learned").values, strict=True))
    assert data["tests"][0]["p_value"] == found.comparisons[0].p_value
    assert data["best_subset"]["path"] == list(found.subset.selection.path)
    assert [point["topics"] for point in data["learning_curve"]] == [2, 3, 4, 6]
    assert data["findings"] == findings(found)
    assert data["folds"][0] == {"name": "fold 1", "train": list(FOLDS[0].train), "test": list(FOLDS[0].test)}


def test_the_lines_hold_every_system_and_the_findings(counted: tuple[FusionStudy, Counting]) -> None:
    found, _ = counted
    text = "\n".join(report_lines(found))
    for system in found.systems:
        assert re.search(rf"^{re.escape(system.name)}( \(list\))? +{system.mean:.4f} ", text, re.MULTILINE)
    assert all(finding in text for finding in findings(found)[:-1])
    means = re.findall(r"^.*?  (\d\.\d{4})", text.partition("\n\n")[0], re.MULTILINE)
    assert len(means) == len(found.systems) and means == sorted(means, reverse=True)
    assert findings(found)[-1:] == curve_lines(found) and curve_lines(found)[0] not in text
    assert "The best single list is chosen in hindsight" in text


class Page(HTMLParser):
    """What stands in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.cells: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, found or "") for name, found in attrs]

    def handle_data(self, data: str) -> None:
        self.cells.append(data)


@pytest.mark.parametrize("learn", [weighted, two_steps], ids=["one step", "two steps"])
def test_the_page_stands_by_itself(tmp_path: Path, learn: Learner) -> None:
    path = tmp_path / "deep" / "report.html"
    write_page(study(learn, final=learn(POOLS)), path)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert "://" not in text and "url(http" not in text
    assert not {"script", "link", "img", "iframe", "object", "hr"} & set(page.tags)
    assert not [found for name, found in page.attributes if name in ("src", "xlink:href") or name.startswith("on")]
    assert page.tags.count("svg") == (5 if learn is weighted else 6)
    assert len([found for name, found in page.attributes if name == "aria-label" and found]) == page.tags.count("svg")
    assert NASTY in page.cells  # as text, neither a tag nor a formula
    assert all(re.match(r"\s*<", drawn) for drawn in re.split(r"<svg [^>]*>", text)[1:])  # nothing left of its header
    assert page.tags.count("details") > 4 and [name for name, _ in page.attributes].count("open") == 1
    assert f">{escape(NASTY)}</text>" in text
    assert [path.name for path in path.parent.iterdir()] == ["report.html"]


def test_ids_of_the_page_are_unique_and_lead_somewhere(tmp_path: Path) -> None:
    write_page(study(weighted), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert ids and len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) <= set(ids)


def test_every_colour_is_one_of_the_page(tmp_path: Path) -> None:
    write_page(study(weighted), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    light, dark = (re.findall(r"--(\w+): #", half) for half in text.split("prefers-color-scheme: dark", 1))
    assert sorted(light) == sorted(dark)
    assert set(re.findall(r"var\(--(\w+)\)", text)) <= {*light, "tone"}
    plots = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert "var(--learned)" in plots and not re.findall(r"#[0-9a-f]{6}\b", plots)


def test_the_same_study_gives_the_same_page(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_page(study(weighted), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_topic_a_fold_is_not_shown_twice(tmp_path: Path) -> None:
    found = study(weighted, folds=leave_one_out({topic: topic for topic in POOLS}))
    assert fold_means(found) == {}
    assert [len(point.means) for point in found.curve] == [1, 1, 1, 1]
    assert report_lines(found)[0].split() == ["xinfAP,", "9", "topics", "mean"]
    write_page(found, tmp_path / "report.html")


def test_the_least_there_can_be(tmp_path: Path) -> None:
    """One list, two topics, nothing to draw a curve from."""
    runs, qrels = make_runs(2, names=("only",))
    pools = pool_runs(runs)
    folds = topic_folds(tuple(pools), 2, seed=0)
    found = study(lambda _: Average(SCALE), pools=pools, folds=folds, objective=xinfap_objective(qrels), method="x")
    assert len(found.curve) == 1 and found.subset.selection.lists == ("only",)
    assert findings(found)[0] == "x scores the same as the average on every topic: learning changed nothing."
    json.dumps(report_data(found), allow_nan=False)
    report_lines(found)
    write_page(found, tmp_path / "report.html")


def test_names_that_no_font_of_the_plots_has_are_drawn_by_the_browser(tmp_path: Path) -> None:
    runs, qrels = make_runs(4, names=("雪", "a" * 60))
    pools = pool_runs(runs)
    folds = topic_folds(tuple(pools), 2, seed=0)
    found = study(weighted, pools=pools, folds=folds, objective=xinfap_objective(qrels))
    write_page(found, tmp_path / "report.html")
    plots = "".join(re.findall(r"<svg.*?</svg>", (tmp_path / "report.html").read_text("utf-8"), re.DOTALL))
    assert ">雪</text>" in plots and ">aaaaaaaaaaaaaaaaa…aaaaaaaaaaaaaaaa</text>" in plots


MARKS = {
    "mean xinfAP over 9 topics (the axis does not start at 0)",
    *("single list", "unlearned", "average", "best subset", "coordinate-ascent"),
    *("topic", "xinfAP, coordinate-ascent − average"),
    *("share of all weights", "mean over folds (bar: range)", "fitted on all topics", "equal weights: the average"),
    *("number of lists averaged", "mean xinfAP", "average of all", "best in sample: 4 lists"),
    *("in sample: selected on the same topics", "out of fold: selected without them"),
    *("number of topics learned from", "mean xinfAP, same held-out topics"),
    *("coordinate-ascent, mean", "one draw of topics", "average, which learns nothing"),
}


@pytest.mark.parametrize("learn", [weighted, two_steps], ids=["one step", "two steps"])
def test_plots_name_their_axes_and_their_marks(tmp_path: Path, learn: Learner) -> None:
    write_page(study(learn, final=learn(POOLS)), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert MARKS <= set(re.findall(r">([^<>]+)</text>", text))
