"""Fit alpha and the setting of the evidence on past topics: grid search, validated out of fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avs.core.errors import DataError
from avs.core.objective import Objective
from avs.core.ranking import MAX_RESULTS, RankedList
from avs.reranking.blend import blend, top

ALPHAS = tuple(i / 20 for i in range(21))  # 1 is the list as it is
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """The result of fitting.

    Attributes:
        alpha, setting: the best on all topics; of equal ones the largest alpha, which changes the list least.
        topics: T judged topics.
        alphas, settings: (T,) the best on the folds that the topic is not in.
        baseline: (T,) measure of the list as it is.
        in_sample: (T,) measure with the alpha and setting that are best on all topics.
        out_of_fold: (T,) measure with the alpha and setting that are best on the other folds.
    """

    alpha: float
    setting: int
    topics: tuple[str, ...]
    alphas: np.ndarray
    settings: np.ndarray
    baseline: np.ndarray
    in_sample: np.ndarray
    out_of_fold: np.ndarray


def fit_grid(
    lists: Sequence[RankedList], evidence: Sequence[np.ndarray], objective: Objective, *, folds: Sequence[str]
) -> Fit:
    """The alpha of ALPHAS and the setting of the evidence with the best mean over topics.

    Args:
        lists: lists of T judged topics.
        evidence: (G, N) evidence for the N best shots of each list, with each of G settings.
        objective: the measure.
        folds: T names; topics of the same name are held out together.

    Raises:
        DataError: there are fewer than two folds.
    """
    names = np.array(folds)
    if len(set(folds)) < 2:
        raise DataError("fitting needs topics of two folds", got=f"{len(lists)} topics, {len(set(folds))} folds")
    values = np.array([_values(one, some, objective) for one, some in zip(lists, evidence, strict=True)])  # (T, A * G)
    chosen = np.array([_best(values[names != name].mean(axis=0)) for name in folds])
    best, rows, count = _best(values.mean(axis=0)), np.arange(len(lists)), len(evidence[0])
    return Fit(
        ALPHAS[best // count],
        best % count,
        tuple(one.topic for one in lists),
        np.array(ALPHAS)[chosen // count],
        chosen % count,
        values[:, -1],
        values[:, best],
        values[rows, chosen],
    )


def _values(ranked: RankedList, evidence: np.ndarray, objective: Objective) -> np.ndarray:
    """(A * G,) measure of the list for each alpha and each setting."""
    shots, scores = top(ranked, evidence.shape[1])
    blended = np.stack([blend(scores, some, np.array(ALPHAS)) for some in evidence], axis=1)  # (A, G, N)
    below = np.arange(len(shots), len(ranked))
    rows = np.argsort(-blended[:-1].reshape(-1, len(shots)), axis=1, kind="stable")  # ties keep the list's order
    orders = [np.concatenate([row, below])[:MAX_RESULTS] for row in rows]
    orders += [np.arange(len(ranked))[:MAX_RESULTS]] * len(evidence)  # alpha = 1: the list as it is
    return objective(ranked.topic, ranked.shots)(np.array(orders))


def _best(means: np.ndarray) -> int:
    return int(np.flatnonzero(means >= means.max() - ROUNDING)[-1])
