"""What a retrieval model is to everything that trains it or searches with it."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from avs.models.batch import Batch


class RetrievalModel(Protocol):
    """Videos and texts to embeddings, embeddings to similarities. Implementations are `nn.Module`s.

    An embedding is a flat row of E values, so that it can be kept, gathered and counted without knowing the model; how
    many spaces it holds is the model's own affair.

    Attributes:
        video_features: names of what `embed_videos` reads.
        text_features: names of what `embed_texts` reads.
    """

    video_features: tuple[str, ...]
    text_features: tuple[str, ...]

    def video_side(self) -> list[nn.Module]:
        """The modules that `embed_videos` and `score` use and `embed_texts` does not."""
        ...

    def embed_videos(self, videos: Batch) -> Tensor:
        """(B, E)."""
        ...

    def embed_texts(self, texts: Batch) -> Tensor:
        """(T, E)."""
        ...

    def score(self, texts: Tensor, videos: Tensor) -> Tensor:
        """(T, B) similarities of (T, E) text and (B, E) video embeddings, larger is better."""
        ...

    def loss(self, texts: Tensor, videos: Tensor, *, video_of: Tensor) -> Tensor:
        """The scalar loss of B pairs.

        Args:
            texts: (B, E); row i describes the video of row i.
            videos: (B, E).
            video_of: (B,) int64, equal for rows of the same video, which are no negatives of each other.
        """
        ...
