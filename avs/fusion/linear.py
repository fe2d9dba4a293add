"""The weighted sum of lists: what coordinate ascent learns, and what may be given by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from avs.core.errors import ConfigError
from avs.fusion.normalize import Scale
from avs.fusion.pool import CandidatePool


@dataclass(frozen=True, slots=True)
class Linear:
    """sum over lists of weight x what the list says; a list that says nothing of a shot adds nothing. A Fuser.

    Attributes:
        weights: name of a list -> its weight, not negative, at least one of them positive.

    Raises:
        ConfigError: weights that are negative, not finite, or all 0.
    """

    weights: Mapping[str, float]
    scale: Scale = field(default_factory=Scale)

    def __post_init__(self) -> None:
        values = np.array(list(self.weights.values()), dtype=np.float64)
        if not len(values) or not np.isfinite(values).all() or values.min() < 0 or not values.max() > 0:
            got = ", ".join(f"{name}={weight:g}" for name, weight in self.weights.items()) or "none"
            raise ConfigError("weights of lists are 0 or more, one of them above 0", got=got)

    @property
    def lists(self) -> tuple[str, ...]:
        return tuple(self.weights)

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        values = self.scale(pool.columns(self.lists))
        weights = np.array(list(self.weights.values()))
        fused: np.ndarray = np.nan_to_num(values, nan=0.0) @ weights
        return fused
