"""The mean attention that a model gives to each feature: to understand the model, and to select features."""

from __future__ import annotations

import torch

from avs.models.retrieval import RetrievalModel, Side
from avs.train.data import FeatureTable
from avs.train.embed import batches


@torch.inference_mode()
def mean_attention(
    model: RetrievalModel, texts: FeatureTable, videos: FeatureTable, *, device: str
) -> dict[str, dict[str, float]]:
    """Side ("video", "text") -> feature -> mean attention over items and heads; {} for a model without attention.

    The values of a side add up to 1.
    """
    tables: dict[Side, FeatureTable] = {"video": videos, "text": texts}
    means: dict[str, dict[str, float]] = {}
    for side, table in tables.items():
        sums: dict[str, float] = {}
        for batch in batches(table, device=device):
            shares = model.attention(batch, side)
            if not shares:
                return {}
            for name, weights in shares.items():
                sums[name] = sums.get(name, 0.0) + float(weights.double().mean(dim=1).sum())
        means[side] = {name: total / len(table) for name, total in sums.items()}
    return means
