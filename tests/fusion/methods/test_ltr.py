from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from tiny_pools import fused_order, one_topic, random_pools, random_runs, shot_ids

from avs.core.errors import ConfigError, DataError
from avs.core.qrels import Qrels, TopicQrels
from avs.core.ranking import RankedList, Run
from avs.fusion.cross_validation import values
from avs.fusion.folds import topic_folds
from avs.fusion.methods import ltr as ltr_module
from avs.fusion.methods.ltr import (
    MAX_ROWS,
    Ltr,
    LtrSettings,
    TrainingRows,
    fit_booster,
    learn_to_rank,
    training_rows,
)
from avs.fusion.methods.ltr_features import feature_names, features, monotone_constraints
from avs.fusion.methods.method import unlearned
from avs.fusion.methods.start import STARTS, standardised_average
from avs.fusion.normalize import Scale
from avs.fusion.pool import CandidatePool, pool_runs
from avs.metrics.xinfap_objective import xinfap_objective

SMALL = LtrSettings(trees=(0, 5, 20), learning_rate=0.2, rows_in_leaf=5, feature_share=0.5)
ALL_TREES = LtrSettings(trees=(20,), learning_rate=0.2, rows_in_leaf=5, feature_share=0.5)


def fitted(seed: int, settings: LtrSettings = ALL_TREES) -> tuple[Ltr, dict[str, CandidatePool], Qrels]:
    pools, qrels = random_pools(seed, topics=6, shots=200, depth=120, noise=(0.3, 1, 2, 3))
    return learn_to_rank(pools, xinfap_objective(qrels), qrels=qrels, folds=(), settings=settings), pools, qrels


def wide_pool(count: int) -> CandidatePool:
    shots = tuple(sorted(shot_ids(count), reverse=True))
    scores = np.random.default_rng(0).standard_normal((count, 2))
    ranks = np.argsort(np.argsort(-scores, axis=0), axis=0) + 1
    return CandidatePool("1", ("x", "y"), shots, scores, ranks, np.ones((count, 2), dtype=bool))


def judged(pool: CandidatePool, strata: np.ndarray, judgments: np.ndarray) -> TopicQrels:
    return TopicQrels("1", pool.shots, strata, judgments)


def rows_of(pool: CandidatePool, qrels: TopicQrels, seed: int = 0) -> tuple[list[str], np.ndarray]:
    average = standardised_average(pool)
    positions, labels = training_rows(pool, qrels, average, rng=np.random.default_rng(seed))
    return [pool.shots[i] for i in positions], labels


def test_two_fits_are_one() -> None:
    first, _, _ = fitted(0)
    second, _, _ = fitted(0)
    assert first.model == second.model and "Tree=19" in first.model
    assert fitted(1)[0].model != first.model


def test_it_learns_which_list_to_trust() -> None:
    ltr, pools, qrels = fitted(0)
    objective = xinfap_objective(qrels)
    for topic, pool in pools.items():
        measure = objective(topic, pool.shots)
        scores = np.stack([ltr.fuse(pool), standardised_average(pool)])
        learned, average = measure(np.argsort(-scores, axis=1, kind="stable"))
        assert learned > average + 0.02
    shares = ltr.importances()
    assert next(iter(shares)).startswith("m0 ") and sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


@pytest.mark.parametrize("seed", range(3))
def test_raising_what_a_list_says_never_lowers_the_score(seed: int) -> None:
    ltr, pools, _ = fitted(seed)
    names, rng = feature_names(ltr.lists), np.random.default_rng(seed)
    rises = monotone_constraints(ltr.lists)
    seen = features(pools["1"])
    before = ltr._booster.predict(seen, raw_score=True)
    moved = set()
    for column, rise in enumerate(rises):
        other = seen.copy()
        other[:, column] += np.abs(rng.standard_normal(len(seen)) * 2 * (seen[:, column].std() + 0.1))
        after = ltr._booster.predict(other, raw_score=True)
        if rise:
            assert (after >= before).all(), names[column]
        if (after > before).any():
            moved.add(names[column])
    assert len(moved) > 5


