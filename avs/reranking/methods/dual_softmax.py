"""Dual softmax against other topics (as CERTH-ITI at TRECVID AVS): shots that fit every query count less.

In the matrix of queries x shots, the current query is beside those of other years. The softmax over shots is multiplied
by the softmax over queries. The evidence is the logarithm of that product: it has the same order, on a scale that can
be blended.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from avs.core.errors import ConfigError, DataError
from avs.reranking.material import Material
from avs.reranking.methods.reranker import RERANKERS, Parameter, Reranker

TEMPERATURE = 0.05
TEMPERATURES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # the values to choose from when it is fitted


def dual_softmax_evidence(cosines: np.ndarray, *, temperature: float = TEMPERATURE) -> np.ndarray:
    """(N,) log of softmax over shots times softmax over queries, for the query of the first row.

    Args:
        cosines: (Q, N) cosines of the queries with the candidates; the current query is the first.
        temperature: divisor of the cosines in both softmaxes.

    Raises:
        ConfigError: the temperature is not positive.
        DataError: there is no other query.
    """
    if not 1e-4 <= temperature < np.inf:
        raise ConfigError("--temperature must be positive", got=temperature, wanted="1e-4 or more")
    if len(cosines) < 2:
        raise DataError("dual softmax needs other queries", got="only the current one")
    logits = np.asarray(cosines, dtype=np.float64) / temperature
    evidence: np.ndarray = log_softmax(logits[0]) + log_softmax(logits, axis=0)[0]
    return evidence


def _evidence(material: Material, *, temperature: float) -> list[np.ndarray]:
    return [dual_softmax_evidence(candidates.cosines, temperature=temperature) for candidates in material.topics]


RERANKERS.register("dual-softmax")(
    Reranker(
        help="cosine of the topic, compared with other topics",
        evidence=_evidence,
        needs=("store", "topics", "encoder", "other topics"),
        alpha=0.5,
        parameters={"temperature": Parameter(TEMPERATURE, "temperature of both softmaxes", grid=TEMPERATURES)},
    )
)
