"""The interfaces of fusers, and of learners that fit them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from avs.core.ranking import MAX_RESULTS, Run
from avs.fusion.pool import CandidatePool


class Fuser(Protocol):
    """Gives a score to every candidate of a topic; the larger the better.

    Attributes:
        lists: names of the lists that it needs, in any order; None: it fuses any lists.
    """

    @property
    def lists(self) -> tuple[str, ...] | None: ...

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        """(C,) float64 scores.

        Raises:
            ConfigError: the pool lacks a list.
        """
        ...


Pools = Mapping[str, CandidatePool]
Learner = Callable[[Pools], Fuser]
"""Pools of judged topics -> a fuser fitted to them. The measure and the seed are bound beforehand."""


def fuse(fuser: Fuser, pools: Pools, *, tag: str, limit: int = MAX_RESULTS) -> Run:
    """The fused lists of all topics."""
    return Run({topic: pool.ranking(fuser.fuse(pool), limit=limit) for topic, pool in pools.items()}, tag)