def test_without_trees_it_is_exactly_the_average() -> None:
    _, pools, _ = fitted(0)
    none = Ltr(("m0", "m1", "m2", "m3"), 0, "")
    for pool in pools.values():
        average = Scale("zscore")(pool).mean(axis=1)
        np.testing.assert_array_equal(none.fuse(pool), (average - average.mean()) / average.std())
        assert fused_order(pool, none.fuse(pool)) == fused_order(pool, average)
    assert none.importances() == {}


def test_stages_are_the_first_so_many_trees() -> None:
    ltr, pools, _ = fitted(0)
    stages = ltr.stages(pools["1"], [0, 3, 20])
    for row, trees in zip(stages, (0, 3, 20), strict=True):
        np.testing.assert_array_equal(row, Ltr(ltr.lists, trees, ltr.model).fuse(pools["1"]))
    assert len({row.tobytes() for row in stages}) == 3


def test_the_number_of_trees_is_the_best_on_topics_held_out() -> None:
    pools, qrels = random_pools(4, topics=6, shots=200, depth=120, noise=(0.3, 1, 2, 3))
    objective, folds = xinfap_objective(qrels), topic_folds(tuple(pools), 3, seed=0)
    held_out: list[np.ndarray] = []
    for fold in folds:
        train = {t: pools[t] for t in fold.train}
        one = learn_to_rank(train, objective, qrels=qrels, folds=(), settings=SMALL)
        for topic in fold.test:
            orders = np.argsort(-one.stages(pools[topic], SMALL.trees), axis=1, kind="stable")
            held_out.append(objective(topic, pools[topic].shots)(orders))
    best = SMALL.trees[int(np.mean(held_out, axis=0).argmax())]
    ltr = learn_to_rank(pools, objective, qrels=qrels, folds=folds, settings=SMALL)
    assert ltr.trees == best > 0


def with_outliers(topics: int) -> tuple[dict[str, CandidatePool], Qrels]:
    """Lists whose ranks say more than their scores: in each, the scores of 20 shots are blown up at random."""
    runs, qrels = random_runs(0, topics=topics, shots=200, depth=200, noise=(1, 1, 1, 1))
    rng = np.random.default_rng(1)
    for name, run in runs.items():
        lists = {}
        for topic, ranked in run.lists.items():
            blown = np.where(np.arange(200) < 20, ranked.scores + rng.exponential(40, 200), ranked.scores)
            lists[topic] = RankedList.from_scores(topic, ranked.shots, blown, limit=200)
        runs[name] = Run(lists, name)
    return pool_runs(runs), qrels


def test_it_starts_from_the_unlearned_combination_that_is_best_beyond_doubt() -> None:
    pools, qrels = with_outliers(12)
    objective, folds = xinfap_objective(qrels), topic_folds(tuple(pools), 3, seed=0)
    worth = {name: np.mean(list(values(unlearned(name, Scale()), pools, objective).values())) for name in STARTS}
    assert worth["rrf"] > worth["average"] + 0.05
    settings = SMALL
    ltr = learn_to_rank(pools, objective, qrels=qrels, folds=folds, settings=settings)
    assert ltr.start != "average" and worth[ltr.start] > worth["average"] + 0.05
    for pool in pools.values():
        none = Ltr(ltr.lists, 0, "", ltr.start)
        assert fused_order(pool, none.fuse(pool)) == fused_order(pool, unlearned(ltr.start, Scale()).fuse(pool))
    assert learn_to_rank(pools, objective, qrels=qrels, folds=(), settings=settings).start == "average"


