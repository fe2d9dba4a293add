"""What learning to rank sees of a candidate: each list's word for it, and how the lists agree.

Everything grows with relevance where it grows at all, but for the spread of the lists (`std`); hence the monotone
constraints. A shot that a list does not hold gets the least that list says of any, and a flag that says it is not held;
what a list without any shot of the topic says is NaN, which LightGBM takes, and does not count in the statistics.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avs.fusion.normalize import Scale
from avs.fusion.pool import CandidatePool
from avs.fusion.rrf import ReciprocalRank

BY_LIST = ("zscore", "minmax", "reciprocal-rank", "held")
ACROSS = ("mean", "max", "min", "std", "median", "combmnz", "rrf", "top10", "top100", "top1000")
FREE = ("std",)  # may help or harm


def feature_names(lists: Sequence[str]) -> tuple[str, ...]:
    """F = 4 M + 10 names, those of the lists first: `laff zscore`."""
    return (*(f"{name} {what}" for what in BY_LIST for name in lists), *ACROSS)


def monotone_constraints(lists: Sequence[str]) -> list[int]:
    """(F,) 1 where the score must not fall when the feature grows, else 0."""
    return [0 if name in FREE else 1 for name in feature_names(lists)]


def features(pool: CandidatePool) -> np.ndarray:
    """(C, F) float32, in the order of `feature_names(pool.lists)`. Statistics over lists are of their z-scores."""
    z, m, r = (Scale(name)(pool) for name in ("zscore", "minmax", "reciprocal-rank"))
    held, said = pool.held, without_silent(z)
    across = [
        said.mean(axis=1),
        said.max(axis=1),
        said.min(axis=1),
        said.std(axis=1),
        np.median(said, axis=1),
        np.nansum(m, axis=1) * held.sum(axis=1),
        ReciprocalRank().fuse(pool),
        *(((pool.ranks > 0) & (pool.ranks <= top)).sum(axis=1) for top in (10, 100, 1000)),
    ]
    return np.column_stack([z, m, r, held, *across]).astype(np.float32)


def without_silent(values: np.ndarray) -> np.ndarray:
    """(C, M') the columns of (C, M) of lists that have the topic: the others are NaN throughout."""
    said: np.ndarray = values.compress(~np.isnan(values).any(axis=0), axis=1)
    return said
