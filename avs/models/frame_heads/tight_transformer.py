"""tightTransf of CLIP4Clip (Luo et al., Neurocomputing 2022, arXiv 2104.08860): text and frames in one transformer.

    u = T(dropout([t; x_1 .. x_F] + P))                          T, P as in seqTransf; t is the vector of the text
    code:   s = W_2 quick_gelu(W_1 LN(u_0) + b_1) + b_2
    paper:  s = W_2 relu(W_1 u_0 + b_1) + b_2, and type embeddings (text or frame) join P

There is no cosine and no logit scale, and each pair of text and video is a pass of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from avs.models.architectures.clip4clip import Clip4ClipConfig
from avs.models.frame_heads.head import FrameHead
from avs.models.frame_heads.transformer import EPSILON, FrameTransformer, start_at_random

if TYPE_CHECKING:
    from transformers import CLIPModel

TOKENS_AT_ONCE = 2**14  # about 2 GB of activations in training, with 4 layers of width 512


class TightTransformer(FrameHead):
    """A transformer over a text and a video. A row of a video is its frames, padded to `max_frames`, and their mask."""

    cosine = False

    def __init__(self, config: Clip4ClipConfig) -> None:
        super().__init__(config)
        self.dim, self.max_frames, self.as_paper = config.dim, config.max_frames, config.tight == "paper"
        self.transformer = FrameTransformer(config)
        self.types = nn.Embedding(2, config.dim) if self.as_paper else None
        self.dropout = nn.Dropout(config.dropout)
        self.norm = nn.Identity() if self.as_paper else nn.LayerNorm(config.dim, eps=EPSILON)
        self.pool, self.similarity = nn.Linear(config.dim, config.dim), nn.Linear(config.dim, 1)

    def start_from(self, clip: CLIPModel) -> None:
        self.notes = tuple(f"tightTransf: {note}" for note in self.transformer.start_from(clip))
        for layer in (self.types, self.pool, self.similarity):
            if layer is not None:
                start_at_random(layer)
        new = "the pooler, the similarity and the types" if self.as_paper else "the pooler and the similarity"
        self.notes += (f"tightTransf: {new} start at random",)

    def video_rows(self, frames: Tensor, mask: Tensor) -> Tensor:
        """(B, max_frames * (D + 1)): all frames, then 1 for a real frame and 0 for a pad."""
        pad = self.max_frames - frames.shape[1]
        padded = F.pad(frames, (0, 0, 0, pad)), F.pad(mask.to(frames.dtype), (0, pad))
        return torch.cat([padded[0].flatten(1), padded[1]], dim=1)

    def text_rows(self, texts: Tensor) -> Tensor:
        return texts

    def score(self, texts: Tensor, videos: Tensor) -> Tensor:
        """(T, B) scores of (T, D) texts and (B, max_frames * (D + 1)) videos, some pairs at a time.

        Where a training step has several blocks, each is computed again in the backward pass, so memory is bounded.
        """
        dtype = self.pool.weight.dtype
        flat, mask = videos.to(dtype).tensor_split([self.max_frames * self.dim], dim=1)
        frames, real, texts = flat.reshape(len(flat), self.max_frames, self.dim), mask > 0, texts.to(dtype)
        pairs = max(TOKENS_AT_ONCE // (self.max_frames + 1), 1)
        width = min(max(len(videos), 1), pairs)
        height = max(pairs // width, 1)
        again = torch.is_grad_enabled() and len(texts) * len(videos) > pairs
        rows = []
        for part in torch.split(texts, height):
            blocks = zip(torch.split(frames, width), torch.split(real, width), strict=True)
            scores = [
                checkpoint(self._block, part, *block, use_reentrant=False) if again else self._block(part, *block)
                for block in blocks
            ]
            rows.append(torch.cat(scores, dim=1))
        return torch.cat(rows)

    def _block(self, texts: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
        """(T, B) scores of (T, D) texts and (B, F, D) frames."""
        shape = (len(texts), len(frames))
        pairs = torch.cat(
            [texts[:, None, None].expand(*shape, 1, -1), frames.expand(len(texts), -1, -1, -1)], dim=2
        ).flatten(0, 1)
        both = F.pad(mask, (1, 0), value=True).expand(len(texts), -1, -1).flatten(0, 1)
        places = self.transformer.positions.weight[: pairs.shape[1]]
        if self.types is not None:
            is_frame = torch.arange(pairs.shape[1], device=pairs.device).clamp(max=1)
            places = places + self.types(is_frame)
        states: Tensor = self.transformer(self.dropout(pairs + places), both)
        with torch.autocast(states.device.type, enabled=False):
            first = self.pool(self.norm(states[:, 0].to(self.pool.weight.dtype)))
            pooled = first.relu() if self.as_paper else first * torch.sigmoid(1.702 * first)
            scores: Tensor = self.similarity(pooled)
        return scores.view(shape)
