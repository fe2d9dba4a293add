"""What a retrieval model is to everything that trains it or searches with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from avs.models.batch import Batch

Side = Literal["video", "text"]


@dataclass(frozen=True, slots=True)
class RateGroup:
    """Parameters whose learning rate is `factor` times that of the others."""

    parameters: Sequence[nn.Parameter]
    factor: float


class RetrievalModel(nn.Module):
    """Videos and texts to embeddings, embeddings to similarities.

    An embedding is a flat row of E values, so that it can be kept, gathered and counted without knowing the model. Only
    the model knows how many spaces it holds. A model must define the first four methods; the others do nothing unless
    it defines them.

    Attributes:
        video_features: names of what `embed_videos` reads.
        text_features: names of what `embed_texts` reads.
        needs_calibration: whether `calibrate` must be called after every epoch.
        notes: what fresh weights started from, where a user should know; one sentence each.
        pairwise: whether a score needs a pass over text and video together, so that no collection can be searched.
    """

    video_features: tuple[str, ...]
    text_features: tuple[str, ...]
    needs_calibration: bool = False
    notes: Sequence[str] = ()
    pairwise: bool = False

    def start_from(self, pretrained: nn.Module) -> None:
        """Before training: start from the weights of the pretrained network that the architecture builds on."""
        raise NotImplementedError

    def save_backbone(self, folder: Path) -> None:
        """Write that network, as trained, to a folder in its own format."""
        raise NotImplementedError

    def video_side(self) -> list[nn.Module]:
        """The modules that `embed_videos` and `score` use and `embed_texts` does not.

        A search converts and packs them in place. Of a model that names none, it packs a copy of the whole model.
        """
        return []

    def embed_videos(self, videos: Batch) -> Tensor:
        """(B, E)."""
        raise NotImplementedError

    def embed_texts(self, texts: Batch) -> Tensor:
        """(T, E)."""
        raise NotImplementedError

    def score(self, texts: Tensor, videos: Tensor) -> Tensor:
        """(T, B) similarities of (T, E) text and (B, E) video embeddings; larger is better."""
        raise NotImplementedError

    def loss(self, texts: Tensor, videos: Tensor, *, video_of: Tensor) -> Tensor:
        """The scalar loss of B pairs.

        Args:
            texts: (B, E); row i describes the video of row i.
            videos: (B, E).
            video_of: (B,) int64; rows with equal values have the same video and are not negatives of each other.
        """
        raise NotImplementedError

    def set_words(self, feature: str, rows: Tensor, vectors: Tensor) -> None:
        """Before training: start the word embeddings of a text feature from (R, D) `vectors` at (R,) `rows`."""

    def rate_groups(self) -> Sequence[RateGroup]:
        """Parameters with a learning rate of their own; a model without any trains all at one rate."""
        return ()

    def start_epoch(self, epoch: int) -> None:
        """Training comes to the 0-based `epoch`."""

    def after_step(self) -> None:
        """The optimiser has moved the weights: put those back that left their range."""

    def calibrate(self, texts: Tensor, videos: Tensor) -> None:
        """After an epoch: set what the model keeps of the range of its scores.

        Args:
            texts: (T, E) embeddings of a validation set.
            videos: (B, E).
        """

    def attention(self, batch: Batch, side: Side) -> Mapping[str, Tensor]:
        """Feature -> (B, H) attention to it in a batch of one side; {} of a model without attention."""
        return {}

    def pack_weights(self, rows: int) -> None:
        """Before a search: lay the weights of the video side out for inference alone, `rows` videos at a time."""
