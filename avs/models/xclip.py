"""X-CLIP (Ma et al., ACM MM 2022, arXiv 2207.07285): sentence and words of a text against video and frames, on a CLIP.

    t, w_i = l2(CLIP(text))       at the end token, and at every token
    x_j = l2(CLIP(frame j))       v = head(frames), as in CLIP4Clip
    loss = mean over both directions of the cross entropy of exp(logit scale) * s(t, w; v, x)

The similarity s is in avs/models/multi_grained.py, the heads are in avs/models/frame_heads. transformers' XCLIPModel is
another model, by Microsoft.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avs.models.architectures.xclip import XClipConfig
from avs.models.batch import Batch
from avs.models.clip_video import ClipVideoModel
from avs.models.frame_heads import HEADS
from avs.models.frame_heads.head import unit_or_zero
from avs.models.losses import contrastive_loss, different_videos
from avs.models.multi_grained import MultiGrainedSimilarity


class XClip(ClipVideoModel):
    """An X-CLIP with fresh weights; `start_from` gives it those of a CLIP.

    An embedding is the row of MultiGrainedSimilarity: all words of a text, or all frames of a video.
    """

    pairwise = True

    def __init__(self, config: XClipConfig) -> None:
        super().__init__(config)
        self.config = config
        self.head = HEADS[config.head](config.frame_head)
        self.similarity = MultiGrainedSimilarity(
            config.dim, words=config.max_words, frames=config.max_frames, temperature=config.temperature
        )
        self.notes = self.start_head()

    def start_head(self) -> Sequence[str]:
        self.head.start_from(self.backbone.clip)
        return self.head.notes

    def video_side(self) -> list[nn.Module]:
        return [self.backbone.clip.vision_model, self.backbone.clip.visual_projection, self.head, self.similarity]

    def embed_videos(self, videos: Batch) -> Tensor:
        """(B, D + F * D + F)."""
        frames, mask = self.frames_of(videos)
        whole = self.head.video_rows(frames, mask)
        if self.config.legacy:
            frames, mask = self.filled(frames, mask)
            mask = torch.ones_like(mask)
        return self.similarity.video_rows(whole, unit_or_zero(frames), mask)

    def embed_texts(self, texts: Batch) -> Tensor:
        """(T, D + W * D + W).

        Raises:
            DataError: a text has no end token.
        """
        tokens = self.tokens_of(texts)
        values, mask = tokens.values, tokens.mask
        if self.config.legacy:
            left = self.config.max_words - values.shape[1]
            values, mask = F.pad(values, (0, left)), F.pad(mask, (0, left))
        words, whole = self.backbone.words(values, mask)
        if self.config.legacy:
            mask = torch.ones_like(mask)
        return self.similarity.text_rows(unit_or_zero(whole), unit_or_zero(words), mask)

    def score(self, texts: Tensor, videos: Tensor) -> Tensor:
        """(T, B) similarities, between -1 and 1 as long as the matrices are the identity."""
        scores: Tensor = self.similarity(texts, videos)
        return scores

    def logits(self, texts: Tensor, videos: Tensor) -> Tensor:
        """(T, B) similarities times the logit scale, which the loss compares."""
        return self.backbone.logit_scale * self.score(texts, videos)

    def frame_relevance(self, texts: Tensor, videos: Tensor) -> tuple[Tensor, Tensor]:
        """(B, F) cosines of the sentence and the frames of B pairs, zero where the (B, F) bool mask is false."""
        sentences, _, _ = self.similarity.split_texts(texts)
        _, frames, mask = self.similarity.split_videos(videos)
        with torch.autocast(texts.device.type, enabled=False):
            return (frames @ sentences[..., None])[..., 0], mask

    def loss(self, texts: Tensor, videos: Tensor, *, video_of: Tensor) -> Tensor:
        negatives = None if self.config.legacy else different_videos(video_of)
        return contrastive_loss(self.logits(texts, videos), negatives=negatives)
