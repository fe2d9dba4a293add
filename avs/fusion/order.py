"""Top-k of many score vectors, ties in candidate order: the inner loop of all fitting."""

from __future__ import annotations

import numpy as np


def best_first(scores: np.ndarray, limit: int) -> np.ndarray:
    """(W, min(limit, C)) int64 positions of the best, best first; ties by position, as in a stable sort.

    No row is sorted completely, and only the first is partitioned. The lowest score of any `limit` candidates is a
    lower bound of the limit-th best score. The best candidates of the previous row give a good bound when two rows
    differ by one weight, so that few more than `limit` scores are left to sort.

    Args:
        scores: (W, C) without NaN; it is fastest when neighbouring rows are similar.
        limit: number of positions per row.
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

    An unstable sort is faster. It is repeated with a stable one if there are ties, which real scores rarely have.
    """
    order = np.argsort(-values)
    ordered = values[order]
    if (ordered[1:] == ordered[:-1]).any():
        order = np.argsort(-values, kind="stable")
    return order
