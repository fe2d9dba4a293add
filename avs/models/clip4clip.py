"""CLIP4Clip (Luo et al., Neurocomputing 2022, arXiv 2104.08860): a CLIP and a head over the frames, trained end to end.

    x_f = CLIP(frame f)      t = CLIP(text)      s = head(x, t)
    loss = mean over both directions of the cross entropy of exp(logit scale) * s

Head meanP with loss "margin", which is LAFF's, is the clip-ft of LAFF's paper (Hu et al., ECCV 2022).

The heads are in avs/models/frame_heads.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from avs.core.errors import DataError
from avs.models.architectures.clip4clip import Clip4ClipConfig
from avs.models.batch import Batch, Sequences
from avs.models.clip_backbone import ClipBackbone
from avs.models.frame_heads import HEADS
from avs.models.losses import contrastive_loss, different_videos, margin_ranking_loss
from avs.models.retrieval import RateGroup, RetrievalModel
from avs.models.sequence_levels import spaced_steps


class Clip4Clip(RetrievalModel):
    """A CLIP4Clip with fresh weights; `start_from` gives it those of a CLIP.

    An embedding is a unit vector of CLIP's space. With head tightTransf it is the vector of the text, or all frames of
    the video.
    """

    def __init__(self, config: Clip4ClipConfig) -> None:
        super().__init__()
        self.config = config
        self.video_features, self.text_features = (config.video_name,), (config.text_name,)
        self.backbone = ClipBackbone(
            config.backbone,
            mean=config.image_mean,
            std=config.image_std,
            patches=config.patches,
            gradient_checkpointing=config.gradient_checkpointing,
        )
        self.backbone.freeze(config.freeze)
        if config.reads_vectors:
            self.backbone.freeze_vision()
        self.pairwise = config.head == "tightTransf"
        self.head = HEADS[config.head](config)
        self.head.start_from(self.backbone.clip)
        self.notes = self.head.notes

    def start_from(self, pretrained: nn.Module) -> None:
        """Take the weights of a CLIPModel of the config's `backbone`, and start the head from them."""
        self.backbone.start_from(pretrained)
        self.head.start_from(self.backbone.clip)
        self.notes = self.head.notes

    def save_backbone(self, folder: Path) -> None:
        """Write the CLIP for `from_pretrained`, which refuses 3d patches: no CLIPModel has them."""
        self.backbone.clip.save_pretrained(folder)

    def rate_groups(self) -> Sequence[RateGroup]:
        return [RateGroup(list(self.backbone.parameters()), self.config.backbone_ratio)]

    def after_step(self) -> None:
        self.backbone.after_step()

    def video_side(self) -> list[nn.Module]:
        return [self.backbone.clip.vision_model, self.backbone.clip.visual_projection, self.head]

    def embed_videos(self, videos: Batch) -> Tensor:
        """(B, E). Of a video of more than `max_frames` frames, as many are read, evenly spaced.

        Raises:
            DataError: a video has no frames; frames that the backbone cannot read.
        """
        frames = spaced_steps(self._sequences(videos, self.config.video_name, "frames"), self.config.max_frames)
        return self.head.video_rows(self.backbone.frames(frames.values, frames.mask), frames.mask)

    def embed_texts(self, texts: Batch) -> Tensor:
        """(T, E).

        Raises:
            DataError: a text has no tokens, more than `max_words`, or no end token.
        """
        tokens = self._sequences(texts, self.config.text_name, "tokens")
        if tokens.values.shape[1] > self.config.max_words:
            raise DataError(
                "texts of more tokens than the model has places for",
                got=f"{tokens.values.shape[1]} tokens",
                wanted=f"at most {self.config.max_words}",
                next_step="cut the texts, or train a model with more places (max_words)",
            )
        return self.head.text_rows(self.backbone.texts(tokens.values, tokens.mask))

    def score(self, texts: Tensor, videos: Tensor) -> Tensor:
        """(T, B) cosines; with head tightTransf, scores of any size."""
        return self.head.score(texts, videos)

    def loss(self, texts: Tensor, videos: Tensor, *, video_of: Tensor) -> Tensor:
        config, scores = self.config, self.score(texts, videos)
        negatives = None if config.legacy else different_videos(video_of)
        if config.loss == "margin":
            return margin_ranking_loss(scores, margin=config.margin, direction=config.direction, negatives=negatives)
        if self.head.cosine:
            scores = self.backbone.logit_scale * scores
        return contrastive_loss(scores, negatives=negatives)

    def _sequences(self, batch: Batch, name: str, items: str) -> Sequences:
        """The sequences of a name, if all of the batch have them."""
        found, present = batch.sequences[name], batch.present.get(name)
        if present is not None and not bool(present.all()):
            raise DataError(
                f"{int((~present).sum())} of {len(batch)} have no {items}",
                wanted=name,
                next_step="leave them out, or extract what is missing",
            )
        return found
