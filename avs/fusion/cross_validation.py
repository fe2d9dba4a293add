"""Cross-validation: the measure of a learner on held-out topics, and the setting that its values advise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avs.core.objective import Objective
from avs.core.ranking import MAX_RESULTS
from avs.fusion.folds import Fold
from avs.fusion.fuser import Fuser, Learner, Pools
from avs.fusion.order import best_first


def out_of_fold(learner: Learner, pools: Pools, folds: Sequence[Fold]) -> dict[str, tuple[Fuser, np.ndarray]]:
    """Topic -> the fuser that was fitted without it, and its (C,) scores; topics in the order of `pools`."""
    by_topic: dict[str, tuple[Fuser, np.ndarray]] = {}
    for fold in folds:
        fuser = learner({topic: pools[topic] for topic in fold.train})
        by_topic |= {topic: (fuser, fuser.fuse(pools[topic])) for topic in fold.test}
    return {topic: by_topic[topic] for topic in pools if topic in by_topic}


def values(fuser: Fuser, pools: Pools, objective: Objective) -> dict[str, float]:
    """Topic -> the measure of the fused list."""
    return {topic: value(pool.topic, pool.shots, fuser.fuse(pool), objective) for topic, pool in pools.items()}


def value(topic: str, shots: Sequence[str], scores: np.ndarray, objective: Objective) -> float:
    """The measure of candidates ordered by their (C,) scores."""
    return float(objective(topic, shots)(best_first(scores[None], MAX_RESULTS))[0])


def first_within_one_error(held_out: np.ndarray) -> int:
    """The setting to choose by the one-standard-error rule (Breiman et al., CART, 1984).

    The best mean over a few dozen topics is often the best by chance. Therefore the rule chooses the first setting, the
    simplest first, whose mean is within one standard error of the best mean. The standard error is that of the paired
    difference.

    Args:
        held_out: (T, S) measure of T held-out topics with S settings, the simplest setting first.
    """
    best = int(held_out.mean(axis=0).argmax())
    for setting in range(best):
        loss = held_out[:, best] - held_out[:, setting]
        if len(loss) > 1 and loss.mean() <= loss.std(ddof=1) / np.sqrt(len(loss)):
            return setting
    return best
