"""LAFF: lightweight attentional feature fusion (Hu et al., ECCV 2022, arXiv 2112.01832).

A block (avs/models/blocks) transforms k features into one space and adds them up, weighted by attention. Paired blocks,
h for videos and h for texts, span h common spaces. A similarity is the mean of the h cosines.
In LAFF-ml, a frame-level block (FrameLaff) first fuses frames into a video-level feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from avs.core.errors import DataError
from avs.models.architectures.laff import LaffConfig
from avs.models.batch import Batch
from avs.models.blocks import BLOCKS
from avs.models.blocks.block import FusionBlock
from avs.models.frame_laff import FrameLaff
from avs.models.layers import LinearTanh
from avs.models.losses import different_videos, margin_ranking_loss
from avs.models.retrieval import RetrievalModel, Side
from avs.models.text_encoders import TokenEncoders


class LaffModel(RetrievalModel):
    """Paired LAFF over videos and texts; with frame-level features, LAFF-ml.

    An embedding is the concatenation of the heads' h unit vectors: E = h*d.
    """

    def __init__(self, config: LaffConfig) -> None:
        super().__init__()
        self.config = config
        self.video_features = (*config.video, *config.video_frames)
        self.text_features = (*config.text, *config.text_tokens)
        self.frame_names = tuple(config.video_frames)
        self.frames = nn.ModuleList(
            FrameLaff(dim, max_frames=config.max_frames) for dim in config.video_frames.values()
        )
        self.tokens = TokenEncoders(config.text_tokens)
        token_dims = {name: encoder.dim for name, encoder in self.tokens.encoders().items()}
        self.video = self._side({**config.video, **config.video_frames})
        self.text = self._side({**config.text, **token_dims})

    def _side(self, dims: Mapping[str, int]) -> FusionBlock:
        c = self.config
        own: dict[str, Any] = {"with_ave": c.with_ave} if c.fusion == "attention" else {}
        return BLOCKS[c.fusion](
            dims,
            heads=c.heads,
            head_dim=c.head_dim,
            dropout=c.dropout,
            batch_norm=c.batch_norm,
            no_transform=[name for name in c.no_transform if name in dims],
            **own,
        )

    def start_epoch(self, epoch: int) -> None:
        self.video.start_epoch(epoch)
        self.text.start_epoch(epoch)

    def video_side(self) -> list[nn.Module]:
        return [self.frames, self.video]

    def embed_videos(self, videos: Batch) -> Tensor:
        """(B, E).

        Raises:
            DataError: a video lacks a feature, and the block is a concatenation.
        """
        if self.config.fusion == "concatenation":
            _require_every_feature(videos)
        embedded: Tensor = self.video(self._video_vectors(videos), videos.present)
        return embedded.flatten(1)

    def embed_texts(self, texts: Batch) -> Tensor:
        embedded: Tensor = self.text(self._text_vectors(texts), texts.present)
        return embedded.flatten(1)

    def score(self, texts: Tensor, videos: Tensor) -> Tensor:
        """(T, B) mean over the heads of the cosines, in [-1, 1]."""
        return texts @ videos.T / self.config.heads

    def loss(self, texts: Tensor, videos: Tensor, *, video_of: Tensor) -> Tensor:
        c = self.config
        if c.loss_per_head:
            by_head = (-1, c.heads, c.head_dim)
            scores = torch.einsum("thd,vhd->htv", texts.view(by_head), videos.view(by_head))
        else:
            scores = self.score(texts, videos)
        return margin_ranking_loss(
            scores,
            margin=c.margin,
            direction=c.direction,
            negatives=None if c.legacy else different_videos(video_of),
            reduction=c.reduction,
        )

    def set_words(self, feature: str, rows: Tensor, vectors: Tensor) -> None:
        self.tokens.encoders()[feature].set_words(rows, vectors)

    def pack_weights(self, rows: int) -> None:
        for module in self.video.modules():
            if isinstance(module, LinearTanh):
                module.pack(rows)

    def attention(self, batch: Batch, side: Side) -> dict[str, Tensor]:
        block, vectors = (
            (self.video, self._video_vectors(batch)) if side == "video" else (self.text, self._text_vectors(batch))
        )
        weights = block.weights(vectors, batch.present)
        return {} if weights is None else dict(zip(block.names, weights.unbind(2), strict=True))

    def _video_vectors(self, videos: Batch) -> dict[str, Tensor]:
        vectors = {name: self._noise_for_zeros(videos.vectors[name]) for name in self.config.video}
        for name, pool in zip(self.frame_names, self.frames, strict=True):
            vectors[name] = pool(videos.sequences[name])
        return vectors

    def _text_vectors(self, texts: Batch) -> dict[str, Tensor]:
        vectors = {name: texts.vectors[name] for name in self.config.text}
        encoded: dict[str, Tensor] = self.tokens(texts)
        return vectors | encoded

    def _noise_for_zeros(self, feature: Tensor) -> Tensor:
        """With `legacy`, replace a feature that is zero in a whole training batch by noise, as the authors do."""
        if self.config.legacy and self.training and not feature.any():
            return torch.randn_like(feature)
        return feature


def _require_every_feature(videos: Batch) -> None:
    lacking = {name: int((~mask).sum()) for name, mask in videos.present.items() if not bool(mask.all())}
    if lacking:
        raise DataError(
            "a model that concatenates features needs all of them",
            got=", ".join(f"{count} of {len(videos)} videos have no {name}" for name, count in lacking.items()),
            next_step="extract the features for all videos, or train with another `fusion`",
        )
