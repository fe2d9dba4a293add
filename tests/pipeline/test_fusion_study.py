from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from avs.core.progress import Reporter
from avs.core.qrels import Qrels, TopicQrels
from avs.core.ranking import RankedList, Run
from avs.fusion.comb import Average
from avs.fusion.cross_validation import out_of_fold, value, values
from avs.fusion.folds import Fold, leave_one_out, topic_folds
from avs.fusion.fuser import Fuser, Learner, Pools
from avs.fusion.linear import Linear
from avs.fusion.ltr import Ltr, LtrSettings, learn_to_rank
from avs.fusion.methods import Learning, learner
from avs.fusion.normalize import Scale
from avs.fusion.pool import CandidatePool, pool_runs
from avs.fusion.subset import forward_selection
from avs.fusion.two_step import TwoStep
from avs.metrics.significance import randomization_test
from avs.metrics.xinfap import PreparedTopic
from avs.pipeline.fusion_findings import NOISE, findings, fold_means, topic_rows
from avs.pipeline.fusion_report import report_data, report_lines, write_report
from avs.pipeline.fusion_study import FusionStudy, study_fusion
from avs.pipeline.fusion_weights import ACROSS_LISTS, BY_FEATURES, BY_LISTS, TREES, WEIGHT, learned_parts
from avs.pipeline.objective import xinfap_objective

NASTY = "<b>&$x$_{1"
NAMES = ("laff", "laff-ml", "clip", NASTY)
SHOTS = [f"shot{i // 7 + 1:05d}_{i % 7 + 1}" for i in range(60)]


def make_runs(topics: int, *, seed: int = 0, names: Sequence[str] = NAMES) -> tuple[dict[str, Run], Qrels]:
    """Lists of 40 of 60 shots that see the truth through more and more noise."""
    rng = np.random.default_rng(seed)
    found: dict[str, dict[str, RankedList]] = {name: {} for name in names}
    qrels = {}
    for topic in map(str, range(901, 901 + topics)):
        truth = rng.standard_normal(60)
        for number, name in enumerate(names):
            seen = truth + (0.5 + 0.4 * number) * rng.standard_normal(60)
            found[name][topic] = RankedList.from_scores(topic, SHOTS, seen, limit=40)
        qrels[topic] = TopicQrels(topic, tuple(SHOTS), np.ones(60), (truth > 0.8).astype(int))
    return {name: Run(lists, "tag") for name, lists in found.items()}, Qrels(qrels)


class Counting:
    """A learner that says how often it was fitted, and to what."""

    def __init__(self, learn: Learner) -> None:
        self.learn = learn
        self.fits: list[tuple[str, ...]] = []

    def __call__(self, pools: Pools) -> Fuser:
        self.fits.append(tuple(pools))
        return self.learn(pools)


RUNS, QRELS = make_runs(9)
POOLS = pool_runs(RUNS)
LISTS = next(iter(POOLS.values())).lists
OBJECTIVE = xinfap_objective(QRELS)
FOLDS = topic_folds(tuple(POOLS), 3, seed=0)
SCALE = Scale("zscore")


def study(learn: Learner, *, pools: Pools = POOLS, folds: Sequence[Fold] = FOLDS, **how: object) -> FusionStudy:
    settings = {"method": "coordinate-ascent", "scale": SCALE, "objective": OBJECTIVE, "reporter": Reporter()} | how
    return study_fusion(pools, learn, folds=folds, **settings)  # type: ignore[arg-type]


def weighted(pools: Pools) -> Fuser:
    """Weights that depend on the topics it is given."""
    lists = next(iter(pools.values())).lists
    rng = np.random.default_rng([int(topic) for topic in pools])
    return Linear(dict(zip(lists, rng.dirichlet(np.ones(len(lists))).tolist(), strict=True)), SCALE)


def two_steps(pools: Pools) -> Fuser:
    linear = weighted({topic: pool.columns(NAMES[:2]) for topic, pool in pools.items()})
    return TwoStep(
        {"laffs": NAMES[:2]}, NAMES[2:], {"laffs": linear}, Linear({"laffs": 2, NAMES[2]: 1, NAMES[3]: 1}, SCALE)
    )


