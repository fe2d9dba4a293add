"""k-reciprocal re-ranking against the definitions of the paper, item by item."""

from __future__ import annotations

import numpy as np
import pytest

from avs.core.errors import ConfigError
from avs.reranking.methods.k_reciprocal import jaccard_distances, k_reciprocal_evidence, squared_distances, with_query


def unit(count: int, dim: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def naive(distances: np.ndarray, k1: int, k2: int) -> list[float]:
    """Zhong et al., equations 2 to 11, with sets."""
    items = range(len(distances))
    order = [sorted(items, key=lambda j: (j != i, distances[i, j], j)) for i in items]

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in order[i][: k + 1] if i in order[j][: k + 1]}

    encoded = []
    for i in items:
        whole = reciprocal(i, k1)
        expanded = set(whole)
        for j in whole:
            half = reciprocal(j, round(k1 / 2))
            if len(half & whole) > 2 / 3 * len(half):
                expanded |= half
        row = np.zeros(len(distances))
        for j in expanded:
            row[j] = np.exp(-distances[i, j] / distances[i].max())
        encoded.append(row / row.sum())
    rows = [np.mean([encoded[j] for j in order[i][:k2]], axis=0) for i in items]
    return [1 - np.minimum(rows[0], row).sum() / np.maximum(rows[0], row).sum() for row in rows[1:]]


@pytest.mark.parametrize(("k1", "k2"), [(20, 6), (5, 3), (7, 1), (1, 1), (100, 6)])
def test_the_distances_are_those_of_the_definitions(k1: int, k2: int) -> None:
    for largest in (4.0, 0.01):  # alike shots have small distances
        distances = with_query(squared_distances(unit(60, 4, seed=k1))) * largest / 4
        np.testing.assert_allclose(jaccard_distances(distances, k1=k1, k2=k2), naive(distances, k1, k2), atol=1e-9)


def test_distances_are_the_squared_lengths_of_the_differences() -> None:
    vectors = unit(30, 4, seed=3)
    vectors[7] = vectors[3]  # a duplicate, whose rounded distance may fall below 0
    wanted = [[((a - b) ** 2).sum() for b in vectors] for a in vectors]
    assert np.min(np.array(wanted)[np.triu_indices(30, 1)]) < 0.5 < np.max(wanted)
    np.testing.assert_allclose(squared_distances(vectors), wanted, atol=1e-12)
    assert (squared_distances(vectors.astype(np.float32)) >= 0).all()


def test_of_equally_near_items_the_first_are_nearer() -> None:
    drawn = np.triu(np.random.default_rng(0).integers(1, 4, (60, 60)), 1).astype(float)
    distances = drawn + drawn.T
    np.testing.assert_allclose(jaccard_distances(distances, k1=7, k2=3), naive(distances, 7, 3), atol=1e-9)


def test_what_resembles_the_best_rises() -> None:
    vectors = unit(40, 16, seed=1)
    close = vectors[0] + 0.05 * unit(40, 16, seed=2)
    vectors[1:6] = close[1:6] / np.linalg.norm(close[1:6], axis=1, keepdims=True)
    vectors[30] = close[30] / np.linalg.norm(close[30])
    evidence = k_reciprocal_evidence(vectors, k1=8, k2=3)
    assert evidence[30] > evidence[10:30].max()


def test_few_candidates_and_duplicates_give_numbers() -> None:
    for vectors in (unit(1, 4, 0), unit(2, 4, 0), np.tile(unit(1, 4, 0), (5, 1))):
        assert np.isfinite(k_reciprocal_evidence(vectors)).all()


def test_neighbourhoods_hold_at_least_one() -> None:
    with pytest.raises(ConfigError, match=r"^--k1 and --k2 must be at least 1\n  got:    0 and 6$"):
        k_reciprocal_evidence(unit(5, 4, 0), k1=0)
