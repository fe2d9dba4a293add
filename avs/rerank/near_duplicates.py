"""Near-duplicate shots among a list's candidates: brought together, or moved behind the first of each group."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from avs.core.errors import ConfigError, did_you_mean

THRESHOLD = 0.95
ROUNDING = 1e-6  # the cosine of a float32 vector with itself may fall short of 1 by as much
POLICIES = ("group", "demote")


def near_duplicate_groups(vectors: np.ndarray, *, threshold: float = THRESHOLD) -> np.ndarray:
    """(N,) number of each candidate's group: those linked by pairs of cosine >= threshold.

    Args:
        vectors: (N, D) of length 1.

    Raises:
        ConfigError: the threshold is no cosine.
    """
    if not -1 <= threshold <= 1:
        raise ConfigError("--threshold must be a cosine, in -1..1", got=threshold)
    i, j = np.nonzero(vectors @ vectors.T >= threshold - ROUNDING)
    graph = coo_array((np.ones(len(i), bool), (i, j)), shape=(len(vectors),) * 2)
    groups: np.ndarray = connected_components(graph, directed=False)[1]
    return groups


def near_duplicate_scores(groups: np.ndarray, policy: str) -> np.ndarray:
    """(N,) new scores in (0, 1], all different, of candidates in the order of their list.

    Args:
        groups: (N,) of each candidate.
        policy: "group": a group stands where its best shot stood, in its old order; "demote": the repeats of a group
            move behind all that is seen for the first time, in their old order.

    Raises:
        ConfigError: an unknown policy.
    """
    if policy not in POLICIES:
        raise ConfigError(f'unknown policy "{policy}"{did_you_mean(policy, POLICIES)}', wanted=", ".join(POLICIES))
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    best = first[inverse]  # position of the best shot of each candidate's group
    positions = np.arange(len(groups))
    order = np.lexsort((positions, best if policy == "group" else best != positions))
    scores = np.empty(len(groups))
    scores[order] = 1 - positions / len(groups)
    return scores
