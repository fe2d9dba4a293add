"""What a learner is worth on topics it has not seen."""

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
    found: dict[str, tuple[Fuser, np.ndarray]] = {}
    for fold in folds:
        fuser = learner({topic: pools[topic] for topic in fold.train})
        found |= {topic: (fuser, fuser.fuse(pools[topic])) for topic in fold.test}
    return {topic: found[topic] for topic in pools if topic in found}


def values(fuser: Fuser, pools: Pools, objective: Objective) -> dict[str, float]:
    """Topic -> the measure of what the fuser gives."""
    return {topic: value(pool.topic, pool.shots, fuser.fuse(pool), objective) for topic, pool in pools.items()}


def value(topic: str, shots: Sequence[str], scores: np.ndarray, objective: Objective) -> float:
    """The measure of candidates ordered by their (C,) scores."""
    return float(objective(topic, shots)(best_first(scores[None], MAX_RESULTS))[0])
