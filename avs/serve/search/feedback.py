"""Relevance feedback from shots that were marked: Rocchio, a linear classifier, and PicHunter's Bayes.

Sources: Rocchio, Relevance Feedback in Information Retrieval, 1971 ; Cox et al., The
Bayesian Image Retrieval System, PicHunter, 2000, as SOMHunter uses it at the Video Browser Showdown. SOMHunter
stores 1 - cosine, so its exponents have a minus sign; here s is the cosine itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avs.core.errors import DataError
from avs.reranking.vectors import shot_vectors
from avs.serve.opened.store_view import StoreView

YES_WEIGHT, NO_WEIGHT = 0.75, 0.15  # of Rocchio
RANDOM_SHOTS, STRENGTH = 200, 100.0  # of the linear classifier: shots taken as no, and C of the regression
SIGMA, MOST_SHOWN, HEAD = 0.1, 64, 50_000  # of Bayes


def rocchio(query: np.ndarray, yes: np.ndarray, no: np.ndarray) -> np.ndarray:
    """(D,) the query moved towards the shots marked yes, and a little away from those marked no; of length 1.

    Args:
        query: (D,).
        yes, no: (Y, D) and (M, D) of length 1.

    Raises:
        DataError: nothing is left of the query.
    """
    moved = query.astype(np.float64)
    if len(yes):
        moved = moved + YES_WEIGHT * yes.mean(axis=0)
    if len(no):
        moved = moved - NO_WEIGHT * no.mean(axis=0)
    return _unit(moved)


def linear(yes: np.ndarray, no: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(D,) direction of a logistic regression of yes against no and other shots, each set weighted by 1 / its size.

    Args:
        yes, no, others: (Y, D), (M, D) and (R, D) of length 1; Y at least 1.

    Raises:
        DataError: no shot is marked yes; the sets cannot be told apart.
    """
    from sklearn.linear_model import LogisticRegression

    if not len(yes):
        raise DataError("linear feedback needs a shot marked yes")
    sets = [one for one in (yes, no, others) if len(one)]
    rows = np.concatenate(sets).astype(np.float64)
    weights = np.concatenate([np.full(len(one), 1 / len(one)) for one in sets])
    wanted = np.arange(len(rows)) < len(yes)
    if wanted.all():
        raise DataError("linear feedback needs other shots than those marked yes")
    model = LogisticRegression(C=STRENGTH, max_iter=500)
    model.fit(rows, wanted, sample_weight=weights)
    return _unit(model.coef_[0])


def other_rows(count: int, marked: Sequence[int], *, seed: int = 0) -> list[int]:
    """Rows of at most RANDOM_SHOTS shots that are not marked, the same for a collection of `count` shots."""
    drawn = np.random.default_rng(seed).permutation(count)[: RANDOM_SHOTS + len(marked)].tolist()
    return [row for row in drawn if row not in set(marked)][:RANDOM_SHOTS]


def bayes(scores: np.ndarray, candidates: np.ndarray, liked: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """(C,) log probability, up to a constant, that each candidate is what the user looks for.

    It starts from softmax(s_i / sigma) of the scores of the question. Each liked shot l multiplies p_i by
    exp(s_il / sigma) / (exp(s_il / sigma) + sum over the shown, not liked shots o of exp(s_io / sigma)).

    Args:
        scores: (C,) cosines with the question.
        candidates: (C, D) of length 1.
        liked: (L, D) of length 1.
        shown: (S, D) shots that were on the screen and not liked, S <= 64.
    """
    found = scores.astype(np.float64) / SIGMA
    if not len(liked):
        return found
    to_shown = candidates @ shown.T.astype(candidates.dtype) / SIGMA if len(shown) else None
    for one in liked:
        similar = (candidates @ one.astype(candidates.dtype)).astype(np.float64) / SIGMA
        if to_shown is None:
            continue
        top = np.maximum(similar, to_shown.max(axis=1))
        rivals = np.exp(to_shown - top[:, None]).sum(axis=1)
        found += similar - top - np.log(np.exp(similar - top) + rivals)
    return found


def marked_vectors(view: StoreView, shots: Sequence[str]) -> np.ndarray:
    """(M, D) vectors of those of `shots` that the store has."""
    rows = view.columns.known_rows(shots)
    there = [shot for shot, row in zip(shots, rows.tolist(), strict=True) if row >= 0]
    there = [shot for shot, held in zip(there, view.has(rows[rows >= 0]).tolist(), strict=True) if held]
    if not there:
        return np.empty((0, view.vectors.shape[1]), dtype=np.float32)
    return shot_vectors(view, there)


def _unit(vector: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length < 1e-9:
        raise DataError("the marks leave nothing of the question", got=f"a vector of length {length:.1g}")
    unit: np.ndarray = (vector / length).astype(np.float32)
    return unit
