"""A learned weight for each feature, the same for every item: e = l2(sum_i w_i g_i + c).

This is the fully connected layer over features that the authors' code has beside LAFF ("fc_attention").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avs.models.blocks.block import FusionBlock


class WeightedSumBlock(FusionBlock):
    """k weights and a bias, shared by all heads. They start as those of a torch.nn.Linear from k inputs to one.

    The weights are not normalised, so a row that lacks a feature leaves it out and keeps the others' weights.

    Args:
        dims, options: as FusionBlock.
    """

    def __init__(self, dims: Mapping[str, int], **options: Any) -> None:
        super().__init__(dims, **options)
        self.sum = nn.Linear(len(dims), 1)

    def forward(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """(B, H, d) unit vectors of (B, D_i) features."""
        fused: Tensor = self.sum(torch.stack(self._transformed(features, present), dim=-1)).squeeze(-1)
        return F.normalize(fused, dim=-1)
