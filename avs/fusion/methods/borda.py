"""Borda count (Aslam, Montague: Models for Metasearch, SIGIR 2001)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from avs.fusion.methods.method import METHODS, Method
from avs.fusion.pool import CandidatePool


@dataclass(frozen=True, slots=True)
class Borda:
    """With C candidates, each list gives C points to its first shot and one point less to each next shot. A Fuser.

    The remaining points of a list are shared equally among the candidates that it does not contain, as Aslam and
    Montague do. A list without any shot of the topic gives all candidates the same points.
    """

    lists: ClassVar[None] = None

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        count = len(pool)
        ranked = (pool.ranks > 0).sum(axis=0)  # (M,)
        share = (count - ranked + 1) / 2  # the mean of 1 .. count - ranked
        points: np.ndarray = np.where(pool.ranks > 0, count + 1 - pool.ranks, share).sum(axis=1)
        return points


METHODS.register("borda")(
    Method(
        help="points by rank",
        fuser=Borda,
        kind="borda",
        from_json=lambda data: Borda(),
        build=lambda scale, weights: Borda(),
        uses_scale=False,
    )
)
