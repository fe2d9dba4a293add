"""Multi-head self-attention over the transformed features, which the paper compares LAFF with.

s = layer_norm(g + attention(g, g, g))        e = l2(mean_i s_i)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avs.models.blocks.block import FusionBlock, present_mask

ATTENTION_HEADS = 8  # the authors' number


class SelfAttentionBlock(FusionBlock):
    """The features are a sequence of k tokens of h*d dimensions. A row leaves out the features that it lacks.

    The attention has 8 heads of its own, whatever the number of common spaces. The authors' block spans one common
    space: `heads: 1`.

    Args:
        dims, options: as FusionBlock; h*d must be divisible by 8.
    """

    def __init__(self, dims: Mapping[str, int], **options: Any) -> None:
        super().__init__(dims, **options)
        width = self.heads * self.head_dim
        self.attention = nn.MultiheadAttention(width, ATTENTION_HEADS, batch_first=True)
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """(B, H, d) unit vectors of (B, D_i) features."""
        tokens = torch.stack([one.flatten(1) for one in self._transformed(features, present)], dim=1)  # (B, k, H*d)
        mask = present_mask(self.names, present, tokens)
        attended, _ = self.attention(tokens, tokens, tokens, key_padding_mask=~mask, need_weights=False)
        # the sum has the direction of the mean, whatever the number of features
        fused = self.norm(tokens + attended).masked_fill(~mask[..., None], 0.0).sum(dim=1)
        return F.normalize(fused.unflatten(1, (self.heads, self.head_dim)), dim=-1)
