"""The mean of the transformed features: e = l2(mean_i g_i). The paper compares LAFF with it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from avs.models.blocks.block import FusionBlock


class MeanBlock(FusionBlock):
    """Every feature has the same weight. A row leaves out the features that it lacks."""

    def forward(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """(B, H, d) unit vectors of (B, D_i) features."""
        return F.normalize(torch.stack(self._transformed(features, present)).sum(dim=0), dim=-1)  # the sum's direction
