"""How much attention a LAFF gives to each feature on average: to read it by, and to select features with."""

from __future__ import annotations

import torch
from torch import nn

from avs.train.data import FeatureTable
from avs.train.embed import batches


@torch.inference_mode()
def mean_attention(
    model: nn.Module, texts: FeatureTable, videos: FeatureTable, *, device: str
) -> dict[str, dict[str, float]]:
    """Side ("video", "text") -> feature -> mean attention over items and heads; {} of models without attention.

    The shares of a side add up to 1.
    """
    if not hasattr(model, "attention"):
        return {}
    found = {}
    for side, table in (("video", videos), ("text", texts)):
        sums: dict[str, float] = {}
        for batch in batches(table, device=device):
            for name, weights in model.attention(batch, side).items():
                sums[name] = sums.get(name, 0.0) + float(weights.double().mean(dim=1).sum())
        found[side] = {name: total / len(table) for name, total in sums.items()}
    return found
