"""Reciprocal rank fusion (Cormack, Clarke, Buettcher, SIGIR 2009)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from avs.core.errors import ConfigError
from avs.fusion.methods.method import METHODS, Method
from avs.fusion.normalize import RRF_K
from avs.fusion.pool import CandidatePool


@dataclass(frozen=True, slots=True)
class ReciprocalRank:
    """The sum of 1 / (k + rank) over the lists that contain the shot. A Fuser.

    Raises:
        ConfigError: k is below 0.
    """

    k: float = RRF_K
    lists: ClassVar[None] = None

    def __post_init__(self) -> None:
        if not self.k >= 0:
            raise ConfigError("k of reciprocal rank fusion must be 0 or more", got=self.k)

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        ranked = pool.ranks > 0
        fused: np.ndarray = np.where(ranked, 1 / (self.k + np.where(ranked, pool.ranks, 1)), 0.0).sum(axis=1)
        return fused


METHODS.register("rrf")(
    Method(
        help="reciprocal rank fusion",
        fuser=ReciprocalRank,
        kind="rrf",
        to_json=lambda fuser: {"k": fuser.k},
        from_json=lambda data: ReciprocalRank(float(data["k"])),
        build=lambda scale, weights: ReciprocalRank(scale.k),
        takes_k=True,
        uses_scale=False,
    )
)
