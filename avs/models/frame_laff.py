"""The frame level of LAFF-ml: the frames of a video fused into one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avs.models.batch import Sequences
from avs.models.sequence_levels import first_steps


class FrameLaff(nn.Module):
    """Frames into one vector: attention over the frames as they are, one head, no transform (LAFF-ml).

    Args:
        dim: of a frame's vector.
        max_frames: the first so many count; None: all.
        legacy: cut every video to the length of the batch's first one, as the authors' code does.
    """

    def __init__(self, dim: int, *, max_frames: int | None = None, legacy: bool = False) -> None:
        super().__init__()
        self.attention, self.max_frames, self.legacy = nn.Linear(dim, 1), max_frames, legacy

    def forward(self, frames: Sequences) -> Tensor:
        """(B, D) unit vectors of (B, L, D) frames, each over its own length."""
        if self.max_frames is not None:
            frames = first_steps(frames, self.max_frames)
        mask = frames.mask
        if self.legacy:
            mask = mask[:1].expand_as(mask)
        logits = self.attention(frames.values).squeeze(-1).masked_fill(~mask, float("-inf"))
        pooled = torch.einsum("bl,bld->bd", logits.softmax(dim=1), frames.values.masked_fill(~mask[..., None], 0.0))
        return F.normalize(pooled, dim=-1)
