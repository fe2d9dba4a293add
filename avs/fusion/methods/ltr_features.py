"""The features of learning to rank: the scores of each list for a candidate, and how far the lists agree.

Every feature grows with relevance, except the spread of the lists (`std`); hence the monotone constraints. A shot that
a list does not contain gets a score just below the list's lowest, and a feature says that the list does not contain it.
A list without any shot of the topic has NaN scores, which LightGBM accepts, and is not part of the statistics.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avs.fusion.methods.rrf import ReciprocalRank
from avs.fusion.normalize import Scale
from avs.fusion.pool import CandidatePool

BY_LIST = ("zscore", "minmax", "reciprocal-rank", "held")
ACROSS = ("mean", "max", "min", "std", "median", "combmnz", "rrf", "top10", "top100", "top1000")
FREE = ("std",)  # a larger spread may raise or lower the score


def feature_names(lists: Sequence[str]) -> tuple[str, ...]:
    """F = 4 M + 10 names; the features of the lists come first, such as `laff zscore`."""
    return (*(f"{name} {what}" for what in BY_LIST for name in lists), *ACROSS)


def monotone_constraints(lists: Sequence[str]) -> list[int]:
    """(F,) 1 where the score must not fall when the feature grows; otherwise 0."""
    return [0 if name in FREE else 1 for name in feature_names(lists)]


def features(pool: CandidatePool) -> np.ndarray:
    """(C, F) float32, in the order of `feature_names(pool.lists)`. Statistics over lists use their z-scores."""
    z, m, r = (Scale(name)(pool) for name in ("zscore", "minmax", "reciprocal-rank"))
    held, present = pool.held, without_silent(z)
    across = [
        present.mean(axis=1),
        present.max(axis=1),
        present.min(axis=1),
        present.std(axis=1),
        np.median(present, axis=1),
        np.nansum(m, axis=1) * held.sum(axis=1),
        ReciprocalRank().fuse(pool),
        *(((pool.ranks > 0) & (pool.ranks <= top)).sum(axis=1) for top in (10, 100, 1000)),
    ]
    return np.column_stack([z, m, r, held, *across]).astype(np.float32)


def without_silent(values: np.ndarray) -> np.ndarray:
    """(C, M') columns of the lists that have the topic; the other columns of (C, M) are all NaN."""
    present: np.ndarray = values.compress(~np.isnan(values).any(axis=0), axis=1)
    return present
