"""CombSUM, CombMNZ and CombMAX (Fox, Shaw: Combination of Multiple Searches, TREC-2, 1994), and the average."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from avs.fusion.normalize import Scale
from avs.fusion.pool import CandidatePool


@dataclass(frozen=True, slots=True)
class CombSum:
    """The sum of what the lists say. A Fuser."""

    scale: Scale = field(default_factory=Scale)
    lists: ClassVar[None] = None

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        fused: np.ndarray = np.nansum(self.scale(pool), axis=1)
        return fused


@dataclass(frozen=True, slots=True)
class Average:
    """The mean over all lists; one that says nothing of a shot counts as 0. Orders as CombSUM. A Fuser."""

    scale: Scale = field(default_factory=Scale)
    lists: ClassVar[None] = None

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        fused: np.ndarray = np.nansum(self.scale(pool), axis=1) / len(pool.lists)
        return fused


@dataclass(frozen=True, slots=True)
class CombMnz:
    """CombSUM times the number of lists that hold the shot. A Fuser.

    With z-scores, which are negative below the mean, the product would punish a shot for being held: the least value of
    a topic is moved to 0 first.
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
    """The best that any list says. A Fuser."""

    scale: Scale = field(default_factory=Scale)
    lists: ClassVar[None] = None

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        fused: np.ndarray = np.nanmax(self.scale(pool), axis=1)
        return fused
