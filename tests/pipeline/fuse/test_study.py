from __future__ import annotations

import numpy as np
import pytest
from tiny_study import (
    FOLDS,
    LISTS,
    OBJECTIVE,
    POOLS,
    QRELS,
    RUNS,
    SCALE,
    Counting,
    counted_study,
    make_runs,
    study,
    weighted,
)

from avs.core.progress import Reporter
from avs.core.ranking import Run
from avs.fusion.cross_validation import out_of_fold, value, values
from avs.fusion.folds import topic_folds
from avs.fusion.methods.comb import Average
from avs.fusion.pool import CandidatePool, pool_runs
from avs.fusion.subset import forward_selection
from avs.metrics.significance import randomization_test
from avs.metrics.xinfap import PreparedTopic
from avs.metrics.xinfap_objective import xinfap_objective
from avs.pipeline.fuse.report import report_data
from avs.pipeline.fuse.study import FusionStudy, _list_values


@pytest.fixture(scope="module")
def counted() -> tuple[FusionStudy, Counting]:
    return counted_study()


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


def test_ties_of_a_single_list_are_broken_by_position() -> None:
    scores = np.random.default_rng(0).integers(0, 3, 500).astype(np.float64)[:, None]
    shots = tuple(f"shot{i:05d}_1" for i in reversed(range(500)))
    pool = CandidatePool("1", ("x",), shots, scores, np.ones((500, 1), np.int64), np.ones((500, 1), dtype=bool))
    orders: list[list[int]] = []

    def objective(topic: str, shots: object) -> object:
        return lambda order: orders.append(order.tolist()) or 0.5

    assert _list_values(pool, objective) == [0.5]  # type: ignore[arg-type]
    assert orders == [sorted(range(500), key=lambda i: (-scores[i, 0], i))]


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
        ("coordinate-ascent", found.system("unlearned").name),
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
    assert len(report_data(found)["systems"]) == 9


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


def test_the_lists_of_a_fold_are_selected_on_its_topics_and_the_scale_of_the_study(
    counted: tuple[FusionStudy, Counting],
) -> None:
    found, _ = counted
    for fold in FOLDS:
        wanted = forward_selection({topic: POOLS[topic] for topic in fold.train}, OBJECTIVE, scale=SCALE)
        selection = found.subset.by_fold[fold.name]
        assert (selection.path, selection.lists, selection.scale) == (wanted.path, wanted.lists, SCALE)
        np.testing.assert_array_equal(selection.means, wanted.means)
