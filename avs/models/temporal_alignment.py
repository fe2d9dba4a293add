"""The temporal alignment block of CLIP2Video (Fang et al., arXiv 2106.11097): tokens around shared centres.

    a_nk = softmax_k(z_n . w_k)        V_k = sum_n a_nk (z_n - c_k)        aligned = l2(mean_k l2(V_k))

The K centres w and c are those of texts and of videos alike. z are the tokens of a text, or the frames of a video and
what a transformer makes of every second one. It is NetVLAD without ghost clusters, whose clusters are averaged.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avs.models.frame_heads.head import unit_or_zero

CENTRE_STD = 0.125  # of both kinds of centres at the start, in the authors' code


class SharedCentres(nn.Module):
    """Tokens to one vector of their distances from K centres.

    Args:
        count: K.
        dim: D.

    Attributes:
        weights: (K, D), w.
        centres: (K, D), c.
    """

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.weights, self.centres = (nn.Parameter(torch.empty(count, dim)) for _ in range(2))
        for rows in (self.weights, self.centres):
            nn.init.normal_(rows, std=CENTRE_STD)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(B, D) aligned vectors of the (B, N, D) tokens where the (B, N) mask is true, in full precision.

        It is zero where no token is.
        """
        with torch.autocast(tokens.device.type, enabled=False):
            tokens = tokens.to(self.weights.dtype)
            shares = torch.softmax(tokens @ self.weights.T, dim=2).masked_fill(~mask[..., None], 0.0)  # (B, N, K)
            sums = shares.transpose(1, 2) @ tokens - shares.sum(dim=1)[..., None] * self.centres  # (B, K, D)
            return unit_or_zero(unit_or_zero(sums).mean(dim=1))
