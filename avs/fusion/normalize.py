"""Normalization: the scores of different models on a common scale, per topic, before any weight is applied.

Cosines of different models cannot be compared: their ranges differ by model and by topic.

    minmax           (s - min) / (max - min)          zscore           (s - mean) / std (population)
    rank             1 - (r - 1) / D                  reciprocal-rank  1 / (k + r), k = 60

Statistics are over the D shots that a list contains, and r is the rank from 1. A list of equal scores gives 0 to all
its shots.

You choose how a list scores a shot that it does not contain: `minimum`, its lowest score minus 1e-9, so that the shot
is ranked behind its last one; or `absent`, no score. The third way, the true score, does not depend on the scale: see
`CandidatePool.recomputed`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from avs.core.errors import ConfigError, did_you_mean
from avs.fusion.pool import CandidatePool

Normalization = Literal["minmax", "zscore", "rank", "reciprocal-rank"]
Missing = Literal["minimum", "absent"]
BEHIND = 1e-9  # so that a single list ranks its last shot before shots it does not contain
RECIPROCAL_RANK = "reciprocal-rank"
RRF_K = 60  # Cormack, Clarke, Buettcher: Reciprocal Rank Fusion, SIGIR 2009


def minmax(pool: CandidatePool) -> np.ndarray:
    """(C, M) in [0, 1]; NaN where there is no score."""
    low, high = _over_lists(np.nanmin, pool), _over_lists(np.nanmax, pool)
    return _scaled(pool, low, high - low)


def zscore(pool: CandidatePool) -> np.ndarray:
    """(C, M) of mean 0 and population standard deviation 1 over the shots of each list; NaN where there is no score."""
    return _scaled(pool, _over_lists(np.nanmean, pool), _over_lists(np.nanstd, pool))


def rank(pool: CandidatePool) -> np.ndarray:
    """(C, M) from 1 for the best down to 1 / D; NaN where there is no rank."""
    ranks = _ranks(pool)
    depth = np.maximum((pool.ranks > 0).sum(axis=0), 1)
    values: np.ndarray = 1 - (ranks - 1) / depth
    return values


def reciprocal_rank(pool: CandidatePool, k: float = RRF_K) -> np.ndarray:
    """(C, M) 1 / (k + r); NaN where there is no rank."""
    return 1 / (k + _ranks(pool))


NORMALIZATIONS: dict[str, Callable[..., np.ndarray]] = {
    "minmax": minmax,
    "zscore": zscore,
    "rank": rank,
    RECIPROCAL_RANK: reciprocal_rank,
}


@dataclass(frozen=True, slots=True)
class Scale:
    """A normalization, and the policy for shots that a list does not contain.

    Attributes:
        normalization: a name of NORMALIZATIONS.
        missing: "minimum" or "absent".
        k: of reciprocal ranks, also of reciprocal rank fusion.

    Raises:
        ConfigError: a name is unknown, or k is below 0.
    """

    normalization: str = "minmax"
    missing: str = "minimum"
    k: float = RRF_K

    def __post_init__(self) -> None:
        for what, name, known in (
            ("normalization", self.normalization, tuple(NORMALIZATIONS)),
            ("policy for shots that a list does not contain", self.missing, get_args(Missing)),
        ):
            if name not in known:
                raise ConfigError(f'unknown {what} "{name}"{did_you_mean(name, known)}', wanted=", ".join(known))
        if not self.k >= 0:
            raise ConfigError("k of reciprocal ranks must be 0 or more", got=self.k)

    def __call__(self, pool: CandidatePool) -> np.ndarray:
        """(C, M) float64 on the common scale; NaN only if the policy is `absent` or the list has no shots."""
        settings = {"k": self.k} if self.normalization == RECIPROCAL_RANK else {}
        values = NORMALIZATIONS[self.normalization](pool, **settings)
        if self.missing == "minimum":
            low = _over_columns(np.nanmin, values)
            values = np.where(np.isnan(values), low - BEHIND, values)
        return values


def _ranks(pool: CandidatePool) -> np.ndarray:
    return np.where(pool.ranks > 0, pool.ranks, np.nan)


def _scaled(pool: CandidatePool, origin: np.ndarray, width: np.ndarray) -> np.ndarray:
    """(scores - origin) / width; 0 for a list of equal scores, whose mean and deviation have rounding errors."""
    flat = _over_lists(np.nanmin, pool) == _over_lists(np.nanmax, pool)
    scaled = (pool.scores - origin) / np.where(flat, 1.0, width)
    return np.where(flat & ~np.isnan(scaled), 0.0, scaled)


def _over_lists(statistic: Callable[..., np.ndarray], pool: CandidatePool) -> np.ndarray:
    return _over_columns(statistic, pool.scores)


def _over_columns(statistic: Callable[..., np.ndarray], values: np.ndarray) -> np.ndarray:
    """(M,) a statistic of each column that ignores NaN; NaN for a column without values."""
    with warnings.catch_warnings():  # a list that lacks the topic has no values: NaN
        warnings.filterwarnings("ignore", "All-NaN|Mean of empty|Degrees of freedom", RuntimeWarning)
        return statistic(values, axis=0)
