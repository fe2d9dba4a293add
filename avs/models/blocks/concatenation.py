"""One transform of all features laid end to end, as in W2VV++: e = l2(tanh(W [f_1; ...; f_k] + b))."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from avs.models.blocks.block import FusionBlock

ALL = "all features"


class ConcatenationBlock(FusionBlock):
    """A feature that a row lacks is zero, like a bag of words without a known word.

    The order is linear, tanh, dropout, batch normalisation, as the authors of LAFF compare it. W2VV++ itself
    normalises before the tanh.

    Args:
        dims, options: as FusionBlock, without `no_transform`.
    """

    def __init__(self, dims: Mapping[str, int], **options: Any) -> None:
        super().__init__({ALL: sum(dims.values())}, **options)
        self.parts = tuple(dims)

    def forward(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """(B, H, d) unit vectors of (B, D_i) features."""
        parts = [
            features[name].masked_fill(~present[name][:, None], 0.0) if name in present else features[name]
            for name in self.parts
        ]
        (fused,) = self._transformed({ALL: torch.cat(parts, dim=1)}, {})
        return F.normalize(fused, dim=-1)
