"""LAFF: lightweight attentional feature fusion (Hu et al., ECCV 2022, arXiv 2112.01832).

A block transforms k features into one space and adds them up, weighted by attention:

    g_i = tanh(W_i f_i + b_i)        a = softmax_i(u . g_i)        e = l2(sum_i a_i g_i)

The authors add a bias c to u . g_i. It cancels in the softmax and is left out here.
Paired blocks, h for videos and h for texts, span h common spaces. A similarity is the mean of the h cosines.
In LAFF-ml, a frame-level block (FrameLaff) first fuses frames into a video-level feature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avs.models.architectures.laff import LaffConfig
from avs.models.batch import Batch
from avs.models.frame_laff import FrameLaff
from avs.models.layers import BatchNorm, Dropout, LinearTanh
from avs.models.losses import different_videos, margin_ranking_loss
from avs.models.retrieval import RetrievalModel, Side
from avs.models.text_encoders import TokenEncoders


class Transform(nn.Module):
    """Transforms a feature for all heads at once: linear, tanh, dropout, and batch normalisation if asked for.

    Weights start Xavier-uniform, biases zero. W2VV++ normalises before the tanh, and its dropout comes last.
    """

    def __init__(self, dim: int, width: int, *, dropout: float, batch_norm: bool) -> None:
        super().__init__()
        self.linear = LinearTanh(dim, width)
        self.dropout = Dropout(dropout)
        self.norm = BatchNorm(width) if batch_norm else nn.Identity()
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, H*d) values of (B, D) features."""
        transformed: Tensor = self.norm(self.dropout(self.linear(feature)))
        return transformed


class Tile(nn.Module):
    """Gives a feature with the dimension of a head to every head, with batch normalisation and nothing else."""

    def __init__(self, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = BatchNorm(heads * head_dim)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, H*d) values of (B, d) features."""
        tiled: Tensor = self.norm(feature.repeat(1, self.heads))
        return tiled


class Laff(nn.Module):
    """The h blocks of one side, over the same k features.

    Args:
        dims: name -> dimension of each feature.
        heads, head_dim, dropout, batch_norm, no_transform, with_ave: as in LaffConfig.
    """

    average_weight: Tensor

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        heads: int = 8,
        head_dim: int = 512,
        dropout: float = 0.2,
        batch_norm: bool = False,
        no_transform: Sequence[str] = (),
        with_ave: bool = False,
    ) -> None:
        super().__init__()
        self.names, self.heads, self.head_dim = tuple(dims), heads, head_dim
        self.transforms = nn.ModuleList(
            Tile(heads, head_dim)
            if name in no_transform
            else Transform(dim, heads * head_dim, dropout=dropout, batch_norm=batch_norm)
            for name, dim in dims.items()
        )
        self.attention = nn.Parameter(torch.empty(heads, head_dim))  # the u of every head
        nn.init.uniform_(self.attention, -(head_dim**-0.5), head_dim**-0.5)
        self.with_ave = with_ave
        # r is saved with the weights that were validated with it; without with_ave there is nothing to save
        self.register_buffer("average_weight", torch.zeros(()), persistent=with_ave)

    def start_epoch(self, epoch: int) -> None:
        """Set r of `with_ave` for the 0-based epoch."""
        if self.with_ave:
            self.average_weight.fill_(max(0.8 - 0.2 * epoch, 0.0))

    def forward(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """(B, H, d) unit vectors of (B, D_i) features. A row leaves out the features that it lacks."""
        transformed = self._transformed(features, present)
        shares = self._attention(transformed, present)
        if self.with_ave:
            shares = shares + self.average_weight * (shares > 0)
        fused = transformed[0] * shares[:, :, 0, None]
        for place, feature in enumerate(transformed[1:], start=1):
            fused.addcmul_(feature, shares[:, :, place, None])
        return F.normalize(fused, dim=-1)

    def weights(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
        """(B, H, k) attention over the features in the order of `names`. It adds up to 1 over the features."""
        return self._attention(self._transformed(features, present), present)

    def _transformed(self, features: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> list[Tensor]:
        """(B, H, d) values of every feature; zeros where it is not present."""
        columns = []
        for name, transform in zip(self.names, self.transforms, strict=True):
            mask = present.get(name)
            if mask is None:
                values = transform(features[name])
            else:  # rows without the feature must not enter the statistics of a batch normalisation either
                own = transform(features[name][mask])
                values = own.new_zeros(len(mask), own.shape[1]).index_put((mask,), own)
            columns.append(values.unflatten(1, (self.heads, self.head_dim)))
        return columns

    def _attention(self, transformed: Sequence[Tensor], present: Mapping[str, Tensor]) -> Tensor:
        columns = []
        for name, feature in zip(self.names, transformed, strict=True):
            # the diagonal of every head's g with every head's u: no other product is faster
            logits = F.linear(feature, self.attention).diagonal(dim1=1, dim2=2)  # (B, H)
            mask = present.get(name)
            columns.append(logits if mask is None else logits.masked_fill(~mask[:, None], float("-inf")))
        return torch.stack(columns, dim=2).softmax(dim=2)


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

    def _side(self, dims: Mapping[str, int]) -> Laff:
        c = self.config
        tiled = [name for name in c.no_transform if name in dims]
        return Laff(
            dims,
            heads=c.heads,
            head_dim=c.head_dim,
            dropout=c.dropout,
            batch_norm=c.batch_norm,
            no_transform=tiled,
            with_ave=c.with_ave,
        )

    def start_epoch(self, epoch: int) -> None:
        self.video.start_epoch(epoch)
        self.text.start_epoch(epoch)

    def video_side(self) -> list[nn.Module]:
        return [self.frames, self.video]

    def embed_videos(self, videos: Batch) -> Tensor:
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
        return dict(zip(block.names, block.weights(vectors, batch.present).unbind(2), strict=True))

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
