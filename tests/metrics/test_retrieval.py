"""AP, P, R and nDCG against definitions written out shot by shot."""

from __future__ import annotations

import math

import numpy as np
import pytest

from avs.core.qrels import TopicQrels
from avs.metrics.measures import Measure
from avs.metrics.xinfap import JudgedList, PreparedTopic


def judged(grades: dict[str, int], ranking: list[str]) -> JudgedList:
    qrels = TopicQrels("1", tuple(grades), np.ones(len(grades)), np.array(list(grades.values())))
    return PreparedTopic(qrels).judge(ranking, -np.arange(len(ranking), dtype=np.float64))


def naive(name: str, cutoff: int | None, grades: dict[str, int], ranking: list[str]) -> float:
    ranked = [grades.get(shot, 0) for shot in ranking][: cutoff or 1000]
    relevant = sum(grade > 0 for grade in grades.values())
    if name == "P":
        return sum(grade > 0 for grade in ranked) / (cutoff or 1000)
    if name == "R":
        return sum(grade > 0 for grade in ranked) / relevant
    if name == "AP":
        hits, total = 0, 0.0
        for rank, grade in enumerate(ranked, start=1):
            if grade > 0:
                hits += 1
                total += hits / rank
        return total / relevant
    best = sorted((g for g in grades.values() if g > 0), reverse=True)[: cutoff or 1000]
    return sum(g / math.log2(r + 1) for r, g in enumerate(ranked, start=1)) / sum(
        g / math.log2(r + 1) for r, g in enumerate(best, start=1)
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("measure", ["AP", "AP@5", "P@5", "P@100", "R@5", "R@50", "nDCG", "nDCG@10"])
def test_against_the_definition(measure: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shots = [f"shot1_{i}" for i in range(1, 81)]
    grades = {shot: int(rng.integers(0, 4)) for shot in rng.permutation(shots)[:40]}
    ranking = [str(shot) for shot in rng.permutation(shots)[: int(rng.integers(1, 80))]]
    name, _, cutoff = measure.partition("@")
    value = Measure(name, int(cutoff) if cutoff else None)(judged(grades, ranking))
    assert value == pytest.approx(naive(name, int(cutoff) if cutoff else None, grades, ranking), abs=1e-12)


def test_a_perfect_list_and_one_without_relevant_shots() -> None:
    grades = {"shot1_1": 2, "shot1_2": 1, "shot1_3": 0}
    perfect = judged(grades, ["shot1_1", "shot1_2", "shot1_3"])
    for name, cutoff in (("AP", None), ("P", 2), ("R", 2), ("nDCG", 10)):
        assert Measure(name, cutoff)(perfect) == pytest.approx(1.0)
    nothing = judged({"shot1_3": 0}, ["shot1_3"])
    for name, cutoff in (("AP", None), ("P", 2), ("R", 2), ("nDCG", 10)):
        assert Measure(name, cutoff)(nothing) == 0.0