@pytest.fixture(scope="module")
def counted() -> tuple[FusionStudy, Counting]:
    learn = Counting(
        learner("coordinate-ascent", SCALE, Learning(OBJECTIVE, QRELS, {}, restarts=1)),
    )
    return study(learn), learn


def test_the_learned_method_is_scored_on_topics_it_has_not_seen(counted: tuple[FusionStudy, Counting]) -> None:
    found, learn = counted
    assert found.topics == tuple(POOLS)
    assert learn.fits[:3] == [fold.train for fold in FOLDS]
    for fold in FOLDS:
        for topic in fold.test:
            fused = found.fusers[fold.name].fuse(POOLS[topic])
            np.testing.assert_array_equal(found.lists[topic], fused)
            at = found.topics.index(topic)
            assert found.system("learned").values[at] == value(topic, POOLS[topic].shots, fused, OBJECTIVE)


def test_nothing_is_fitted_twice(counted: tuple[FusionStudy, Counting]) -> None:
    found, learn = counted
    sizes = [point.topics for point in found.curve[:-1]]
    assert sizes == [2, 3, 4]  # of 6 topics; a half of them is 3, and 1.5 and 4.5 are rounded to even
    assert len(learn.fits) == 3 + 3 * 3 * len(sizes)
    assert len(set(learn.fits[:3])) == 3


def test_the_last_point_of_the_curve_is_what_the_folds_give(counted: tuple[FusionStudy, Counting]) -> None:
    found, _ = counted
    assert found.curve[-1].topics == 6
    assert found.curve[-1].mean == pytest.approx(found.system("learned").mean)


def test_a_single_list_gets_no_credit_for_what_others_hold(counted: tuple[FusionStudy, Counting]) -> None:
    found, _ = counted
    assert any(len(pool) > 40 for pool in POOLS.values())
    for name, system in zip(LISTS, found.systems, strict=False):
        assert (system.name, system.kind) == (name, "list")
        for topic, measured in zip(found.topics, system.values, strict=True):
            prepared = PreparedTopic(QRELS.topics[topic])
            assert measured == pytest.approx(float(prepared.infap(prepared.codes(RUNS[name].lists[topic].shots))))


def test_a_list_that_lacks_a_topic_has_0_there() -> None:
    runs = RUNS | {"clip": Run({topic: ranked for topic, ranked in RUNS["clip"].lists.items() if topic != "901"}, "t")}
    found = study(lambda _: Average(SCALE), pools=pool_runs(runs, partial=True))
    (clip,) = [system for system in found.systems if system.name == "clip"]
    assert clip.values[0] == 0
    assert (clip.values[1:] > 0).all()


def test_the_subset_is_selected_without_the_topics_it_is_scored_on(counted: tuple[FusionStudy, Counting]) -> None:
    found, _ = counted
    by_hand = out_of_fold(lambda pools: forward_selection(pools, OBJECTIVE, scale=SCALE).fuser, POOLS, FOLDS)
    wanted = [value(topic, POOLS[topic].shots, scores, OBJECTIVE) for topic, (_, scores) in by_hand.items()]
    assert found.system("subset").values == pytest.approx(np.array(wanted))
    assert found.subset.means[-1] == pytest.approx(found.system("average").mean)
    for fold in FOLDS:
        chosen = forward_selection({topic: POOLS[topic] for topic in fold.train}, OBJECTIVE, scale=SCALE)
        assert found.subset.by_fold[fold.name].lists == chosen.lists
    assert found.subset.selection.path == forward_selection(POOLS, OBJECTIVE, scale=SCALE).path


def test_the_tests_are_those_of_the_two_rows(counted: tuple[FusionStudy, Counting]) -> None:
    found, _ = counted
    best = max((s for s in found.systems if s.kind == "list"), key=lambda s: s.mean)
    assert [(test.first, test.second) for test in found.comparisons] == [
        ("coordinate-ascent", "average"),
        ("coordinate-ascent", best.name),
        ("average", best.name),
        ("average of best subset", "average"),
    ]
    first, second = found.system("learned").values, found.system("average").values
    test = randomization_test(np.stack([first, second]))
    assert found.comparisons[0].p_value == pytest.approx(test.p_values[0, 1])
    assert found.comparisons[0].difference == pytest.approx(float((first - second).mean()))
    assert found.comparisons[0].exact and found.comparisons[0].swaps == 512
    assert found.comparisons[0].wins == int((first > second + 1e-12).sum())
    assert found.comparisons[0].losses == int((second > first + 1e-12).sum())


