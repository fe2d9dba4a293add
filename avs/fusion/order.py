"""The best of many score vectors at once, ties in candidate order: the inner loop of everything that is fitted."""

from __future__ import annotations

import numpy as np


def best_first(scores: np.ndarray, limit: int) -> np.ndarray:
    """(W, min(limit, C)) int64 positions of the best, best first; ties by position, as a stable sort has them.

    Full sorts are avoided: a partition finds the limit-th score, and only what is above it is sorted. Sorts that may
    swap ties are several times faster; rows in which neighbours tie (few, with real scores) are sorted again.

    Args:
        scores: (W, C), without NaN.
    """
    count = scores.shape[1]
    negative = -scores
    if count <= limit:
        return _sorted(negative)
    worst = np.partition(negative, limit - 1, axis=1)[:, limit - 1 : limit]
    inside = negative <= worst
    crowded = np.flatnonzero(inside.sum(axis=1) > limit)  # ties at the edge: the first positions stay
    for row in crowded:
        ties = np.flatnonzero(negative[row] == worst[row])
        inside[row, ties[limit - np.count_nonzero(negative[row] < worst[row]) :]] = False
    kept = np.nonzero(inside)[1].reshape(len(scores), limit)
    return np.take_along_axis(kept, _sorted(np.take_along_axis(negative, kept, axis=1)), axis=1)


def _sorted(values: np.ndarray) -> np.ndarray:
    """(W, K) positions in ascending order of values, ties by position."""
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    tied = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
    if len(tied):
        order[tied] = np.argsort(values[tied], axis=1, kind="stable")
    return order
