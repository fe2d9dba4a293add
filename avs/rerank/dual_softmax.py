"""Dual softmax against other topics (as CERTH-ITI at TRECVID AVS): shots that fit every query are worth less.

Of the matrix shots x queries, the current query beside those of other years, the softmax over shots is multiplied by
the softmax over queries. Evidence is the logarithm of that product: the same order, on a scale that can be blended.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from avs.core.errors import ConfigError, DataError

ALPHA = 0.5
TEMPERATURE = 0.05
TEMPERATURES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # to choose from, where they are fitted


def dual_softmax_evidence(cosines: np.ndarray, *, temperature: float = TEMPERATURE) -> np.ndarray:
    """(N,) log of softmax over shots times softmax over queries, for the query of the first row.

    Args:
        cosines: (Q, N) of the current query, first, and of others with the candidates.
        temperature: similarities are divided by it in both softmaxes.

    Raises:
        ConfigError: a temperature that is not positive.
        DataError: no other query.
    """
    if not 1e-4 <= temperature < np.inf:
        raise ConfigError("--temperature must be positive", got=temperature, wanted="1e-4 or more")
    if len(cosines) < 2:
        raise DataError("dual softmax needs other queries", got="the current one alone")
    logits = np.asarray(cosines, dtype=np.float64) / temperature
    found: np.ndarray = log_softmax(logits[0]) + log_softmax(logits, axis=0)[0]
    return found