@pytest.mark.parametrize("start", STARTS)
def test_the_trees_are_boosted_from_the_start(start: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pools, qrels = random_pools(4, topics=6, shots=200, depth=120, noise=(0.3, 1, 2, 3))
    given: list[TrainingRows] = []
    monkeypatch.setattr(ltr_module, "choose_start", lambda pools, objective: start)
    monkeypatch.setattr(ltr_module, "fit_booster", lambda rows, *_: given.extend(rows) or fit_booster(rows, *_))
    folds = topic_folds(tuple(pools), 3, seed=0)
    fused = learn_to_rank(pools, xinfap_objective(qrels), qrels=qrels, folds=folds, settings=ALL_TREES)
    assert fused.start == start
    for rows in given:
        assert set(rows.start) <= set(STARTS[start](pools[rows.topic].columns(fused.lists)))
    for pool in pools.values():
        trees = fused._booster.predict(features(pool.columns(fused.lists)), raw_score=True)
        np.testing.assert_allclose(fused.fuse(pool), STARTS[start](pool) + trees, rtol=1e-12)


def test_noise_teaches_nothing_and_the_average_stays() -> None:
    """Labels at random: whatever trees find in them fails on the other topics."""
    pools, qrels = random_pools(0, topics=12, shots=200, depth=200, noise=0.7)
    worth = {topic: TopicQrels(topic, one.shots, one.strata, one.judgments) for topic, one in qrels.topics.items()}
    rng = np.random.default_rng(0)
    noise = {t: TopicQrels(t, q.shots, q.strata, rng.permutation(q.judgments)) for t, q in worth.items()}
    objective = xinfap_objective(qrels)  # what counts are the true labels
    folds = topic_folds(tuple(pools), 3, seed=0)
    ltr = learn_to_rank(pools, objective, qrels=Qrels(noise), folds=folds, settings=SMALL)
    assert ltr.trees == 0


def test_lists_in_another_order_give_the_same_bits() -> None:
    ltr, pools, _ = fitted(0)
    for pool in pools.values():
        assert ltr.fuse(pool.columns(pool.lists[::-1])).tobytes() == ltr.fuse(pool).tobytes()
    with pytest.raises(ConfigError, match="the fuser needs lists that are missing"):
        ltr.fuse(pools["1"].columns(("m0", "m1", "m2")))


def test_unjudged_shots_are_never_learned_from() -> None:
    pool = wide_pool(60)
    rng = np.random.default_rng(1)
    grades, strata = rng.choice([-1, 0, 1], 60), rng.integers(1, 3, 60)
    outside = TopicQrels("1", (*pool.shots[:50], "shot99999_1"), np.append(strata[:50], 1), np.append(grades[:50], 1))
    shots, labels = rows_of(pool, outside)
    known = dict(zip(pool.shots[:50], grades.tolist(), strict=False))
    assert set(shots) == {shot for shot, grade in known.items() if grade >= 0}  # nor are those of no list
    assert all(known[shot] == label for shot, label in zip(shots, labels.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_a_judged_shot_is_taken_for_all_it_stands_for(seed: int) -> None:
    pool = wide_pool(1000)
    strata = np.repeat([1, 2, 3], [100, 200, 700])
    rng = np.random.default_rng(seed)
    grades = rng.integers(0, 2, 1000)
    grades[(strata == 2) & (rng.random(1000) > 0.7)] = -1
    grades[(strata == 3) & (rng.random(1000) > 0.13)] = -1
    shots, _ = rows_of(pool, judged(pool, strata, grades), seed)
    stratum = dict(zip(pool.shots, strata.tolist(), strict=True))
    for one, pooled in ((1, 100), (2, 200), (3, 700)):
        here = [shot for shot in shots if stratum[shot] == one]
        assert len(here) == pooled
        times = np.unique(here, return_counts=True)[1]
        sampled = np.count_nonzero((strata == one) & (grades >= 0))
        assert len(times) == sampled and set(times) <= {pooled // sampled, -(-pooled // sampled)}


def test_each_judged_shot_is_taken_equally_often_on_average() -> None:
    pool = wide_pool(70)
    grades = np.where(np.arange(70) < 30, np.arange(70) % 2, -1)
    taken = np.zeros(70)
    for seed in range(2000):
        positions, _ = training_rows(
            pool, judged(pool, np.ones(70), grades), np.zeros(70), rng=np.random.default_rng(seed)
        )
        taken += np.bincount(positions, minlength=70)
    np.testing.assert_allclose(taken[:30] / 2000, 70 / 30, atol=0.06)  # 5 standard errors
    assert not taken[30:].any()


def test_a_stratum_without_judgments_teaches_nothing() -> None:
    pool = wide_pool(20)
    shots, labels = rows_of(pool, judged(pool, np.repeat([1, 2], 10), np.repeat([1, -1], 10)))
    assert sorted(shots) == sorted(pool.shots[:10]) and labels.all()


def test_beyond_the_limit_all_relevant_rows_stay_and_the_best_of_the_others() -> None:
    pool = wide_pool(12_000)
    grades = np.zeros(12_000, dtype=int)
    grades[np.random.default_rng(1).permutation(12_000)[:3000]] = 1
    average = standardised_average(pool)
    positions, labels = training_rows(
        pool, judged(pool, np.ones(12_000), grades), average, rng=np.random.default_rng(0)
    )
    assert len(positions) == MAX_ROWS and (labels == grades[positions]).all()
    assert set(np.flatnonzero(grades)) <= set(positions.tolist())
    others = np.flatnonzero(grades == 0)
    left_out = np.setdiff1d(others, positions)
    assert average[left_out].max() <= average[np.intersect1d(others, positions)].min()


@pytest.mark.parametrize("count", [10_000, 10_001])
def test_more_rows_than_lightgbm_takes(count: int) -> None:
    rows = TrainingRows("661", np.random.default_rng(0).random((count, 3)), np.arange(count) % 2, np.zeros(count))
    parameters = {"objective": "lambdarank", "label_gain": [0, 1], "verbosity": -1, "num_threads": 1}
    if count <= MAX_ROWS:
        assert fit_booster([rows], parameters, 1).num_trees() == 1
        return
    with pytest.raises(DataError) as error:
        fit_booster([rows], parameters, 1)
    assert str(error.value) == (
        "too many rows to learn to rank from\n"
        "  where:  topic 661\n"
        "  got:    10001\n"
        "  wanted: at most 10000, LightGBM's limit for a query"
    )


def test_nothing_to_learn_from() -> None:
    pools, qrels = random_pools(0)
    objective = xinfap_objective(qrels)
    with pytest.raises(ConfigError) as error:
        learn_to_rank({}, objective, qrels=qrels, folds=())
    assert str(error.value) == "nothing to learn from\n  got:    no topic"
    none = Qrels({t: TopicQrels(t, q.shots, q.strata, q.judgments * 0) for t, q in qrels.topics.items()})
    with pytest.raises(DataError) as error:
        learn_to_rank(pools, objective, qrels=none, folds=())
    assert str(error.value) == (
        "no candidate is relevant in any topic: there is nothing to learn from\n  got:    3 topics"
    )


def test_candidates_that_the_trees_cannot_tell_apart_keep_the_order_of_the_average() -> None:
    ltr, pools, _ = fitted(0)
    for pool in pools.values():
        trees = ltr._booster.predict(features(pool), raw_score=True)
        average, fused = standardised_average(pool), ltr.fuse(pool)
        assert len(np.unique(trees)) < len(pool)  # coarse
        for score in np.unique(trees):
            same = np.flatnonzero(trees == score)
            assert (
                np.argsort(-fused[same], kind="stable").tolist() == np.argsort(-average[same], kind="stable").tolist()
            )


def test_a_topic_whose_lists_agree_in_nothing_has_an_average_of_0() -> None:
    pool = one_topic({"x": {"a": 1.0, "b": 0.0}, "y": {"b": 1.0, "a": 0.0}})
    assert standardised_average(pool).tolist() == [0.0, 0.0]


def test_a_list_that_lacks_the_topic_has_no_say_in_the_average_and_is_no_number_to_the_trees() -> None:
    runs, qrels = random_runs(0, topics=6, shots=200, depth=120, noise=(0.3, 1, 2, 3))
    ltr = learn_to_rank(pool_runs(runs), xinfap_objective(qrels), qrels=qrels, folds=(), settings=ALL_TREES)
    runs["m2"] = Run({t: ranked for t, ranked in runs["m2"].lists.items() if t != "1"}, "m2")
    pool = pool_runs(runs, partial=True)["1"]
    rest = pool.columns(("m0", "m1", "m3"))
    np.testing.assert_array_equal(standardised_average(pool), standardised_average(rest))
    seen = features(pool)
    assert np.isnan(seen[:, [2, 6, 10]]).all() and not np.isnan(np.delete(seen, [2, 6, 10], axis=1)).any()
    np.testing.assert_array_equal(seen[:, 16:], features(rest)[:, 12:])
    assert np.isfinite(ltr.fuse(pool)).all()
    again = learn_to_rank({"1": pool}, xinfap_objective(qrels), qrels=qrels, folds=(), settings=ALL_TREES)
    assert np.isfinite(again.fuse(pool)).all()


def test_defaults() -> None:
    assert asdict(LtrSettings()) == {
        "trees": (0, 10, 25, 50, 100), "learning_rate": 0.02, "leaves": 7, "rows_in_leaf": 100, "feature_share": 0.2,
        "query_share": 0.5, "l2": 5.0, "truncation": 1000,
    }  # fmt: skip
    assert LtrSettings().parameters(("a",), seed=3, threads=1) == {
        "objective": "lambdarank", "label_gain": [0, 1], "lambdarank_truncation_level": 1000, "learning_rate": 0.02,
        "num_leaves": 7, "min_data_in_leaf": 100, "feature_fraction": 0.2, "bagging_by_query": True,
        "bagging_fraction": 0.5, "bagging_freq": 1, "lambda_l2": 5.0,
        "monotone_constraints": monotone_constraints(("a",)), "deterministic": True,
        "force_row_wise": True, "seed": 3, "num_threads": 1, "verbosity": -1,
    }  # fmt: skip


def test_copies_of_fractions_that_cannot_be_written_exactly_still_add_up() -> None:
    """3 x (7 / 3) is 7 only after rounding: the small term keeps the last copy."""
    for judged_count in range(1, 60):
        for pooled in range(judged_count, 200, 7):
            copies = ltr_module._copies(judged_count, pooled, np.random.default_rng(0))
            assert copies.sum() == pooled and copies.min() >= pooled // judged_count


def test_features_of_equal_gain_keep_their_order() -> None:
    settings = LtrSettings(trees=(1,), learning_rate=0.2, rows_in_leaf=5, feature_share=0.2)
    importances = fitted(0, settings)[0].importances()
    unused = [name for name, share in importances.items() if share == 0]
    assert len(unused) > 16
    assert unused == [name for name in feature_names(("m0", "m1", "m2", "m3")) if importances[name] == 0]


def test_the_seed_is_0_unless_given() -> None:
    pools, qrels = random_pools(0, topics=6, shots=200, depth=120, noise=(0.3, 1, 2, 3))
    how = {"qrels": qrels, "folds": (), "settings": ALL_TREES}
    seeds: tuple[dict[str, int], ...] = ({}, {"seed": 0}, {"seed": 1})
    usual, zero, one = (learn_to_rank(pools, xinfap_objective(qrels), **how, **seed) for seed in seeds)
    assert usual.model == zero.model != one.model
