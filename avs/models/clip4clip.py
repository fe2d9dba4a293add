"""CLIP4Clip (Luo et al., Neurocomputing 2022, arXiv 2104.08860): a CLIP and a head over the frames, trained end to end.

    x_f = CLIP(frame f)      t = CLIP(text)      s = head(x, t)
    loss = mean over both directions of the cross entropy of exp(logit scale) * s

The heads are in avs/models/frame_heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from avs.core.errors import DataError
from avs.models.architectures.clip4clip import Clip4ClipConfig
from avs.models.batch import Batch, Sequences
from avs.models.clip_backbone import ClipBackbone
from avs.models.frame_heads import HEADS
from avs.models.losses import contrastive_loss, different_videos
from avs.models.retrieval import RetrievalModel

if TYPE_CHECKING:
    from transformers import CLIPModel


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
        self.head = HEADS[config.head](config)
        self.head.start_from(self.backbone.clip)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the weights of the head started from, one sentence each."""
        return self.head.notes

    def start_from(self, clip: CLIPModel) -> None:
        """Take the weights of a CLIP of the config's `backbone`, and start the head from them."""
        self.backbone.start_from(clip)
        self.head.start_from(self.backbone.clip)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """ "backbone": what is trained of CLIP; "new": the head."""
        groups = {"backbone": self.backbone, "new": self.head}
        return {name: [each for each in part.parameters() if each.requires_grad] for name, part in groups.items()}

    def after_step(self) -> None:
        """After a step of the optimiser."""
        self.backbone.after_step()

    def video_side(self) -> list[nn.Module]:
        return [self.backbone.clip.vision_model, self.backbone.clip.visual_projection, self.head]

    def embed_videos(self, videos: Batch) -> Tensor:
        """(B, E).

        Raises:
            DataError: a video has no frames, or more than `max_frames`; frames that the backbone cannot read.
        """
        frames = self._sequences(videos, self.config.video_name, "frames", self.config.max_frames)
        return self.head.video_rows(self.backbone.frames(frames.values, frames.mask), frames.mask)

    def embed_texts(self, texts: Batch) -> Tensor:
        """(T, E).

        Raises:
            DataError: a text has no tokens, more than `max_words`, or no end token.
        """
        tokens = self._sequences(texts, self.config.text_name, "tokens", self.config.max_words)
        return self.head.text_rows(self.backbone.texts(tokens.values, tokens.mask))

    def score(self, texts: Tensor, videos: Tensor) -> Tensor:
        """(T, B) cosines; with head tightTransf, scores of any size."""
        return self.head.score(texts, videos)

    def loss(self, texts: Tensor, videos: Tensor, *, video_of: Tensor) -> Tensor:
        scores = self.score(texts, videos)
        if self.head.cosine:
            scores = self.backbone.logit_scale * scores
        return contrastive_loss(scores, negatives=None if self.config.legacy else different_videos(video_of))

    def _sequences(self, batch: Batch, name: str, items: str, most: int) -> Sequences:
        """The sequences of a name, if all of the batch have them and none is too long."""
        found, present = batch.sequences[name], batch.present.get(name)
        if present is not None and not bool(present.all()):
            raise DataError(
                f"{int((~present).sum())} of {len(batch)} have no {items}",
                wanted=name,
                next_step="leave them out, or extract what is missing",
            )
        if found.values.shape[1] > most:
            raise DataError(
                f"sequences of more {items} than the model has places for",
                got=f"{found.values.shape[1]} {items}",
                wanted=f"at most {most}",
                next_step=f"choose fewer {items}, or train a model with more places",
            )
        return found
