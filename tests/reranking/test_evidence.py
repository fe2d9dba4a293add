"""Best frames, dual softmax, near duplicates, the blend, and the alpha that is fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_stores import make_store, shot_ids

from avs.core.errors import ConfigError, DataError
from avs.core.progress import Reporter
from avs.core.ranking import RankedList
from avs.reranking.blend import blend, reranked, with_top
from avs.reranking.fitting import fit_grid
from avs.reranking.material import Material, TopicCandidates
from avs.reranking.methods.clip import clip_evidence
from avs.reranking.methods.dual_softmax import dual_softmax_evidence
from avs.reranking.methods.near_duplicates import near_duplicate_groups, near_duplicate_scores
from avs.reranking.vectors import shot_vectors


def test_a_shot_counts_by_its_best_frame(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lengths = np.array([3, 1, 4, 2])
    rows = rng.normal(size=(10, 8)).astype(np.float32)
    store = make_store(tmp_path / "store", rows, lengths=lengths, dtype="float32")
    query, shots = rng.normal(size=8), [shot_ids(4)[i] for i in (2, 0, 3)]
    frames = [store.frames(shot).astype(float) for shot in shots]
    cosines = [f @ query / np.linalg.norm(f, axis=1) / np.linalg.norm(query) for f in frames]
    candidates = TopicCandidates("1", tuple(shots), store=store, query=query)
    (evidence,) = clip_evidence(Material([candidates], Reporter()))
    np.testing.assert_allclose(evidence, [c.max() for c in cosines], atol=1e-6)
    means = [(f / np.linalg.norm(f, axis=1, keepdims=True)).mean(axis=0) for f in frames]
    np.testing.assert_allclose(shot_vectors(store, shots), [m / np.linalg.norm(m) for m in means], atol=1e-6)


def test_the_blend_normalises_both_sides_and_what_lies_below_stays_below() -> None:
    ranked = RankedList("1", ("a", "b", "c", "d", "e"), np.array([9.0, 8, 5, 4, 3]))
    evidence = np.array([0.1, 0.2, 0.3])
    np.testing.assert_allclose(blend(ranked.scores[:3], evidence, 0.4), [0.4, 0.6, 0.6])
    new = reranked(ranked, evidence, 0.3)
    assert new.shots == ("c", "b", "a", "d", "e")
    assert reranked(ranked, evidence, 1.0).shots == ranked.shots
    np.testing.assert_allclose(new.scores[3:], [-1, -2])


def test_evidence_must_be_numbers_and_alpha_a_share() -> None:
    scores = np.array([2.0, 1.0])
    with pytest.raises(DataError, match="evidence that is not a number"):
        blend(scores, np.array([np.nan, 1]), 0.5)
    with pytest.raises(ConfigError, match=r"--alpha must be in 0\.\.1"):
        blend(scores, scores, 1.2)


def test_dual_softmax_is_the_product_of_both() -> None:
    cosines = np.random.default_rng(3).uniform(-1, 1, size=(4, 6))
    shares = np.exp(cosines / 0.1)
    product = (shares / shares.sum(axis=1, keepdims=True) * shares / shares.sum(axis=0))[0]
    np.testing.assert_allclose(np.exp(dual_softmax_evidence(cosines, temperature=0.1)), product)
    hub = np.array([[0.5, 0.5], [0.9, 0.1]])  # the first shot fits the other query better
    assert dual_softmax_evidence(hub)[0] < dual_softmax_evidence(hub)[1]
    with pytest.raises(DataError, match="dual softmax needs other queries"):
        dual_softmax_evidence(hub[:1])


def test_near_duplicates_stand_together_or_behind() -> None:
    angles = np.array([0, 90, 5, 200, 10, 94])  # 0 and 10 degrees are linked by 5
    vectors = np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))], axis=1)
    groups = near_duplicate_groups(vectors, threshold=np.cos(np.radians(6)))
    assert len(set(groups[[0, 2, 4]])) == 1 and groups[1] == groups[5] and len(set(groups)) == 3
    ranked = RankedList("1", tuple("abcdefg"), np.arange(7.0)[::-1])
    assert with_top(ranked, near_duplicate_scores(groups, "group")).shots == tuple("acebfdg")
    assert with_top(ranked, near_duplicate_scores(groups, "demote")).shots == tuple("abdcefg")
    with pytest.raises(ConfigError, match='unknown policy "demot"; did you mean "demote"?'):
        near_duplicate_scores(groups, "demot")


def test_alpha_is_chosen_without_the_fold_it_is_valued_on() -> None:
    relevant = {"1": {"d"}, "2": {"d"}, "3": {"a"}}
    lists = [RankedList(topic, tuple("abcd"), np.array([4.0, 3, 2, 1])) for topic in relevant]
    evidence = [np.array([[0.0, 1, 2, 3]])] * 3  # turns the list round

    def objective(topic, shots):
        places = np.array([shot in relevant[topic] for shot in shots])
        return lambda orders: places[orders].argmax(axis=-1) * -1.0

    fit = fit_grid(lists, evidence, objective, folds=["x", "x", "y"])  # at .5 all tie, and keep the order of the list
    assert fit.alpha == 0.45 and fit.baseline.tolist() == [-3, -3, 0] and fit.in_sample.tolist() == [0, 0, -3]
    assert fit.alphas.tolist() == [1, 1, 0.45] and fit.out_of_fold.tolist() == [-3, -3, -3]
    with pytest.raises(DataError, match="fitting needs topics of two folds"):
        fit_grid(lists, evidence, objective, folds=["x"] * 3)


def test_the_evidence_that_is_best_on_the_other_folds_is_taken() -> None:
    relevant = {"1": "d", "2": "d", "3": "c"}
    lists = [RankedList(topic, tuple("abcd"), np.array([4.0, 3, 2, 1])) for topic in relevant]
    up = {letter: np.array([float(shot == letter) for shot in "abcd"]) for letter in "cd"}
    evidence = [np.stack([up["c"], up["d"]])] * 3

    def objective(topic, shots):
        place = shots.index(relevant[topic])
        return lambda orders: (orders == place).argmax(axis=-1) * -1.0

    fit = fit_grid(lists, evidence, objective, folds=list("123"))
    assert fit.setting == 1 and fit.settings.tolist()[2] == 1  # without topic 3 all others want "d"
    assert fit.alpha == 0.45 and fit.in_sample.tolist() == [0, 0, -3]  # below .5 "d" stands first
    assert fit.baseline.tolist() == [-3, -3, -2]
    np.testing.assert_allclose(
        fit.out_of_fold,
        [
            -reranked(one, some[setting], alpha).shots.index(relevant[one.topic])
            for one, some, setting, alpha in zip(lists, evidence, fit.settings, fit.alphas, strict=True)
        ],
    )


def test_ties_keep_their_order_also_for_readers_that_order_ties_by_id() -> None:
    ranked = RankedList("1", tuple("abcdefg"), np.arange(7.0)[::-1])
    new = with_top(ranked, np.array([0.5, 0.5, 0.75, 0.5, 0.0]))
    assert new.shots == tuple("cabdefg") and (np.diff(new.scores) < 0).all()
    again = RankedList.from_scores("1", new.shots, new.scores)
    assert again.shots == new.shots


@pytest.mark.parametrize("settings", [1, 3])
def test_the_baseline_is_the_list_as_it_is(settings: int) -> None:
    lists = [RankedList(topic, tuple("abc"), np.array([4.0, 3.9, 0.0])) for topic in "12"]
    evidence = [np.tile([0.0, 1.0, 0.0], (settings, 1))] * 2  # the largest alpha below 1 swaps the first two already

    def objective(topic, shots):
        return lambda orders: (orders == shots.index("a")).argmax(axis=-1) * -1.0

    fit = fit_grid(lists, evidence, objective, folds=list("12"))
    assert fit.baseline.tolist() == [0, 0] and fit.alpha == 1
