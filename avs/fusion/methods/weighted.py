"""The weighted sum of lists: with weights given by hand, or learned by coordinate ascent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from avs.core.errors import ConfigError
from avs.fusion.methods.method import METHODS, Learned, Method, scale_from_json, scale_to_json
from avs.fusion.normalize import Scale
from avs.fusion.pool import CandidatePool


@dataclass(frozen=True, slots=True)
class Linear:
    """The sum of weight x score over the lists; a missing score adds nothing. A Fuser.

    Attributes:
        weights: name of a list -> its weight; no weight is negative, and at least one is positive.

    Raises:
        ConfigError: weights are negative, not finite, or all 0.
    """

    weights: Mapping[str, float]
    scale: Scale = field(default_factory=Scale)

    def __post_init__(self) -> None:
        values = np.array(list(self.weights.values()), dtype=np.float64)
        if not len(values) or not np.isfinite(values).all() or values.min() < 0 or not values.max() > 0:
            got = ", ".join(f"{name}={weight:g}" for name, weight in self.weights.items()) or "none"
            raise ConfigError("weights must be 0 or more, and at least one above 0", got=got)

    @property
    def lists(self) -> tuple[str, ...]:
        return tuple(self.weights)

    def fuse(self, pool: CandidatePool) -> np.ndarray:
        values = self.scale(pool.columns(self.lists))
        weights = np.array(list(self.weights.values()))
        fused: np.ndarray = np.nan_to_num(values, nan=0.0) @ weights
        return fused


def linear_to_json(fuser: Linear) -> dict[str, Any]:
    """What fuser.json holds of a weighted sum beside its type."""
    return {"weights": dict(fuser.weights), **scale_to_json(fuser.scale)}


def linear_from_json(data: Mapping[str, Any]) -> Linear:
    """The weighted sum in the data of fuser.json.

    Raises:
        KeyError, ValueError, TypeError, AttributeError, ConfigError: the data are damaged.
    """
    return Linear({str(name): float(weight) for name, weight in data["weights"].items()}, scale_from_json(data))


def learned_weights(fuser: Linear) -> list[Learned]:
    """The weights as shares that sum to 1."""
    total = sum(fuser.weights.values())
    shares = {name: weight / total for name, weight in fuser.weights.items()}
    return [Learned(what="weight", values=shares, axis="share of all weights", equal="equal weights: the average")]


METHODS.register("weighted")(
    Method(
        help="sum of scores with your --weight",
        fuser=Linear,
        kind="linear",
        to_json=linear_to_json,
        from_json=linear_from_json,
        build=lambda scale, weights: Linear(dict(weights), scale),
        takes_weights=True,
        learned=learned_weights,
    )
)
