"""CombSUM, CombMNZ and CombMAX (Fox, Shaw: Combination of Multiple Searches, TREC-2, 1994), and the average."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from avs.fusion.methods.method import AVERAGE, METHODS, Method, scale_from_json, scale_to_json
from avs.fusion.normalize import Scale
from avs.fusion.pool import CandidatePool


@dataclass(frozen=True, slots=True)
class CombSum:
    """The sum of the scores. A Fuser."""

    scale: Scale = field(default_factory=Scale)
    lists: ClassVar[None] = None

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        fused: np.ndarray = np.nansum(self.scale(pool), axis=1)
        return fused


@dataclass(frozen=True, slots=True)
class Average:
    """The mean of the scores over all lists; a missing score counts as 0. The order is that of CombSUM. A Fuser."""

    scale: Scale = field(default_factory=Scale)
    lists: ClassVar[None] = None

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        fused: np.ndarray = np.nansum(self.scale(pool), axis=1) / len(pool.lists)
        return fused


@dataclass(frozen=True, slots=True)
class CombMnz:
    """CombSUM times the number of lists that contain the shot. A Fuser.

    z-scores below the mean are negative, so that the product would punish a shot for being in many lists. Therefore the
    scores of a topic are first shifted so that the lowest one is 0.
    """

    scale: Scale = field(default_factory=Scale)
    lists: ClassVar[None] = None

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        values = self.scale(pool)
        low = min(float(np.nanmin(values)), 0.0)
        fused: np.ndarray = np.nansum(values - low, axis=1) * pool.held.sum(axis=1)
        return fused


@dataclass(frozen=True, slots=True)
class CombMax:
    """The highest score that any list gives. A Fuser."""

    scale: Scale = field(default_factory=Scale)
    lists: ClassVar[None] = None

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        fused: np.ndarray = np.nanmax(self.scale(pool), axis=1)
        return fused


def _register(name: str, fuser: type[Average | CombSum | CombMnz | CombMax], help: str) -> None:
    METHODS.register(name)(
        Method(
            help=help,
            fuser=fuser,
            kind=name,
            to_json=lambda fitted: scale_to_json(fitted.scale),
            from_json=lambda data: fuser(scale_from_json(data)),
            build=lambda scale, weights: fuser(scale),
        )
    )


_register(AVERAGE, Average, "mean score")
_register("combsum", CombSum, "sum of scores")
_register("combmnz", CombMnz, "sum times number of lists")
_register("combmax", CombMax, "highest score")
