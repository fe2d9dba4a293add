"""Near-duplicate shots among the candidates: group them, or move repeats behind the first shot of each group."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from avs.core.errors import ConfigError, did_you_mean
from avs.reranking.material import Material
from avs.reranking.methods.reranker import RERANKERS, Parameter, Reranker

THRESHOLD = 0.95
ROUNDING = 1e-6  # the cosine of a float32 vector with itself may fall short of 1 by as much
POLICIES = ("group", "demote")


def near_duplicate_groups(vectors: np.ndarray, *, threshold: float = THRESHOLD) -> np.ndarray:
    """(N,) number of each candidate's group; pairs with a cosine >= threshold link the shots of a group.

    Args:
        vectors: (N, D) vectors of length 1.
        threshold: a cosine.

    Raises:
        ConfigError: the threshold is not in -1..1.
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
        groups: (N,) number of each candidate's group.
        policy: "group": the whole group moves to the place of its best shot, in its old order; "demote": all shots but
            the best of each group move behind the best shots of all groups, in their old order.

    Raises:
        ConfigError: the policy is unknown.
    """
    if policy not in POLICIES:
        raise ConfigError(f'unknown policy "{policy}"{did_you_mean(policy, POLICIES)}', wanted=", ".join(POLICIES))
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    best = first[inverse]  # position of the best shot of each group
    positions = np.arange(len(groups))
    order = np.lexsort((positions, best if policy == "group" else best != positions))
    scores = np.empty(len(groups))
    scores[order] = 1 - positions / len(groups)
    return scores


def _scores(material: Material, *, policy: str, threshold: float) -> list[np.ndarray]:
    return [
        near_duplicate_scores(near_duplicate_groups(candidates.vectors, threshold=threshold), policy)
        for candidates in material.topics
    ]


RERANKERS.register("near-duplicates")(
    Reranker(
        help="repeated shots are grouped, or moved back",
        evidence=_scores,
        needs=("store",),
        alpha=None,
        parameters={
            "policy": Parameter("group", "group, or demote"),
            "threshold": Parameter(THRESHOLD, "lowest cosine of two near duplicates"),
        },
    )
)
