"""How much evidence counts, fitted on past topics: a grid over alpha, evidence computed once, validated out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avs.core.errors import DataError
from avs.core.objective import Objective
from avs.core.ranking import MAX_RESULTS, RankedList, rank_order
from avs.rerank.blend import blend, top

ALPHAS = tuple(i / 20 for i in range(21))  # 1 is the list as it is
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What was found.

    Attributes:
        alpha: the best on all topics; of several as good the largest, nearest to the list as it is.
        topics: T judged topics.
        alphas: (T,) the best of the folds that a topic is not in.
        baseline, in_sample, out_of_fold: (T,) values of the list as it is, of `alpha`, and of `alphas`.
    """

    alpha: float
    topics: tuple[str, ...]
    alphas: np.ndarray
    baseline: np.ndarray
    in_sample: np.ndarray
    out_of_fold: np.ndarray


def fit_alpha(
    lists: Sequence[RankedList], evidence: Sequence[np.ndarray], objective: Objective, *, folds: Sequence[str]
) -> Fit:
    """The alpha of ALPHAS with the best mean over topics.

    Args:
        lists: of T judged topics.
        evidence: (N,) for the N best of each list.
        folds: T names; topics of one name are held out together.

    Raises:
        DataError: fewer than two folds.
    """
    names = np.array(folds)
    if len(set(folds)) < 2:
        raise DataError("fitting needs topics of two folds", got=f"{len(lists)} topics, {len(set(folds))} folds")
    values = np.array([_values(one, some, objective) for one, some in zip(lists, evidence, strict=True)])  # (T, A)
    chosen = np.array([_best(values[names != name].mean(axis=0)) for name in folds])
    best, rows = _best(values.mean(axis=0)), np.arange(len(lists))
    return Fit(
        ALPHAS[best],
        tuple(one.topic for one in lists),
        np.array(ALPHAS)[chosen],
        values[:, -1],
        values[:, best],
        values[rows, chosen],
    )


def _values(ranked: RankedList, evidence: np.ndarray, objective: Objective) -> np.ndarray:
    """(A,) value of the list at each alpha."""
    shots, scores = top(ranked, len(evidence))
    blended = blend(scores, evidence, np.array(ALPHAS))
    below = np.arange(len(shots), len(ranked))
    orders = [np.concatenate([rank_order(shots, row), below])[:MAX_RESULTS] for row in blended]
    orders[-1] = np.arange(len(ranked))[:MAX_RESULTS]
    return objective(ranked.topic, ranked.shots)(np.array(orders))


def _best(means: np.ndarray) -> int:
    return int(np.flatnonzero(means >= means.max() - ROUNDING)[-1])
