"""A judged topic, prepared for many weighted sums of its lists, as coordinate ascent and selection try them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avs.core.objective import Objective, TopicObjective
from avs.core.ranking import MAX_RESULTS
from avs.fusion.normalize import Scale
from avs.fusion.order import best_first
from avs.fusion.pool import CandidatePool


@dataclass(frozen=True, slots=True, eq=False)
class WeighedTopic:
    """The scores of a topic's candidates in all lists, and the measure of an order of them.

    Attributes:
        values: (M, C) float64 scores in each list on the common scale; 0 where there is no score.
        measure: the measure of orders of the candidates.
    """

    values: np.ndarray
    measure: TopicObjective

    @classmethod
    def of(cls, pool: CandidatePool, lists: Sequence[str], *, scale: Scale, objective: Objective) -> WeighedTopic:
        """The topic of a pool, with these lists in this order."""
        scores = scale(pool.columns(lists))
        return cls(np.ascontiguousarray(np.nan_to_num(scores, nan=0.0).T), objective(pool.topic, pool.shots))

    def score(self, sums: np.ndarray) -> np.ndarray:
        """(W,) measure of each row of (W, C) scores; sums and averages give the same order."""
        return self.measure(best_first(sums, MAX_RESULTS))
