"""Reciprocal rank fusion (Cormack, Clarke, Buettcher, SIGIR 2009)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from avs.core.errors import ConfigError
from avs.fusion.normalize import RRF_K
from avs.fusion.pool import CandidatePool


@dataclass(frozen=True, slots=True)
class ReciprocalRank:
    """sum over the lists that hold a shot of 1 / (k + rank). A Fuser.

    Raises:
        ConfigError: k below 0.
    """

    k: float = RRF_K
    lists: ClassVar[None] = None

    def __post_init__(self) -> None:
        if not self.k >= 0:
            raise ConfigError("k of reciprocal rank fusion is 0 or more", got=self.k)

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        held = pool.ranks > 0
        summed: np.ndarray = np.where(held, 1 / (self.k + np.where(held, pool.ranks, 1)), 0.0).sum(axis=1)
        return summed
