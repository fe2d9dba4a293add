"""Weights of lists by coordinate ascent on the measure itself (Metzler, Croft: Linear Feature-based Models, 2007).

Start from equal weights, and from random ones. Go through the lists in random order; for each try its weight moved by
+-0.05, 0.1, 0.2, 0.4, 0.8, 1.6, and 0; weights below 0 are not tried, and all are divided by their sum. The best is
taken when the mean over the topics rises by more than 1e-4. A pass that takes nothing ends the climb. The best climb of
all starts wins; of equal ones the first, that from equal weights.

A few dozen topics do not determine dozens of weights: w <- (1 - l) / M + l w draws them back to the average, with l
chosen by cross-validation over the topics (see `selection`), l = 0 being the average.

What makes it fast: the sums of a topic are kept, so that a tried weight costs one multiplication of a column; all tried
weights of a list are ranked and scored together; and only what can stand among the best is sorted (`best_first`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from avs.core.errors import ConfigError
from avs.core.objective import Objective
from avs.fusion.folds import Fold
from avs.fusion.fuser import Pools
from avs.fusion.linear import Linear
from avs.fusion.normalize import Scale
from avs.fusion.selection import first_within_one_error
from avs.fusion.weighed_topic import WeighedTopic

STEPS = np.sort(np.concatenate([sign * 0.05 * 2.0 ** np.arange(6) for sign in (1, -1)]))  # neighbours rank alike
LEAST_GAIN = 1e-4
RESTARTS = 5
SHRINKAGE = (0.0, 0.25, 0.5, 0.75, 1.0)  # values of l that cross-validation chooses from


@dataclass(frozen=True, slots=True, eq=False)
class Climb:
    """Where coordinate ascent from one start ended.

    Attributes:
        weights: (M,) float64 of sum 1.
        value: mean of the measure over the topics it learned from.
        passes: over all lists, the last of which changed nothing.
    """

    weights: np.ndarray
    value: float
    passes: int


def coordinate_ascent(
    pools: Pools,
    objective: Objective,
    *,
    folds: Sequence[Fold],
    scale: Scale | None = None,
    restarts: int = RESTARTS,
    seed: int = 0,
    threads: int = 1,
) -> Linear:
    """Fitted weights, drawn back to the average as far as cross-validation advises.

    Args:
        pools: of the topics to learn from, all over the same lists.
        folds: of these topics, to choose the shrinkage by; none: no shrinkage.
        restarts: climbs, the first from equal weights.
        threads: climbs at a time; the result does not depend on it.

    Raises:
        ConfigError: fewer than one restart, no topic.
        DataError: as the objective.
    """
    if restarts < 1 or not pools:
        raise ConfigError("nothing to learn from", got=f"{len(pools)} topics, {restarts} restarts")
    scale = scale or Scale()
    lists = next(iter(pools.values())).lists
    topics = {name: WeighedTopic.of(pool, lists, scale=scale, objective=objective) for name, pool in pools.items()}
    sets = [tuple(fold.train) for fold in folds] + [tuple(pools)]
    with ThreadPoolExecutor(threads) as executor:
        climbs = list(
            executor.map(
                lambda task: _climb(
                    [topics[name] for name in task[0]], _start(len(lists), seed, task[1]), seed + task[1]
                ),
                [(names, restart) for names in sets for restart in range(restarts)],
            )
        )
    best = [max(climbs[i : i + restarts], key=lambda c: c.value) for i in range(0, len(climbs), restarts)]
    share = _shrinkage([climb.weights for climb in best[:-1]], folds, topics)
    weights = _shrunk(best[-1].weights, share)
    return Linear(dict(zip(lists, weights.tolist(), strict=True)), scale)


def climb(pools: Pools, objective: Objective, *, scale: Scale, restart: int, seed: int) -> Climb:
    """One climb; restart 0 is the one from equal weights."""
    lists = next(iter(pools.values())).lists
    topics = [WeighedTopic.of(pool, lists, scale=scale, objective=objective) for pool in pools.values()]
    return _climb(topics, _start(len(lists), seed, restart), seed + restart)


def _start(lists: int, seed: int, restart: int) -> np.ndarray:
    if restart == 0:
        return np.full(lists, 1 / lists)
    return np.random.default_rng([seed, restart]).dirichlet(np.ones(lists))


def _climb(topics: Sequence[WeighedTopic], weights: np.ndarray, seed: int) -> Climb:
    rng = np.random.default_rng(seed)
    sums = [weights @ topic.values for topic in topics]
    value = float(np.mean([topic.score(s[None])[0] for topic, s in zip(topics, sums, strict=True)]))
    passes, taken = 0, True
    while taken:
        passes, taken = passes + 1, False
        for column in rng.permutation(len(weights)):
            tried = _tried(weights, column)
            moves = (tried - weights[column])[:, None]
            scores = [t.score(s + moves * t.values[column]) for t, s in zip(topics, sums, strict=True)]
            means = np.mean(scores, axis=0)
            best = int(means.argmax())
            if means[best] - value <= LEAST_GAIN:
                continue
            taken, value = True, float(means[best])
            weights = weights.copy()
            weights[column] = tried[best]
            weights /= weights.sum()
            sums = [weights @ topic.values for topic in topics]
    return Climb(weights, value, passes)


def _tried(weights: np.ndarray, column: int) -> np.ndarray:
    """The other values of one weight: not negative, and not all weights 0."""
    here = weights[column]
    tried = np.append(0.0, here + STEPS)
    others = weights.sum() - here
    kept: np.ndarray = tried[(tried > 0) | ((tried == 0) & (here > 0) & (others > 1e-12))]
    return kept


def _shrinkage(weights: Sequence[np.ndarray], folds: Sequence[Fold], topics: dict[str, WeighedTopic]) -> float:
    """The share of the learned weights that does best on the topics they were not learned from; 1 without folds."""
    if not folds:
        return 1.0
    values = []
    for learned, fold in zip(weights, folds, strict=True):
        tried = np.array([_shrunk(learned, share) for share in SHRINKAGE])
        values += [topics[name].score(tried @ topics[name].values) for name in fold.test]
    return SHRINKAGE[first_within_one_error(np.array(values))]


def _shrunk(weights: np.ndarray, share: float) -> np.ndarray:
    shrunk: np.ndarray = (1 - share) / len(weights) + share * weights
    return shrunk
