"""Paired randomization tests between runs (Manly, 1997), as TRECVID reports them.

Under the null hypothesis the two runs are interchangeable on every topic. The test swaps their values at random per
topic, and counts in how many of B swaps, c, the absolute mean difference is at least as large as the observed one. The
two-sided p-value is (c + 1) / (B + 1). With few topics T, all 2^T swaps are tried, and p = c / 2^T is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avs.core.errors import DataError

ITERATIONS = 10_000
PAIRS_AT_ONCE = 64
ROUNDING = 1e-12  # sums of the same differences in another order count as equal


@dataclass(frozen=True, slots=True, eq=False)
class Randomization:
    """Tests of all pairs of R runs.

    Attributes:
        differences: (R, R) float64; mean of run i minus mean of run j.
        p_values: (R, R) float64, two-sided; 1 on the diagonal.
        swaps: number of swaps behind each p-value.
        exact: whether these are all possible swaps.
    """

    differences: np.ndarray
    p_values: np.ndarray
    swaps: int
    exact: bool

    @property
    def swaps_used(self) -> str:
        """Such as `10000 random swaps` or `all 8 swaps (exact)`."""
        return f"all {self.swaps} swaps (exact)" if self.exact else f"{self.swaps} random swaps"


def randomization_test(values: np.ndarray, *, iterations: int = ITERATIONS, seed: int = 0) -> Randomization:
    """Tests of every run against every other.

    Args:
        values: (R, T) of one measure: R runs, T topics.
        iterations: number of random swaps; if 2^T is not larger, all swaps are tried instead.
        seed: of the random swaps, which are the same for all pairs.

    Raises:
        DataError: fewer than two runs, no topic, or fewer than one iteration.
    """
    runs, topics = values.shape
    if runs < 2 or topics < 1 or iterations < 1:
        raise DataError(
            "a randomization test needs two runs, a topic and an iteration",
            got=f"{runs} runs, {topics} topics, {iterations} iterations",
        )
    exact = topics < 63 and 2**topics <= iterations
    signs = _all_signs(topics) if exact else _random_signs(topics, iterations, seed)  # (B, T) of -1 and 1
    first, second = np.triu_indices(runs, k=1)
    p_values = np.ones((runs, runs))
    for start in range(0, len(first), PAIRS_AT_ONCE):
        i, j = first[start : start + PAIRS_AT_ONCE], second[start : start + PAIRS_AT_ONCE]
        pairs = (values[i] - values[j]).T  # (T, P)
        observed = np.abs(pairs.sum(axis=0))
        count = (np.abs(signs @ pairs) >= observed - ROUNDING).sum(axis=0)  # (B, T) @ (T, P) -> (B, P) -> (P,)
        p = count / len(signs) if exact else (count + 1) / (len(signs) + 1)
        p_values[i, j] = p_values[j, i] = p
    means = values.mean(axis=1)
    return Randomization(means[:, None] - means, p_values, len(signs), exact)


def wins(values: np.ndarray) -> np.ndarray:
    """(R, R) int64 number of topics on which run i is better than run j.

    Args:
        values: (R, T) of one measure.
    """
    counts: np.ndarray = (values[:, None] > values[None] + ROUNDING).sum(axis=-1)
    return counts


def largest_differences(first: np.ndarray, second: np.ndarray, topics: Sequence[str]) -> list[tuple[str, float]]:
    """(topic, first minus second), the largest absolute difference first; ties in the order of `topics`."""
    order = np.argsort(-np.abs(first - second), kind="stable")
    return [(topics[i], float(first[i] - second[i])) for i in order]


def _all_signs(topics: int) -> np.ndarray:
    bits = np.arange(2**topics)[:, None] >> np.arange(topics) & 1
    return bits * 2.0 - 1


def _random_signs(topics: int, iterations: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (iterations, topics)) * 2.0 - 1
