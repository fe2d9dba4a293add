"""The best of many score vectors at once, ties in candidate order: the inner loop of everything that is fitted."""

from __future__ import annotations

import numpy as np


def best_first(scores: np.ndarray, limit: int) -> np.ndarray:
    """(W, min(limit, C)) int64 positions of the best, best first; ties by position, as a stable sort has them.

    Neither the rows are sorted in full, nor, but for the first, partitioned: the worst of any `limit` candidates bounds
    the limit-th best score of a row from below, and the best of the row before, when rows differ by one weight, bound
    it so well that hardly more than `limit` scores are left to sort.

    Args:
        scores: (W, C), without NaN; rows in an order in which neighbours are alike are fastest.
    """
    count = scores.shape[1]
    best = np.empty((len(scores), min(limit, count)), dtype=np.int64)
    for row, values in enumerate(scores):
        if count <= limit:
            best[row] = _descending(values)
            continue
        bound = values[best[row - 1]].min() if row else np.partition(values, -limit)[-limit]
        above = np.flatnonzero(values >= bound)
        best[row] = above[_descending(values[above])[:limit]]
    return best


def _descending(values: np.ndarray) -> np.ndarray:
    """(K,) positions in descending order of values, ties by position.

    Sorts that may swap ties are faster; where neighbours tie (seldom, with real scores) it is sorted again.
    """
    order = np.argsort(-values)
    ordered = values[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.argsort(-values, kind="stable")
    return order
