"""A judged topic, ready for any number of weighted sums of its lists: what coordinate ascent and selection try."""

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
    """What the lists say of its candidates, and what an order of them is worth.

    Attributes:
        values: (M, C) what each list says, on the common scale; 0 where it says nothing.
        measure: of orders of the candidates.
    """

    values: np.ndarray
    measure: TopicObjective

    @classmethod
    def of(cls, pool: CandidatePool, lists: Sequence[str], *, scale: Scale, objective: Objective) -> WeighedTopic:
        """The topic of a pool, as these lists see it, in this order."""
        said = scale(pool.columns(lists))
        return cls(np.ascontiguousarray(np.nan_to_num(said, nan=0.0).T), objective(pool.topic, pool.shots))

    def score(self, sums: np.ndarray) -> np.ndarray:
        """(W,) the measure of each row of (W, C) scores; a sum orders as an average does."""
        return self.measure(best_first(sums, MAX_RESULTS))