def test_a_list_may_have_the_name_of_a_fusion() -> None:
    runs, qrels = make_runs(6, names=("average", "rrf", "coordinate-ascent"))
    pools = pool_runs(runs)
    objective = xinfap_objective(qrels)
    found = study(weighted, pools=pools, objective=objective, folds=topic_folds(tuple(pools), 3, seed=0))
    fused = Average(SCALE)
    assert found.system("average").mean == pytest.approx(np.mean(list(values(fused, pools, objective).values())))
    assert found.system("list").mean != found.system("average").mean
    assert len(report_data(found)["systems"]) == 7


@pytest.mark.parametrize(
    ("difference", "p_value", "says", "hint"),
    [
        (0.02, 0.01, "coordinate-ascent beats the average. 0.5200 against 0.5000 (+0.0200, p = 0.010;", False),
        (0.02, 0.2, "coordinate-ascent does not beat the average beyond chance: these topics do not show", True),
        (-0.02, 0.2, "coordinate-ascent does not beat the average: use the average, which has nothing to fit.", True),
        (-0.02, 0.0001, "coordinate-ascent is worse than the average: use the average. 0.4800 against 0.5000", False),
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
    assert first == "average gives what the average gives, on every topic: learning changed nothing."
    assert not any("number of topics" in sentence for sentence in rest)  # of a flat curve there is nothing to say


def test_a_curve_that_is_not_flat_is_told(counted: tuple[FusionStudy, Counting]) -> None:
    found, _ = counted
    last = found.curve[-1].mean
    wanted = f"{last:.4f} from 6; the average has {found.system('average').mean:.4f}."
    assert findings(found)[-1].startswith("coordinate-ascent by the number of topics it learned from: ")
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


def test_weights_of_every_fold_and_of_the_final_fuser() -> None:
    fusers = {"a": Linear({"x": 3, "y": 1}), "b": Linear({"x": 0.5, "y": 0.5})}
    (part,) = learned_parts(fusers, Linear({"x": 0.2, "y": 0.8}))
    assert (part.title, part.final) == (WEIGHT, {"x": 0.2, "y": 0.8})
    first, second = part.rows()
    assert (first.name, first.values, first.mean, first.least, first.most) == ("x", (0.75, 0.5), 0.625, 0.5, 0.75)
    assert (second.name, second.mean) == ("y", 0.375)


def test_both_steps_show_what_they_learned() -> None:
    parts = learned_parts({"a": two_steps(POOLS)}, None)
    assert [part.title for part in parts] == ["step 1, laffs: weight", "step 2: weight"]
    assert parts[1].by_fold == {"a": {"laffs": 0.5, "clip": 0.25, NASTY: 0.25}}


def test_importances_are_shares_by_list_and_by_feature() -> None:
    settings = LtrSettings(trees=(0, 5), rows_in_leaf=5, learning_rate=0.1)
    fitted = learn_to_rank(POOLS, OBJECTIVE, qrels=QRELS, folds=[], settings=settings)
    none = Ltr(fitted.lists, 0, fitted.model)
    trees, lists, kinds = learned_parts({"a": fitted, "b": none}, None)
    assert (trees.title, trees.by_fold) == (TREES, {"a": {TREES: 5.0}, "b": {TREES: 0.0}})
    assert (lists.title, kinds.title) == (BY_LISTS, BY_FEATURES)
    assert list(lists.by_fold) == list(kinds.by_fold) == ["a"]  # without trees there is nothing to share out
    assert set(lists.by_fold["a"]) == {*NAMES, ACROSS_LISTS}
    assert sum(lists.by_fold["a"].values()) == pytest.approx(1)
    assert sum(kinds.by_fold["a"].values()) == pytest.approx(1)
    of_laff = sum(share for name, share in fitted.importances().items() if name.startswith("laff "))
    assert lists.by_fold["a"]["laff"] == pytest.approx(of_laff)
    across = sum(share for name, share in kinds.by_fold["a"].items() if name.endswith(ACROSS_LISTS))
    assert lists.by_fold["a"][ACROSS_LISTS] == pytest.approx(across)


def test_the_data_are_json(counted: tuple[FusionStudy, Counting]) -> None:
    found, _ = counted
    data = json.loads(json.dumps(report_data(found), allow_nan=False))
    fusions = ["rrf", "average", "average of best subset", "coordinate-ascent"]
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
    assert all(finding in text for finding in findings(found))
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
    write_report(study(learn, final=learn(POOLS)), path)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert "://" not in text and "url(http" not in text
    assert not {"script", "link", "img", "iframe", "object", "b1"} & set(page.tags)
    assert not [found for name, found in page.attributes if name in ("src", "xlink:href") or name.startswith("on")]
    assert page.tags.count("svg") == (5 if learn is weighted else 6)
    assert len([found for name, found in page.attributes if name == "aria-label" and found]) == page.tags.count("svg")
    assert NASTY in page.cells  # as text, neither a tag nor a formula
    assert f">{escape(NASTY)}</text>" in text
    assert [path.name for path in path.parent.iterdir()] == ["report.html"]


def test_ids_of_the_page_are_unique_and_lead_somewhere(tmp_path: Path) -> None:
    write_report(study(weighted), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert ids and len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) <= set(ids)


def test_every_colour_is_one_of_the_page(tmp_path: Path) -> None:
    write_report(study(weighted), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    light, dark = (re.findall(r"--(\w+): #", half) for half in text.split("prefers-color-scheme: dark", 1))
    assert sorted(light) == sorted(dark)
    assert set(re.findall(r"var\(--(\w+)\)", text)) <= {*light, "tone"}
    plots = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert "var(--learned)" in plots and not re.findall(r"#[0-9a-f]{6}\b", plots)


def test_the_same_study_gives_the_same_page(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_report(study(weighted), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_topic_a_fold_is_not_shown_twice(tmp_path: Path) -> None:
    found = study(weighted, folds=leave_one_out({topic: topic for topic in POOLS}))
    assert fold_means(found) == {}
    assert [len(point.means) for point in found.curve] == [1, 1, 1, 1]
    assert report_lines(found)[0].split() == ["xinfAP,", "9", "topics", "mean"]
    write_report(found, tmp_path / "report.html")


def test_the_least_there_can_be(tmp_path: Path) -> None:
    """One list, two topics, nothing to draw a curve from."""
    runs, qrels = make_runs(2, names=("only",))
    pools = pool_runs(runs)
    folds = topic_folds(tuple(pools), 2, seed=0)
    found = study(lambda _: Average(SCALE), pools=pools, folds=folds, objective=xinfap_objective(qrels), method="x")
    assert len(found.curve) == 1 and found.subset.selection.lists == ("only",)
    assert findings(found)[0] == "x gives what the average gives, on every topic: learning changed nothing."
    json.dumps(report_data(found), allow_nan=False)
    report_lines(found)
    write_report(found, tmp_path / "report.html")


def test_names_that_no_font_of_the_plots_has_are_drawn_by_the_browser(tmp_path: Path) -> None:
    runs, qrels = make_runs(4, names=("雪", "a" * 60))
    pools = pool_runs(runs)
    folds = topic_folds(tuple(pools), 2, seed=0)
    found = study(weighted, pools=pools, folds=folds, objective=xinfap_objective(qrels))
    write_report(found, tmp_path / "report.html")
    plots = "".join(re.findall(r"<svg.*?</svg>", (tmp_path / "report.html").read_text("utf-8"), re.DOTALL))
    assert ">雪</text>" in plots and ">aaaaaaaaaaaaaaaaa…aaaaaaaaaaaaaaaa</text>" in plots


def test_progress_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    study(weighted, reporter=Reporter(quiet=False))
    told = capsys.readouterr().err
    assert "progress: coordinate-ascent out of fold 3/3 folds" in told
    assert "progress: best subset 4/4 selections" in told
    assert "progress: coordinate-ascent learning curve 27/27 fits" in told


def test_a_pool_in_another_order_of_lists_is_the_same_study() -> None:
    turned: dict[str, CandidatePool] = {
        topic: pool.columns(pool.lists[::-1]) if number else pool for number, (topic, pool) in enumerate(POOLS.items())
    }
    one, other = (study(lambda _: Average(SCALE), pools=pools) for pools in (POOLS, turned))
    for first, second in zip(one.systems, other.systems, strict=True):
        assert first.values == pytest.approx(second.values)
