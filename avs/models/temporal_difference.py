"""The temporal difference block of CLIP2Video (Fang et al., arXiv 2106.11097): differences as tokens between frames.

    d_i = x_(i+1) - x_i                                          i = 0 .. F-2
    sigmoid_selfA:  D_i = 2 sigmoid(LN(T_1(d + P_(1..F-1))_i)) - 1     T_1: a transformer of one block
    sigmoid_mlp:    D_i = 2 sigmoid(LN(W d_i)) - 1
    tokens:  x_0 + P_0 + E_1,  D_0 + P_0 + E_0,  x_1 + P_1 + E_1,  D_1 + P_1 + E_0,  ..,  x_(F-1) + P_(F-1) + E_1

P is the table of positions, E that of types. A difference has the position of the frame before it, as in the authors'
code; their figure gives every token a position of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from avs.models.architectures.clip2video import Clip2VideoConfig
from avs.models.frame_heads.transformer import FrameTransformer, start_at_random

if TYPE_CHECKING:
    from transformers import CLIPModel

DIFFERENCE, FRAME = 0, 1  # rows of the table of types
PROJECTION_STD = 0.125  # of a projection that starts at random, as the authors' centres do


class DifferenceBlock(nn.Module):
    """Frames to frames with differences between them.

    Args:
        config: `temporal` decides how differences are made; `legacy` leaves the one to the first pad unmasked, and
            gives heads the masks of other videos.
    """

    def __init__(self, config: Clip2VideoConfig) -> None:
        super().__init__()
        self.legacy = config.legacy
        self.types = nn.Embedding(2, config.dim)
        self.norm = nn.LayerNorm(config.dim)
        attends = config.temporal == "sigmoid_selfA"
        self.attention = FrameTransformer(config, layers=1, places=False) if attends else None
        self.projection = None if attends else nn.Linear(config.dim, config.dim, bias=False)
        start_at_random(self.types)

    @torch.no_grad()
    def start_from(self, clip: CLIPModel, *, position_scale: float) -> tuple[str, ...]:
        """Copy types, and block or projection, from the CLIP where widths fit; return what was done."""
        notes: list[str] = []
        places = clip.text_model.embeddings.position_embedding.weight
        if places.shape[1] == self.types.embedding_dim:
            self.types.weight.copy_(position_scale * places[:2])
        else:
            start_at_random(self.types)
            notes.append("the types start at random")
        if self.attention is not None:
            notes += self.attention.start_from(clip)
        if self.projection is not None:
            notes.append(self._start_projection(clip.visual_projection.weight))
        return tuple(f"differences: {note}" for note in notes)

    def _start_projection(self, of_frames: Tensor) -> str:
        """Start W at the first D rows of the (D, width) projection of frames, transposed; return what was done."""
        assert self.projection is not None
        dim = len(of_frames)
        if of_frames.shape[1] < dim:
            nn.init.normal_(self.projection.weight, std=PROJECTION_STD)
            return f"their projection starts at random, because the vision tower has width {of_frames.shape[1]}"
        self.projection.weight.copy_(of_frames[:, :dim])
        return f"their projection is a copy of that of the first {dim} dimensions of the vision tower"

    def forward(self, frames: Tensor, mask: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 2F-1, D) tokens, frames at even places, and their (B, 2F-1) mask; of one frame, that alone.

        Args:
            frames: (B, F, D).
            mask: (B, F) bool.
            places: (F, D), P.
        """
        tokens = frames + (places + self.types.weight[FRAME])
        if frames.shape[1] == 1:
            return tokens, mask
        between = self.differences(frames, mask, places) + (places[:-1] + self.types.weight[DIFFERENCE])
        real = mask[:, :-1] if self.legacy else mask[:, 1:] & mask[:, :-1]
        return interleave(tokens, between), interleave(mask[..., None], real[..., None]).squeeze(2)

    def differences(self, frames: Tensor, mask: Tensor, places: Tensor) -> Tensor:
        """(B, F-1, D) values in (-1, 1) of F > 1 frames; arguments as for `forward`."""
        steps = frames[:, 1:] - frames[:, :-1]
        if self.attention is not None:
            real = head_masks(mask[:, 1:], self.attention.heads) if self.legacy else mask[:, 1:]
            made: Tensor = self.attention(steps + places[1:], real)
        else:
            assert self.projection is not None
            made = self.projection(steps)
        return 2 * torch.sigmoid(self.norm(made)) - 1


def interleave(frames: Tensor, between: Tensor) -> Tensor:
    """(B, 2F-1, D): (B, F, D) frames with the (B, F-1, D) others between them."""
    tokens = frames.new_empty(len(frames), 2 * frames.shape[1] - 1, frames.shape[2])
    tokens[:, 0::2], tokens[:, 1::2] = frames, between.to(frames.dtype)
    return tokens


def head_masks(mask: Tensor, heads: int) -> Tensor:
    """(B, H, L) masks as in the authors' code: head h of video b has the (B, L) mask of video (b H + h) mod B.

    They repeat the masks head by head, and torch's attention reads them video by video.
    """
    count = len(mask)
    return mask[torch.arange(count * heads, device=mask.device) % max(count, 1)].view(count, heads, -1)
