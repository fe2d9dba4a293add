"""Borda count (Aslam, Montague: Models for Metasearch, SIGIR 2001)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from avs.fusion.pool import CandidatePool


@dataclass(frozen=True, slots=True)
class Borda:
    """Of C candidates each list gives C points to its first, one less to each next. A Fuser.

    The points that are left over go in equal parts to the candidates that a list does not hold, as Aslam and Montague
    have it. A list without any shot of the topic gives everyone the same.
    """

    lists: ClassVar[None] = None

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        count = len(pool)
        held = (pool.ranks > 0).sum(axis=0)  # (M,)
        left = (count - held + 1) / 2  # mean of 1 .. count - held
        points: np.ndarray = np.where(pool.ranks > 0, count + 1 - pool.ranks, left).sum(axis=1)
        return points
