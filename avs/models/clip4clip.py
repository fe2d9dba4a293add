"""CLIP4Clip (Luo et al., Neurocomputing 2022, arXiv 2104.08860): a CLIP and a head over the frames, trained end to end.

    x_f = CLIP(frame f)      t = CLIP(text)      s = head(x, t)
    loss = mean over both directions of the cross entropy of exp(logit scale) * s

Head meanP with loss "margin", which is LAFF's, is the clip-ft of LAFF's paper (Hu et al., ECCV 2022).

The heads are in avs/models/frame_heads.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from avs.models.architectures.clip4clip import Clip4ClipConfig
from avs.models.batch import Batch
from avs.models.clip_video import ClipVideoModel
from avs.models.frame_heads import HEADS
from avs.models.losses import Blocks, contrastive_loss, different_videos, margin_ranking_loss, mil_nce_loss


class Clip4Clip(ClipVideoModel):
    """A CLIP4Clip with fresh weights; `start_from` gives it those of a CLIP.

    An embedding is a unit vector of CLIP's space. With head tightTransf it is the vector of the text, or all frames of
    the video.
    """

    def __init__(self, config: Clip4ClipConfig) -> None:
        super().__init__(config, patches=config.patches)
        self.config = config
        self.pairwise = config.pairwise
        self.head = HEADS[config.head](config)
        self.notes = self.start_head()

    def start_head(self) -> Sequence[str]:
        self.head.start_from(self.backbone.clip)
        return self.head.notes

    def video_side(self) -> list[nn.Module]:
        return [self.backbone.clip.vision_model, self.backbone.clip.visual_projection, self.head]

    def embed_videos(self, videos: Batch) -> Tensor:
        """(B, E)."""
        return self.head.video_rows(*self.frames_of(videos))

    def embed_texts(self, texts: Batch) -> Tensor:
        """(T, E).

        Raises:
            DataError: a text has no end token.
        """
        tokens = self.tokens_of(texts)
        return self.head.text_rows(self.backbone.texts(tokens.values, tokens.mask))

    def score(self, texts: Tensor, videos: Tensor) -> Tensor:
        """(T, B) cosines; with head tightTransf, scores of any size."""
        return self.head.score(texts, videos)

    def loss(self, texts: Tensor, videos: Tensor, *, video_of: Tensor, blocks: Blocks | None = None) -> Tensor:
        """As of every model.

        Args:
            blocks: of loss "mil-nce": the pairs with their neighbours; None: each pair is alone.
        """
        config, scores = self.config, self.score(texts, videos)
        negatives = None
        if not config.legacy:
            negatives = different_videos(video_of) if blocks is None else blocks.negatives(video_of)
        if config.loss == "margin":
            return margin_ranking_loss(scores, margin=config.margin, direction=config.direction, negatives=negatives)
        if self.head.cosine:
            scores = self.backbone.logit_scale * scores
        if config.loss == "mil-nce":
            return mil_nce_loss(scores, blocks=blocks, negatives=negatives)
        return contrastive_loss(scores, negatives=negatives)
