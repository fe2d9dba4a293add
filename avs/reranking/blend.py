"""The last step of reranking: blend the scores of the best candidates with evidence, and make the new list.

score' = alpha * S + (1 - alpha) * E for the `depth` best shots. S are the list's scores and E is the evidence. Both are
brought to 0..1 by min-max over these candidates, because their scales differ. All other shots keep their order, below.
"""

from __future__ import annotations

import numpy as np

from avs.core.errors import ConfigError, DataError
from avs.core.ranking import RankedList


def minmax(values: np.ndarray) -> np.ndarray:
    """(N,) values scaled to 0..1; all 0, if they are all equal."""
    values = np.asarray(values, dtype=np.float64)
    low, high = values.min(), values.max()
    return np.zeros_like(values) if high == low else (values - low) / (high - low)


def blend(scores: np.ndarray, evidence: np.ndarray, alpha: np.ndarray | float) -> np.ndarray:
    """(..., N) alpha * S + (1 - alpha) * E, both normalised.

    Args:
        scores, evidence: (N,) scores and evidence of the candidates.
        alpha: (...) weights of the scores, in [0, 1].

    Raises:
        ConfigError: alpha is not in [0, 1].
        DataError: the evidence has the wrong shape, or is not finite.
    """
    weights = np.asarray(alpha, dtype=np.float64)
    if not ((weights >= 0) & (weights <= 1)).all():
        raise ConfigError("--alpha must be in 0..1", got=alpha)
    if evidence.shape != scores.shape:
        raise DataError("evidence of the wrong shape", got=evidence.shape, wanted=scores.shape)
    if not np.isfinite(evidence).all():
        bad = int((~np.isfinite(evidence)).sum())
        raise DataError("evidence that is not a number", got=f"{bad} of {len(evidence)}")
    blended: np.ndarray = weights[..., None] * minmax(scores) + (1 - weights[..., None]) * minmax(evidence)
    return blended


def top(ranked: RankedList, depth: int) -> tuple[tuple[str, ...], np.ndarray]:
    """The `depth` best candidates and their (N,) scores."""
    return ranked.shots[:depth], ranked.scores[:depth]


def with_top(ranked: RankedList, scores: np.ndarray, *, limit: int | None = None) -> RankedList:
    """The list with its N best shots in the order of new (N,) scores; the others follow in their order, from -1 down.

    Ties keep the order of the list. Their scores are made different in the last bit, because readers order ties by id.
    """
    n = len(scores)
    order = np.argsort(-scores, kind="stable")
    whole = np.concatenate([scores[order], -1.0 - np.arange(len(ranked) - n)])
    for i in range(1, n):
        if whole[i] >= whole[i - 1]:
            whole[i] = np.nextafter(whole[i - 1], -np.inf)
    shots = (*(ranked.shots[i] for i in order), *ranked.shots[n:])
    kept = slice(limit)
    return RankedList(ranked.topic, shots[kept], whole[kept])


def reranked(ranked: RankedList, evidence: np.ndarray, alpha: float, *, limit: int | None = None) -> RankedList:
    """The list with its N best shots reordered by the blend of scores and (N,) evidence; unchanged, if alpha is 1."""
    _, scores = top(ranked, len(evidence))
    if alpha == 1:
        blended = 1 - np.arange(len(scores)) / max(len(scores), 1)
    else:
        blended = blend(scores, evidence, alpha)
    return with_top(ranked, blended, limit=limit)
