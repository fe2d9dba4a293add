"""What a retrieval model is to everything that trains it or searches with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from avs.models.batch import Batch

Side = Literal["video", "text"]


class RetrievalModel(nn.Module):
    """Videos and texts to embeddings, embeddings to similarities.

    An embedding is a flat row of E values, so that it can be kept, gathered and counted without knowing the model. Only
    the model knows how many spaces it holds. A model must define the first four methods; the others do nothing unless
    it defines them.

    Attributes:
        video_features: names of what `embed_videos` reads.
        text_features: names of what `embed_texts` reads.
        needs_calibration: whether `calibrate` must be called after every epoch.
    """

    video_features: tuple[str, ...]
    text_features: tuple[str, ...]
    needs_calibration: bool = False

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

    def start_epoch(self, epoch: int) -> None:
        """Training comes to the 0-based `epoch`."""

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
