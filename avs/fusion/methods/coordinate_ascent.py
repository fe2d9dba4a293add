"""Weights of lists by coordinate ascent on the measure itself (Metzler, Croft: Linear Feature-based Models, 2007).

The search starts from equal weights, and from random ones. It visits the lists in random order. For each list it tries
its weight changed by +-0.05, 0.1, 0.2, 0.4, 0.8, 1.6, and the weight 0. Weights below 0 are not tried, and all weights
are divided by their sum. The best change is kept when the mean over the topics rises by more than 1e-4. A climb ends
with a pass over all lists that changes nothing. The best climb of all starts wins; of equal ones the first, which is
the one from equal weights.

A few dozen topics do not determine dozens of weights. Therefore the weights are shrunk towards the average:
w <- (1 - l) / M + l w. Cross-validation over the topics chooses l (see `cross_validation`); l = 0 is the average.

It is fast for three reasons: the sums of a topic are kept, so that a tried weight costs one multiplication of a column;
all tried weights of a list are ranked and scored together; and only the shots that can be among the best are sorted
(`best_first`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from avs.core.errors import ConfigError
from avs.core.objective import Objective
from avs.fusion.cross_validation import first_within_one_error
from avs.fusion.folds import Fold
from avs.fusion.fuser import Pools
from avs.fusion.methods.method import METHODS, Learning, Method
from avs.fusion.methods.weighted import Linear, learned_weights, linear_from_json, linear_to_json
from avs.fusion.normalize import Scale
from avs.fusion.weighed_topic import WeighedTopic

STEPS = np.sort(np.concatenate([sign * 0.05 * 2.0 ** np.arange(6) for sign in (1, -1)]))  # neighbours rank alike
LEAST_GAIN = 1e-4
RESTARTS = 5
SHRINKAGE = (0.0, 0.25, 0.5, 0.75, 1.0)  # the values of l that cross-validation chooses from


@dataclass(frozen=True, slots=True, eq=False)
class Climb:
    """The end of coordinate ascent from one start.

    Attributes:
        weights: (M,) float64 of sum 1.
        value: mean of the measure over the topics it learned from.
        passes: number of passes over all lists; the last one changed nothing.
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
    """Fitted weights, shrunk towards the average as far as cross-validation advises.

    Args:
        pools: candidates of the topics to learn from, all over the same lists.
        folds: folds of these topics, which choose the shrinkage; without folds there is no shrinkage.
        restarts: number of climbs; the first starts from equal weights.
        threads: number of climbs that run at the same time; the result does not depend on it.

    Raises:
        ConfigError: there is less than one restart, or no topic.
        DataError: see the objective.
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
    """One climb; restart 0 starts from equal weights."""
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
    passes, changed = 0, True
    while changed:
        passes, changed = passes + 1, False
        for column in rng.permutation(len(weights)):
            tried = _tried(weights, column)
            moves = (tried - weights[column])[:, None]
            scores = [t.score(s + moves * t.values[column]) for t, s in zip(topics, sums, strict=True)]
            means = np.mean(scores, axis=0)
            best = int(means.argmax())
            if means[best] - value <= LEAST_GAIN:
                continue
            changed, value = True, float(means[best])
            weights = weights.copy()
            weights[column] = tried[best]
            weights /= weights.sum()
            sums = [weights @ topic.values for topic in topics]
    return Climb(weights, value, passes)


def _tried(weights: np.ndarray, column: int) -> np.ndarray:
    """The other values to try for one weight: none is negative, and not all weights become 0."""
    current = weights[column]
    tried = np.append(0.0, current + STEPS)
    others = weights.sum() - current
    kept: np.ndarray = tried[(tried > 0) | ((tried == 0) & (current > 0) & (others > 1e-12))]
    return kept


def _shrinkage(weights: Sequence[np.ndarray], folds: Sequence[Fold], topics: dict[str, WeighedTopic]) -> float:
    """The share of the learned weights that does best on the held-out topics; 1 without folds."""
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


def _fit(pools: Pools, scale: Scale, learning: Learning, *, restarts: int = RESTARTS) -> Linear:
    return coordinate_ascent(
        pools,
        learning.objective,
        folds=learning.folds(tuple(pools)),
        scale=scale,
        restarts=restarts,
        seed=learning.seed,
        threads=learning.threads,
    )


METHODS.register("coordinate-ascent")(
    Method(
        help="sum of scores with learned weights",
        fuser=Linear,
        kind="linear",
        to_json=linear_to_json,
        from_json=linear_from_json,
        fit=_fit,
        learned=learned_weights,
    )
)
