"""The learning curve: the measure of a learner by the number of topics it learns from.

The held-out topics are always those of the folds. Of the topics to learn from, n are drawn at random, several times. A
draw of more topics contains the draw of fewer, so that a step of the curve is not a step between different topics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avs.core.objective import Objective
from avs.fusion.cross_validation import out_of_fold, value
from avs.fusion.folds import Fold
from avs.fusion.fuser import Learner, Pools

SHARES = (0.25, 0.5, 0.75)  # of the smallest set to learn from; the folds themselves give the value for the whole
FEWEST = 2  # topics to learn from; with one topic a learner has none left to choose its settings
DRAWS = 3
FITS = 15  # for one n; with many folds there are fewer draws per fold


@dataclass(frozen=True, slots=True, eq=False)
class CurvePoint:
    """A point of the learning curve.

    Attributes:
        topics: number of topics learned from; the mean over the folds, if they differ.
        means: (draws,) float64 mean of the measure over all held-out topics, per draw.
    """

    topics: float
    means: np.ndarray

    @property
    def mean(self) -> float:
        """The mean over the draws."""
        return float(self.means.mean())


def curve_sizes(folds: Sequence[Fold]) -> list[int]:
    """Numbers of topics to learn from, ascending; all are smaller than the smallest fold has."""
    smallest = min(len(fold.train) for fold in folds)
    sizes = {max(FEWEST, round(share * smallest)) for share in SHARES}
    return sorted(size for size in sizes if size < smallest)


def curve_draws(folds: Sequence[Fold]) -> int:
    """The number of draws for each number of topics."""
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
    """One point per size; this fits len(sizes) x draws x len(folds) times.

    Args:
        learner: what is fitted.
        pools: candidates of the judged topics.
        objective: the measure.
        folds: the folds.
        sizes: numbers of topics to learn from.
        draws: number of random draws per size.
        seed: random seed of the draws.

    Raises:
        AvsError: see the learner; a draw may contain too little to learn from.
    """
    points = []
    for size in sizes:
        means = []
        for draw in range(draws):
            smaller = [_smaller(fold, size, [seed, draw, number]) for number, fold in enumerate(folds)]
            by_topic = out_of_fold(learner, pools, smaller)
            values = [value(topic, pools[topic].shots, scores, objective) for topic, (_, scores) in by_topic.items()]
            means.append(float(np.mean(values)))
        points.append(CurvePoint(size, np.array(means)))
    return points


def _smaller(fold: Fold, size: int, seed: Sequence[int]) -> Fold:
    """The fold with only `size` of its topics to learn from, in their order."""
    drawn = np.sort(np.random.default_rng(seed).permutation(len(fold.train))[:size])
    return Fold(fold.name, tuple(fold.train[i] for i in drawn), fold.test)
