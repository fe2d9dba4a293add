"""k-reciprocal re-ranking (Zhong et al., CVPR 2017) of the candidates of a text query.

Two items are k-reciprocal neighbours when each is among the k nearest of the other. The expanded neighbourhoods of the
query and a candidate are compared by the Jaccard distance. The paper adds lambda = .3 times the original distance; here
that is alpha * S. A text query is never as near to pictures as pictures are to each other, so that it would have no
reciprocal neighbour. Therefore its distances come from the list: its r-th candidate is as far as the r-th neighbour of
a picture is on average.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array, csr_array

from avs.core.errors import ConfigError
from avs.reranking.material import Material
from avs.reranking.methods.reranker import RERANKERS, Parameter, Reranker

K1, K2 = 20, 6


def k_reciprocal_evidence(vectors: np.ndarray, *, k1: int = K1, k2: int = K2) -> np.ndarray:
    """(N,) 1 minus the Jaccard distance between the query and each candidate.

    Args:
        vectors: (N, D) vectors of length 1 of the candidates, in the order of the list.
        k1: number of nearest neighbours.
        k2: number of neighbours that query expansion averages over.

    Raises:
        ConfigError: k1 or k2 is below 1.
    """
    return 1 - jaccard_distances(with_query(squared_distances(vectors)), k1=k1, k2=k2)


def squared_distances(vectors: np.ndarray) -> np.ndarray:
    """(N, N) squared Euclidean distances of vectors of length 1; the diagonal is 0."""
    distances: np.ndarray = np.maximum(2 - 2 * (vectors @ vectors.T), 0).astype(np.float64)
    np.fill_diagonal(distances, 0)
    return distances


def with_query(distances: np.ndarray) -> np.ndarray:
    """(N+1, N+1) distances with the query as the first item; see the module for its distances from the N candidates."""
    n = len(distances)
    profile = np.sort(distances, axis=1)[:, 1:].mean(axis=0)
    last = profile[-1:] if n > 1 else np.ones(1)
    whole = np.zeros((n + 1, n + 1))
    whole[1:, 1:] = distances
    whole[0, 1:] = whole[1:, 0] = np.append(profile, last)  # a candidate has n - 1 neighbours, the query has n
    return whole


def jaccard_distances(distances: np.ndarray, *, k1: int = K1, k2: int = K2) -> np.ndarray:
    """(M-1,) Jaccard distances of the first item from the others.

    Args:
        distances: (M, M), symmetric, 0 on the diagonal; each item is its own nearest neighbour.
        k1, k2: see k_reciprocal_evidence.

    Raises:
        ConfigError: k1 or k2 is below 1.
    """
    if k1 < 1 or k2 < 1:
        raise ConfigError("--k1 and --k2 must be at least 1", got=f"{k1} and {k2}")
    ranked = distances.copy()
    np.fill_diagonal(ranked, -1)  # an item is the first in its own list, even if a duplicate is as near
    order = np.argsort(ranked, axis=1, kind="stable")
    encoded = _encode(distances, _expanded(order, k1))
    near = order[:, :k2]
    mean = csr_array((np.full(near.size, 1 / near.shape[1]), near.ravel(), _pointers(near)), shape=distances.shape)
    rows = (mean @ encoded).toarray()
    least = np.minimum(rows[0], rows[1:]).sum(axis=1)
    jaccard: np.ndarray = 1 - least / np.maximum(rows[0], rows[1:]).sum(axis=1)
    return jaccard


def _reciprocal(order: np.ndarray, k: int) -> csr_array:
    """(M, M) 1 where j is among the k + 1 nearest of i (including i), and i among those of j; otherwise 0."""
    first = order[:, : k + 1]
    near = csr_array((np.ones(first.size, np.int64), first.ravel(), _pointers(first)), shape=(len(order),) * 2)
    return csr_array(near.multiply(near.T))


def _expanded(order: np.ndarray, k1: int) -> np.ndarray:
    """(M, M) bool: the k1-reciprocal neighbours of i, with the half-neighbourhood of each neighbour j, if over two
    thirds of that are neighbours of i."""
    whole, half = _reciprocal(order, k1), _reciprocal(order, round(k1 / 2))
    shared = coo_array(whole @ half.T)  # (i, j): the number of items in j's half-neighbourhood that are neighbours of i
    enough = shared.data > 2 / 3 * np.asarray(half.sum(axis=1))[shared.col]
    pairs = (shared.row[enough], shared.col[enough])
    joining = csr_array((np.ones(len(pairs[0]), np.int64), pairs), shape=whole.shape).multiply(whole)
    expanded: np.ndarray = (whole + csr_array(joining) @ half).toarray() > 0
    return expanded


def _encode(distances: np.ndarray, neighbours: np.ndarray) -> csr_array:
    """(M, M) exp(-distance) of neighbours, otherwise 0; distances are shares of the row's largest; rows sum to 1."""
    largest = distances.max(axis=1, keepdims=True)
    weights = np.exp(-distances / np.where(largest > 0, largest, 1)) * neighbours
    return csr_array(weights / weights.sum(axis=1, keepdims=True))


def _pointers(lists: np.ndarray) -> np.ndarray:
    return np.arange(0, lists.size + 1, lists.shape[1])


def _evidence(material: Material, *, k1: int, k2: int) -> list[np.ndarray]:
    return [k_reciprocal_evidence(candidates.vectors, k1=k1, k2=k2) for candidates in material.topics]


RERANKERS.register("k-reciprocal")(
    Reranker(
        help="similarity to the other candidates' neighbours",
        evidence=_evidence,
        needs=("store",),
        alpha=0.3,
        parameters={
            "k1": Parameter(K1, "number of nearest neighbours"),
            "k2": Parameter(K2, "number of neighbours averaged over"),
        },
    )
)
