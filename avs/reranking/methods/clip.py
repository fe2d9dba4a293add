"""CLIPRerank (arXiv 2401.08449): a shot is as good as the one frame of it that fits the query best.

The paper writes S' = lambda * M + (1 - lambda) * S with lambda = .4. Here alpha is the weight of S, the list, in all
methods, so that the paper's setting is alpha = .6. Both are normalised before they are added (avs.reranking.blend).
"""

from __future__ import annotations

import numpy as np

from avs.reranking.material import Material
from avs.reranking.methods.reranker import RERANKERS, Reranker


def clip_evidence(material: Material) -> list[np.ndarray]:
    """(N,) cosine of the query with the best frame of each shot, for each list.

    Raises:
        UnknownIdError, DataError: see candidate_cosines.
    """
    return [candidates.cosines[0] for candidates in material.topics]


RERANKERS.register("clip")(
    Reranker(
        help="cosine of the topic with the best frame",
        evidence=clip_evidence,
        needs=("store", "topics", "encoder"),
        alpha=0.6,
    )
)
