"""What fuses, and what learns to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from avs.core.ranking import MAX_RESULTS, Run
from avs.fusion.pool import CandidatePool


class Fuser(Protocol):
    """Gives every candidate of a topic a score, the larger the better.

    Attributes:
        lists: names of the lists it needs, in any order; None: takes whichever there are.
    """

    @property
    def lists(self) -> tuple[str, ...] | None: ...

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        """(C,) float64.

        Raises:
            ConfigError: the pool lacks a list.
        """
        ...


Pools = Mapping[str, CandidatePool]
Learner = Callable[[Pools], Fuser]
"""Pools of judged topics -> a fuser fitted to them. What it optimises, and its seed, are bound beforehand."""


def fuse(fuser: Fuser, pools: Pools, *, tag: str, limit: int = MAX_RESULTS) -> Run:
    """The fused lists of all topics."""
    return Run({topic: pool.ranking(fuser.fuse(pool), limit=limit) for topic, pool in pools.items()}, tag)
