"""The block of LAFF: attention over the transformed features.

    g_i = tanh(W_i f_i + b_i)        a = softmax_i(u . g_i)        e = l2(sum_i a_i g_i)

The authors add a bias c to u . g_i. It cancels in the softmax and is left out here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avs.models.blocks.block import FusionBlock


class Laff(FusionBlock):
    """Lightweight attentional feature fusion. A row leaves out the features that it lacks.

    Args:
        dims, options: as FusionBlock.
        with_ave: as in LaffConfig.
    """

    average_weight: Tensor

    def __init__(self, dims: Mapping[str, int], *, with_ave: bool = False, **options: Any) -> None:
        super().__init__(dims, **options)
        self.attention = nn.Parameter(torch.empty(self.heads, self.head_dim))  # the u of every head
        nn.init.uniform_(self.attention, -(self.head_dim**-0.5), self.head_dim**-0.5)
        self.with_ave = with_ave
        # r is saved with the weights that were validated with it; without with_ave there is nothing to save
        self.register_buffer("average_weight", torch.zeros(()), persistent=with_ave)

    def start_epoch(self, epoch: int) -> None:
        """Set r of `with_ave` for the 0-based epoch."""
        if self.with_ave:
            self.average_weight.fill_(max(0.8 - 0.2 * epoch, 0.0))

    def forward(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """(B, H, d) unit vectors of (B, D_i) features."""
        transformed = self._transformed(features, present)
        shares = self._attention(transformed, present)
        if self.with_ave:
            shares = shares + self.average_weight * (shares > 0)
        fused = transformed[0] * shares[:, :, 0, None]
        for place, feature in enumerate(transformed[1:], start=1):
            fused.addcmul_(feature, shares[:, :, place, None])
        return F.normalize(fused, dim=-1)

    def weights(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """(B, H, k) attention over the features in the order of `names`. It adds up to 1 over the features."""
        return self._attention(self._transformed(features, present), present)

    def _attention(self, transformed: Sequence[Tensor], present: Mapping[str, Tensor]) -> Tensor:
        columns = []
        for name, feature in zip(self.names, transformed, strict=True):
            # the diagonal of every head's g with every head's u: no other product is faster
            logits = F.linear(feature, self.attention).diagonal(dim1=1, dim2=2)  # (B, H)
            mask = present.get(name)
            columns.append(logits if mask is None else logits.masked_fill(~mask[:, None], float("-inf")))
        return torch.stack(columns, dim=2).softmax(dim=2)
