"""What models on the frames of a CLIP share: the backbone, what is frozen and at which rate it learns, the batches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avs.core.errors import DataError
from avs.models.architectures.clip_video import ClipVideoConfig, Patches
from avs.models.batch import Batch, Sequences
from avs.models.clip_backbone import ClipBackbone
from avs.models.retrieval import RateGroup, RetrievalModel
from avs.models.sequence_levels import spaced_steps


class ClipVideoModel(RetrievalModel):
    """A model of CLIP's vectors of frames and texts; `start_from` gives it the weights of a CLIP.

    Args:
        config: its options.
        patches: "2d" or "3d", see ClipBackbone.

    Attributes:
        backbone: the CLIP.
    """

    def __init__(self, config: ClipVideoConfig, *, patches: Patches = "2d") -> None:
        super().__init__()
        self.video_features, self.text_features = (config.video_name,), (config.text_name,)
        self.most_frames, self.most_words = config.max_frames, config.max_words
        self.backbone_ratio = config.backbone_ratio
        self.backbone = ClipBackbone(
            config.backbone,
            mean=config.image_mean,
            std=config.image_std,
            patches=patches,
            gradient_checkpointing=config.gradient_checkpointing,
        )
        self.backbone.freeze(config.freeze)
        if config.reads_vectors:
            self.backbone.freeze_vision()

    def start_head(self) -> Sequence[str]:
        """Start what is beside the backbone, some of it as copies of its weights; return what was done.

        Returns:
            One sentence each, for `notes`.
        """
        return ()

    def start_from(self, pretrained: nn.Module) -> None:
        """Take the weights of a CLIPModel of the config's `backbone`, and start the rest from them."""
        self.backbone.start_from(pretrained)
        self.notes = self.start_head()

    def save_backbone(self, folder: Path) -> None:
        """Write the CLIP for `from_pretrained`, which refuses 3d patches: no CLIPModel has them."""
        self.backbone.clip.save_pretrained(folder)

    def rate_groups(self) -> Sequence[RateGroup]:
        return [RateGroup(list(self.backbone.parameters()), self.backbone_ratio)]

    def after_step(self) -> None:
        self.backbone.after_step()

    def frames_of(self, videos: Batch) -> tuple[Tensor, Tensor]:
        """(B, F, D) vectors of frames, zero after a video's end, and their (B, F) bool mask.

        Of a video of more than `max_frames` frames, as many are read, evenly spaced.

        Raises:
            DataError: a video has no frames; frames that the backbone cannot read.
        """
        (name,) = self.video_features
        frames = spaced_steps(_sequences(videos, name, "frames"), self.most_frames)
        return self.backbone.frames(frames.values, frames.mask), frames.mask

    def filled(self, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, M, D) frames and their (B, M) mask with M = `max_frames` places, of (B, F, D) frames and a (B, F) mask.

        As in the authors' code of such models, what fills up is a picture of zeros after normalisation.
        """
        pad = (0, self.most_frames - frames.shape[1])
        wider, real = F.pad(frames, (0, 0, *pad)), F.pad(mask, pad)
        return torch.where(real[..., None], wider, self.backbone.blank_frame().to(frames.dtype)), real

    def tokens_of(self, texts: Batch) -> Sequences:
        """(T, W) token ids.

        Raises:
            DataError: a text has no tokens, or more than `max_words`.
        """
        (name,) = self.text_features
        tokens = _sequences(texts, name, "tokens")
        if tokens.values.shape[1] > self.most_words:
            raise DataError(
                "texts of more tokens than the model has places for",
                got=f"{tokens.values.shape[1]} tokens",
                wanted=f"at most {self.most_words}",
                next_step="cut the texts, or train a model with more places (max_words)",
            )
        return tokens


def _sequences(batch: Batch, name: str, items: str) -> Sequences:
    """The sequences of a name, if all of the batch have them."""
    found, present = batch.sequences[name], batch.present.get(name)
    if present is not None and not bool(present.all()):
        raise DataError(
            f"{int((~present).sum())} of {len(batch)} have no {items}",
            wanted=name,
            next_step="leave them out, or extract what is missing",
        )
    return found
