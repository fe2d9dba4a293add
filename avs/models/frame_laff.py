"""The frame level of LAFF-ml: it fuses the frames of a video into one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avs.models.batch import Sequences
from avs.models.sequence_levels import first_steps


class FrameLaff(nn.Module):
    """Attention over the frames of a video, with one head and no transform (LAFF-ml).

    Args:
        dim: dimension of a frame's vector.
        max_frames: number of first frames to read; None: all.
    """

    def __init__(self, dim: int, *, max_frames: int | None = None) -> None:
        super().__init__()
        self.attention, self.max_frames = nn.Linear(dim, 1), max_frames

    def forward(self, frames: Sequences) -> Tensor:
        """(B, D) unit vectors of (B, L, D) frames, each over its own length."""
        if self.max_frames is not None:
            frames = first_steps(frames, self.max_frames)
        mask = frames.mask
        logits = self.attention(frames.values).squeeze(-1).masked_fill(~mask, float("-inf"))
        pooled = torch.einsum("bl,bld->bd", logits.softmax(dim=1), frames.values.masked_fill(~mask[..., None], 0.0))
        return F.normalize(pooled, dim=-1)
