"""Dropout whose random numbers are four to a draw on the CPU, where drawing them is what it costs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEVELS = 2**16  # probabilities are rounded to this fraction, and the scale with them


class Dropout(nn.Module):
    """Zeros with probability p while training, the rest scaled to keep the mean: torch's dropout, drawn faster.

    torch draws a 64-bit number an element, a tenth of a training step of LAFF; here one serves four.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        """The same shape as `values`."""
        if not self.training or self.p == 0 or values.device.type != "cpu":
            return F.dropout(values, self.p, self.training)
        dropped = round(self.p * LEVELS)
        draws = torch.empty(-(-values.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        kept = draws.view(torch.int16)[: values.numel()] >= dropped - LEVELS // 2
        scale = LEVELS / (LEVELS - dropped) if dropped < LEVELS else 0.0
        return values * kept.view(values.shape).to(values.dtype).mul_(scale)
