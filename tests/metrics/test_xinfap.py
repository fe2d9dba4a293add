from __future__ import annotations

import math

import numpy as np
import pytest

from avs.core.qrels import Qrels, TopicQrels
from avs.metrics.evaluation import Evaluator
from avs.metrics.xinfap import PreparedTopic, infndcg


def naive_infap(qrels: TopicQrels, run: dict[str, float]) -> float:
    """One rank after the other, by the definition."""
    strata = set(qrels.strata.tolist())
    stratum = dict(zip(qrels.shots, qrels.strata.tolist(), strict=True))
    judgment = dict(zip(qrels.shots, qrels.judgments.tolist(), strict=True))
    pooled = {s: sum(x == s for x in stratum.values()) for s in strata}
    sampled = {s: sum(stratum[d] == s and judgment[d] >= 0 for d in stratum) for s in strata}
    relevant = {s: sum(stratum[d] == s and judgment[d] > 0 for d in stratum) for s in strata}
    estimate = sum(relevant[s] * pooled[s] / sampled[s] for s in strata if sampled[s])
    docs, judged, found, total = (dict.fromkeys(strata, 0.0) for _ in range(4))
    for rank, shot in enumerate(sorted(run, key=lambda d: (run[d], d), reverse=True)[:1000], start=1):
        if shot not in stratum:
            continue
        s = stratum[shot]
        if judgment[shot] > 0:
            above = sum(docs[t] * (found[t] + 1e-5) / (judged[t] + 3e-5) for t in strata)
            total[s] += (1 + above) / rank
            found[s] += 1
        docs[s] += 1
        judged[s] += judgment[shot] >= 0
    if not estimate:
        return 0.0
    mean = sum(relevant[s] * pooled[s] / sampled[s] / estimate * total[s] / relevant[s] for s in strata if relevant[s])
    return mean * max(estimate / 1000, 1.0)


def pool(rng: np.random.Generator, size: int, *, unjudged: float, relevant: float = 0.2) -> TopicQrels:
    shots = tuple(f"shot{i:05d}_{1 + i % 9}" for i in range(size))
    judgments = (rng.random(size) < relevant) * rng.integers(1, 3, size)
    strata = rng.integers(1, 4, size)
    judgments[(rng.random(size) < unjudged) & (strata > 1)] = -1
    return TopicQrels("661", shots, strata, judgments)


def ranking(rng: np.random.Generator, qrels: TopicQrels, depth: int) -> tuple[list[str], np.ndarray]:
    names = [*qrels.shots, *(f"shot9{i:04d}_1" for i in range(len(qrels)))]
    shots = [names[i] for i in rng.permutation(len(names))[:depth]]
    return shots, rng.integers(0, max(depth // 3, 1), len(shots)).astype(float)  # ties


@pytest.mark.parametrize("seed", range(20))
def test_the_fast_measure_is_the_naive_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    qrels = pool(rng, int(rng.integers(5, 3000)), unjudged=float(rng.choice([0, 0.5, 0.9])))
    shots, scores = ranking(rng, qrels, int(rng.integers(1, 1500)))
    prepared = PreparedTopic(qrels)
    judged = prepared.judge(shots, scores)
    wanted = naive_infap(qrels, dict(zip(shots, scores.tolist(), strict=True)))
    assert math.isclose(float(prepared.infap(judged.codes)), wanted, rel_tol=1e-10, abs_tol=1e-15)


def test_rankings_are_scored_together_as_one_by_one() -> None:
    rng = np.random.default_rng(1)
    qrels = pool(rng, 800, unjudged=0.5)
    prepared = PreparedTopic(qrels)
    batch = np.array([prepared.judge(*ranking(rng, qrels, 700)).codes for _ in range(5)])
    assert prepared.infap(batch).tolist() == pytest.approx([float(prepared.infap(row)) for row in batch], rel=1e-12)


def test_a_perfect_list_scores_1_also_where_more_than_1000_are_relevant() -> None:
    for size in (300, 1500):
        shots = tuple(f"shot1_{i}" for i in range(1, size + 1))
        qrels = TopicQrels("1", shots, np.ones(size), np.ones(size))
        judged = PreparedTopic(qrels).judge(shots, np.arange(size, 0.0, -1))
        assert float(judged.topic.infap(judged.codes)) == pytest.approx(1, abs=1e-4)


def test_what_is_below_the_last_relevant_shot_does_not_matter() -> None:
    qrels = TopicQrels("1", ("a", "b", "c", "d"), np.ones(4), np.array([1, 0, 1, 0]))
    prepared = PreparedTopic(qrels)
    first, second = (
        prepared.infap(prepared.codes(order)) for order in (["a", "c", "b", "x", "d"], ["a", "c", "x", "d", "b"])
    )
    assert float(first) == float(second) > 0.99


def test_evaluating_twice_gives_the_same_and_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    qrels = pool(rng, 500, unjudged=0.3)
    run = {"661": ranking(rng, qrels, 400)}
    before = run["661"][1].copy()
    evaluator = Evaluator(Qrels({"661": qrels}))
    first, second = (evaluator.evaluate(run, "x").values for _ in range(2))
    assert (first == second).all() and (run["661"][1] == before).all()


def test_of_two_lines_of_a_shot_the_last_counts() -> None:
    qrels = TopicQrels("1", ("a", "b"), np.ones(2), np.array([1, 0]))
    judged = PreparedTopic(qrels).judge(["a", "b", "a"], np.array([1.0, 2.0, 3.0]))
    assert judged.lines == 3 and len(judged.codes) == 2 and float(judged.curve[0]) == pytest.approx(1, abs=1e-4)


def test_the_grades_of_the_ideal_list_are_ordered_as_text_as_sample_eval_does() -> None:
    """sample_eval.pl sorts grades as text in reverse: 9, 2, 10, 1. The figure is its infNDCG for this list."""
    shots = tuple("abcd")
    qrels = TopicQrels("1", shots, np.ones(4), np.array([1, 10, 2, 9]))
    discounts = 1 / np.log2(np.arange(2, 6))
    prepared = PreparedTopic(qrels)
    assert prepared.ideal_dcg == pytest.approx(float(np.array([9, 2, 10, 1]) @ discounts))
    judged = prepared.judge(["b", "d", "c", "a"], np.arange(4.0, 0.0, -1))
    assert infndcg(judged) == pytest.approx(1.0903, abs=5e-5)
