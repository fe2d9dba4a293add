"""CLIPRerank (arXiv 2401.08449): a shot is as good as the one frame of it that fits the query best.

The paper writes S' = lambda * M + (1 - lambda) * S with lambda = .4. Here alpha weighs S, the list, in all methods, so
that the paper's setting is alpha = .6. The two are normalised before they are added (avs.rerank.blend).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avs.rerank.vectors import Vectors, candidate_cosines

ALPHA = 0.6


def clip_evidence(query: np.ndarray, shots: Sequence[str], store: Vectors) -> np.ndarray:
    """(N,) cosine of the query, (D,), with the best frame of each of `shots`.

    Raises:
        UnknownIdError, DataError: as candidate_cosines.
    """
    best: np.ndarray = candidate_cosines(store, shots, query[None])[0]
    return best
