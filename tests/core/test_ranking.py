from __future__ import annotations

import numpy as np
import pytest

from avs.core.errors import DataError
from avs.core.ranking import RankedList, Run


def test_ties_put_the_larger_shot_id_first() -> None:
    ranked = RankedList.from_scores("1", ["shot1_1", "shot1_2", "shot1_10"], [0.5, 0.5, 0.9])
    assert ranked.shots == ("shot1_10", "shot1_2", "shot1_1")
    assert ranked.scores.tolist() == [0.9, 0.5, 0.5]


def test_the_limit_cuts_after_ties_are_broken() -> None:
    assert RankedList.from_scores("1", ["a", "b", "c"], [1.0, 1.0, 1.0], limit=2).shots == ("c", "b")


@pytest.mark.parametrize("seed", range(5))
def test_from_scores_equals_sorting_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shots = [f"shot1_{i}" for i in range(1, 200)]
    scores = rng.integers(0, 20, len(shots)) / 7
    naive = sorted(zip(scores, shots, strict=True), reverse=True)[:50]
    ranked = RankedList.from_scores("1", shots, scores, limit=50)
    assert list(zip(ranked.scores, ranked.shots, strict=True)) == naive


def test_invalid_lists_are_refused() -> None:
    with pytest.raises(DataError, match="a shot occurs twice"):
        RankedList("1", ("a", "a"), np.array([1.0, 1.0]))
    with pytest.raises(DataError, match="scores must not increase") as caught:
        RankedList("1", ("a", "b"), np.array([1.0, 2.0]))
    assert caught.value.where == "topic 1, rank 2"
    with pytest.raises(DataError, match="a score is not a number"):
        RankedList.from_scores("1", ["a", "b"], [1.0, float("nan")])
    with pytest.raises(DataError, match="differ in number"):
        RankedList("1", ("a",), np.array([]))


def test_a_run_files_lists_under_their_topic() -> None:
    ranked = RankedList("1", ("a",), np.array([1.0]))
    assert Run({"1": ranked}, "tag").topics == ("1",)
    with pytest.raises(DataError, match="under the id of another topic"):
        Run({"2": ranked}, "tag")
