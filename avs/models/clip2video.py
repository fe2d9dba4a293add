"""CLIP2Video (Fang et al., arXiv 2106.11097): a CLIP, differences of frames as tokens, and centres of alignment.

    g = l2(mean_f l2(z_f))          z = frames of T_4(tokens of x) + x                      x: CLIP's frames
    a = centres({x_f} and {y_f})    y = frames of T_1(tokens of x_0, x_2, ..) + x_0, x_2, ..
    s = lambda cos(t, g) + (1 - lambda) cos(centres(words of t), a)
    loss = lambda CE(cos(t, g)) + (1 - lambda) CE(cos of the aligned), each times CLIP's logit scale, in both directions

Tokens are those of temporal_difference.py, centres those of temporal_alignment.py. A video is the row
[sqrt(lambda) g, sqrt(1 - lambda) a], and a text likewise. It has length 1, and s is one dot product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avs.models.architectures.clip2video import Clip2VideoConfig
from avs.models.batch import Batch
from avs.models.clip_video import ClipVideoModel
from avs.models.frame_heads.head import mean_of_units, products, unit_or_zero
from avs.models.frame_heads.transformer import FrameTransformer
from avs.models.losses import contrastive_loss, different_videos
from avs.models.temporal_alignment import SharedCentres
from avs.models.temporal_difference import DifferenceBlock, head_masks

EVERY = 2  # of the frames, one in two goes through the transformer of the alignment


class Clip2Video(ClipVideoModel):
    """A CLIP2Video with fresh weights; `start_from` gives it those of a CLIP.

    Attributes:
        transformer: T_4, with the positions of frames.
        differences: the temporal difference block; None: frames are the only tokens.
        local: T_1.
        centres: of the alignment; None, as `local`: a row is the global vector alone.
    """

    def __init__(self, config: Clip2VideoConfig) -> None:
        super().__init__(config)
        self.config = config
        aligns = config.alignment != "none"
        self.transformer = FrameTransformer(config)
        self.differences = None if config.temporal == "none" else DifferenceBlock(config)
        self.local = FrameTransformer(config, layers=1, places=False) if aligns else None
        self.centres = SharedCentres(config.centres, config.dim) if aligns else None
        self.notes = self.start_head()

    def start_head(self) -> Sequence[str]:
        clip = self.backbone.clip
        notes = [f"frames: {note}" for note in self.transformer.start_from(clip)]
        if self.differences is not None:
            notes += self.differences.start_from(clip, position_scale=self.config.position_scale)
        if self.local is not None:
            notes += [f"alignment: {note}" for note in self.local.start_from(clip)]
            notes.append("alignment: the centres start at random")
        return tuple(notes)

    def video_side(self) -> list[nn.Module]:
        """All but the centres, which texts read too."""
        own = [self.transformer, self.differences, self.local]
        vision: list[nn.Module] = [self.backbone.clip.vision_model, self.backbone.clip.visual_projection]
        return vision + [each for each in own if each is not None]

    def embed_videos(self, videos: Batch) -> Tensor:
        """(B, E) of length 1; E is 2D, or D without alignment."""
        frames, mask = self.frames_of(videos)
        if self.config.legacy:
            frames, mask = self.filled(frames, mask)
        outputs = self._over_time(self.transformer, self.differences, frames, mask)
        whole = mean_of_units(outputs, mask)
        if self.local is None or self.centres is None:
            return whole
        some, real = frames[:, ::EVERY], mask[:, ::EVERY]
        between = self.differences if self.config.alignment == "TAB_TDB" else None
        local = self._over_time(self.local, between, some, real)
        both = torch.cat([frames.to(local.dtype), local], dim=1)
        return self._row(whole, self.centres(both, torch.cat([mask, real], dim=1)))

    def embed_texts(self, texts: Batch) -> Tensor:
        """(T, E). The first token, which is the start token, is not aligned; the end token is.

        Raises:
            DataError: a text has no end token.
        """
        tokens = self.tokens_of(texts)
        if self.centres is None:
            return unit_or_zero(self.backbone.texts(tokens.values, tokens.mask))
        words, ends = self.backbone.words(tokens.values, tokens.mask)
        aligned = F.pad(tokens.mask[:, 1:], (1, 0), value=False)
        return self._row(unit_or_zero(ends), self.centres(words, aligned))

    def score(self, texts: Tensor, videos: Tensor) -> Tensor:
        """(T, B) weighted sums of both cosines."""
        return products(texts, videos)

    def loss(self, texts: Tensor, videos: Tensor, *, video_of: Tensor) -> Tensor:
        negatives = None if self.config.legacy else different_videos(video_of)
        scale, parts = self.backbone.logit_scale, len(self._weights)
        losses = [
            weight * contrastive_loss(scale * self.score(one, other) / weight, negatives=negatives)
            for weight, one, other in zip(
                self._weights, texts.chunk(parts, dim=1), videos.chunk(parts, dim=1), strict=True
            )
            if weight > 0
        ]
        return torch.stack(losses).sum()

    @property
    def _weights(self) -> tuple[float, ...]:
        """Of the parts of a row: lambda and 1 - lambda."""
        weight = self.config.global_weight
        return (1.0,) if self.centres is None else (weight, 1 - weight)

    def _row(self, whole: Tensor, aligned: Tensor) -> Tensor:
        """(B, 2D) of (B, D) global and aligned vectors."""
        first, second = (math.sqrt(weight) for weight in self._weights)
        return torch.cat([first * whole.to(aligned.dtype), second * aligned], dim=1)

    def _over_time(
        self, transformer: FrameTransformer, differences: DifferenceBlock | None, frames: Tensor, mask: Tensor
    ) -> Tensor:
        """(B, F, D): what a transformer makes of frames, with differences between them or not, added to the frames.

        With `init` "zero" only what its blocks add.
        """
        places = self.transformer.positions.weight[: frames.shape[1]]
        if differences is None:
            tokens, real, step = frames + places, mask, 1
        else:
            (tokens, real), step = differences(frames, mask, places), 2
        made: Tensor = transformer(tokens, head_masks(real, transformer.heads) if self.config.legacy else real)
        if self.config.init == "zero":
            made = made - tokens
        return made[:, ::step] + frames
