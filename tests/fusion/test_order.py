from __future__ import annotations

import numpy as np
import pytest

from avs.fusion.order import best_first


def naive(scores: np.ndarray, limit: int) -> list[list[int]]:
    return [sorted(range(len(row)), key=lambda i: (-row[i], i))[:limit] for row in scores.tolist()]


@pytest.mark.parametrize("limit", [1, 2, 29, 30, 31, 1000])
@pytest.mark.parametrize("values", [1, 2, 5, 1000], ids=lambda v: f"{v} values")
def test_the_best_are_those_of_a_stable_sort(limit: int, values: int) -> None:
    for seed in range(10):
        scores = np.random.default_rng(seed).integers(0, values, (6, 30)).astype(float)
        assert best_first(scores, limit).tolist() == naive(scores, limit)


@pytest.mark.parametrize("scale", [0.0, 0.01, 1.0, 100.0])
def test_rows_bound_each_other_however_alike_they_are(scale: float) -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal(400) + scale * rng.standard_normal((8, 400))
    assert best_first(scores, 50).tolist() == naive(scores, 50)
    assert best_first(np.vstack([scores, -scores]), 50).tolist() == naive(np.vstack([scores, -scores]), 50)


def test_scores_without_end() -> None:
    scores = np.array([[0.0, -np.inf, 1.0, -np.inf], [np.inf, 0.0, np.inf, -np.inf]])
    assert best_first(scores, 3).tolist() == [[2, 0, 1], [0, 2, 1]]


def test_the_scores_are_left_as_they_are() -> None:
    scores = np.random.default_rng(0).standard_normal((3, 20))
    before = scores.copy()
    assert best_first(scores, 5).dtype == np.int64
    np.testing.assert_array_equal(scores, before)
