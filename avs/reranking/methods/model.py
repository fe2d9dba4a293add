"""A trained model scores the candidates: any that avs trains, also one that reads text and video together.

Such a model cannot search a collection: every pair is a pass of its own. It can score the best shots of a list.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avs.reranking.material import Material
from avs.reranking.methods.reranker import RERANKERS, Reranker


def model_evidence(material: Material) -> Sequence[np.ndarray]:
    """(N,) score of each shot by the model, for each list.

    Raises:
        UnknownIdError, DataError: see Scoring.scores.
    """
    assert material.scoring is not None
    return material.scoring.scores(material.topics, material.reporter)


RERANKERS.register("model")(
    Reranker(
        help="score of a trained model",
        evidence=model_evidence,
        needs=("store", "topics", "model"),
        alpha=0.5,
    )
)
