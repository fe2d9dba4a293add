"""TeachCLIP (Tian et al., CVPR 2024, arXiv 2308.01217): a student of models that compare words with frames.

    phi_f = seqTransf(frame f), as in CLIP4Clip          l_f = Linear2(relu(Linear1(phi_f)))
    v = l2(sum_f softmax_f(l / 0.1) phi_f / |phi_f|)     w = softmax_f(l)
    loss = own_weight * cross entropy of exp(logit scale) * t v
         + coarse_weight * coarse loss of these scores + fine_weight * fine loss of w

A search needs v alone. What is learnt from teachers is in avs/models/teaching.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avs.models.architectures.teachclip import TeachClipConfig
from avs.models.batch import Batch
from avs.models.clip_video import ClipVideoModel
from avs.models.frame_heads.head import unit_or_zero
from avs.models.frame_heads.seq_transformer import SeqTransformer
from avs.models.frame_heads.transformer import start_at_random
from avs.models.losses import contrastive_loss, different_videos
from avs.models.retrieval import RateGroup
from avs.models.teaching import Lesson, coarse_loss, fine_loss

POOLING_TEMPERATURE = 0.1


class FrameAggregation(nn.Module):
    """How much each frame counts: attentional frame-feature aggregation, AFA.

    Args:
        dim: D, of a frame.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(dim, dim), nn.Linear(dim, 1)
        self.apply(start_at_random)

    def forward(self, outputs: Tensor, mask: Tensor) -> Tensor:
        """(B, F) logits of (B, F, D) outputs; as low as can be where the (B, F) bool mask is false."""
        logits: Tensor = self.linear2(F.relu(self.linear1(outputs)))[..., 0].float()
        return logits.masked_fill(~mask, torch.finfo(logits.dtype).min)


class TeachClip(ClipVideoModel):
    """A student with fresh weights; `start_from` gives it those of a CLIP.

    An embedding is a unit vector of CLIP's space. In training mode, that of a video goes on with the logarithm of the
    weight of each of `max_frames` frames, 0 for one that only fills up, and with 1 or 0 for each: real or not. With
    `legacy` all of them count as real.
    """

    def __init__(self, config: TeachClipConfig) -> None:
        super().__init__(config)
        self.config = config
        self.head = SeqTransformer(config.frame_head)
        self.aggregation = FrameAggregation(config.dim)
        self.notes = self.start_head()

    def start_head(self) -> Sequence[str]:
        self.head.start_from(self.backbone.clip)
        return self.head.notes

    def rate_groups(self) -> Sequence[RateGroup]:
        own = RateGroup(list(self.aggregation.parameters()), self.config.afa_ratio)
        return [*super().rate_groups(), own]

    def video_side(self) -> list[nn.Module]:
        return [self.backbone.clip.vision_model, self.backbone.clip.visual_projection, self.head, self.aggregation]

    def embed_videos(self, videos: Batch) -> Tensor:
        """(B, D), or in training mode (B, D + 2 F)."""
        frames, mask = self.frames_of(videos)
        if self.config.legacy:
            frames, mask = self.filled(frames, mask)
        outputs = self.head.outputs(frames, mask)
        if self.config.legacy:  # pads have weights, and are not attended to
            mask = torch.ones_like(mask)
        logits = self.aggregation(outputs, mask)
        weights = (logits / POOLING_TEMPERATURE).masked_fill(~mask, torch.finfo(logits.dtype).min).softmax(dim=1)
        kept = unit_or_zero(outputs).masked_fill(~mask[..., None], 0.0)
        whole = unit_or_zero((weights[..., None] * kept).sum(dim=1))
        if not self.training:
            return whole
        places = (0, self.config.max_frames - mask.shape[1])
        log_weights = logits.log_softmax(dim=1).masked_fill(~mask, 0.0)
        return torch.cat([whole, F.pad(log_weights, places), F.pad(mask.to(whole.dtype), places)], dim=1)

    def embed_texts(self, texts: Batch) -> Tensor:
        """(T, D).

        Raises:
            DataError: a text has no end token.
        """
        tokens = self.tokens_of(texts)
        return unit_or_zero(self.backbone.texts(tokens.values, tokens.mask))

    def score(self, texts: Tensor, videos: Tensor) -> Tensor:
        """(T, B) cosines."""
        return self.head.score(texts, videos[:, : self.config.dim])

    def loss(self, texts: Tensor, videos: Tensor, *, video_of: Tensor, lessons: Sequence[Lesson] = ()) -> Tensor:
        """As of every model.

        Args:
            lessons: what teachers say of the same pairs; without any, the loss is the student's own part alone.
        """
        config, scores = self.config, self.backbone.logit_scale * self.score(texts, videos)
        negatives = None if config.legacy else different_videos(video_of)
        loss = config.own_weight * contrastive_loss(scores, negatives=negatives)
        if not lessons:
            return loss
        log_weights, mask = videos[:, config.dim :].tensor_split(2, dim=1)
        loss = loss + config.coarse_weight * coarse_loss(scores, lessons, config.coarse)
        return loss + config.fine_weight * fine_loss(log_weights, mask > 0, lessons)
