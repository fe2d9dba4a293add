"""The combinations without learning that learning to rank can start from, and the choice among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from avs.core.objective import Objective
from avs.fusion.cross_validation import first_within_one_error, value
from avs.fusion.fuser import Pools
from avs.fusion.methods.borda import Borda
from avs.fusion.methods.comb import CombMnz
from avs.fusion.methods.ltr_features import without_silent
from avs.fusion.methods.method import AVERAGE
from avs.fusion.methods.rrf import ReciprocalRank
from avs.fusion.normalize import Scale
from avs.fusion.pool import CandidatePool


def standardised_average(pool: CandidatePool) -> np.ndarray:
    """(C,) mean of the lists' z-scores, scaled to mean 0 and standard deviation 1 over the candidates."""
    return _standardised(without_silent(Scale("zscore")(pool)).mean(axis=1))


STARTS: Mapping[str, Callable[[CandidatePool], np.ndarray]] = {
    AVERAGE: standardised_average,
    "rrf": lambda pool: _standardised(ReciprocalRank().fuse(pool)),
    "combmnz": lambda pool: _standardised(CombMnz().fuse(pool)),
    "borda": lambda pool: _standardised(Borda().fuse(pool)),
}
"""Name -> (C,) scores of mean 0 and standard deviation 1 over the candidates; the simplest first."""


def choose_start(pools: Pools, objective: Objective) -> str:
    """The start by the one-standard-error rule. No start learns anything, so every topic is held out."""
    measured = [
        [value(t, pool.shots, start(pool), objective) for start in STARTS.values()] for t, pool in pools.items()
    ]
    return tuple(STARTS)[first_within_one_error(np.array(measured))]


def _standardised(scores: np.ndarray) -> np.ndarray:
    standardised: np.ndarray = (scores - scores.mean()) / (scores.std() or 1.0)
    return standardised
