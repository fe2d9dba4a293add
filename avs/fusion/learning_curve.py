"""How the worth of a learner grows with the number of topics it learns from.

The held-out topics stay those of the folds; of the topics to learn from, n are drawn at random, several times. A draw
for a larger n holds that for a smaller one, so that steps of the curve are not steps between unlike topics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avs.core.objective import Objective
from avs.fusion.cross_validation import out_of_fold, value
from avs.fusion.folds import Fold
from avs.fusion.fuser import Learner, Pools

SHARES = (0.25, 0.5, 0.75)  # of the smallest set to learn from; the whole is what the folds themselves give
FEWEST = 2  # topics to learn from: with one, a learner has none to choose its settings by
DRAWS = 3
FITS = 15  # for one n, beyond which a fold gets fewer draws: many folds are many draws already


@dataclass(frozen=True, slots=True, eq=False)
class CurvePoint:
    """What learning from so many topics gives.

    Attributes:
        topics: number of topics learned from, the mean over the folds where they differ.
        means: (draws,) float64 mean of the measure over all held-out topics.
    """

    topics: float
    means: np.ndarray

    @property
    def mean(self) -> float:
        """Over the draws."""
        return float(self.means.mean())


def curve_sizes(folds: Sequence[Fold]) -> list[int]:
    """Numbers of topics to learn from, ascending, below what every fold has."""
    smallest = min(len(fold.train) for fold in folds)
    sizes = {max(FEWEST, round(share * smallest)) for share in SHARES}
    return sorted(size for size in sizes if size < smallest)


def curve_draws(folds: Sequence[Fold]) -> int:
    """How often topics are drawn for one number of them."""
    return max(1, min(DRAWS, FITS // len(folds)))


def learning_curve(
    learner: Learner,
    pools: Pools,
    objective: Objective,
    folds: Sequence[Fold],
    *,
    sizes: Sequence[int],
    draws: int = DRAWS,
    seed: int = 0,
) -> list[CurvePoint]:
    """A point for each size; len(sizes) x draws x len(folds) fits.

    Raises:
        As the learner; a draw may hold too little to learn from.
    """
    points = []
    for size in sizes:
        means = []
        for draw in range(draws):
            smaller = [_smaller(fold, size, [seed, draw, number]) for number, fold in enumerate(folds)]
            found = out_of_fold(learner, pools, smaller)
            values = [value(topic, pools[topic].shots, scores, objective) for topic, (_, scores) in found.items()]
            means.append(float(np.mean(values)))
        points.append(CurvePoint(size, np.array(means)))
    return points


def _smaller(fold: Fold, size: int, seed: Sequence[int]) -> Fold:
    """The fold with `size` of its topics to learn from, in their order."""
    drawn = np.sort(np.random.default_rng(seed).permutation(len(fold.train))[:size])
    return Fold(fold.name, tuple(fold.train[i] for i in drawn), fold.test)
