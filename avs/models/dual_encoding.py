"""Dual Encoding (Dong et al., CVPR 2019, TPAMI 2021), and DMT_CUC_01's use of it at TRECVID 2021.

Frames are read at three levels: their mean f1, a biGRU f2, and convolutions over the biGRU f3 (sequence_levels.py).

    DMT_CUC_01, fusion "separate":       e_l = l2(BatchNorm(W_l dropout(f_l) + b_l)),    s = mean_l cos(e_l(v), e(q))
    Dual Encoding, fusion "concatenated":  e = l2(dropout(BatchNorm(W [dropout(f2) dropout(f3) f1] + b))),
                                           s = cos(e(v), e(q))

DMT_CUC_01 reads CLIP frames and the CLIP text embedding. Its paper gives no sizes; ours are from Dual Encoding 2021.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avs.core.errors import DataError
from avs.models.architectures.dual_encoding import DualEncodingConfig
from avs.models.batch import Batch, Sequences
from avs.models.hybrid_space import BLOCK, ConceptHead, MinMax, concept_loss, concept_scores
from avs.models.layers import BatchNorm
from avs.models.losses import different_videos, margin_ranking_loss
from avs.models.retrieval import RetrievalModel
from avs.models.sequence_levels import MaxConvolutions, SequenceLevels
from avs.models.text_encoders import TokenEncoders


class Head(nn.Module):
    """Maps a level into its common space: linear, batch normalisation, length 1.

    Weights start Xavier-uniform, biases zero.

    Args:
        dropout_first: whether dropout comes before the linear map; otherwise it comes after batch normalisation.
    """

    def __init__(self, dim: int, space: int, *, dropout: float, dropout_first: bool) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(dim, space), BatchNorm(space)
        self.dropout, self.dropout_first = nn.Dropout(dropout), dropout_first
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, feature: Tensor) -> Tensor:
        """(B, space) unit vectors of (B, D)."""
        if self.dropout_first:
            return F.normalize(self.norm(self.linear(self.dropout(feature))), dim=-1)
        return F.normalize(self.dropout(self.norm(self.linear(feature))), dim=-1)


class DualEncodingModel(RetrievalModel):
    """Dual encoding of frames at three levels and of texts at up to three.

    An embedding is the concatenation of the unit vectors of the common spaces; in a hybrid space the logits of the
    concepts follow. While a hybrid space is trained, the labels of a text follow these; `score` does not read them.
    """

    def __init__(self, config: DualEncodingConfig) -> None:
        super().__init__()
        c = self.config = config
        self.video_features = tuple(c.video_frames)
        self.text_features = (*c.text, *c.text_tokens)
        (dim,) = c.video_frames.values()
        self.levels = SequenceLevels(
            dim,
            levels=c.levels,
            hidden=c.hidden,
            kernels=c.kernels,
            filters=c.filters,
            max_length=c.max_frames,
            legacy=c.legacy,
        )
        self.tokens = TokenEncoders(c.text_tokens)
        self.token_convolutions = nn.ModuleList(
            MaxConvolutions(encoder.dim, c.text_kernels, c.text_filters, legacy=c.legacy)
            for encoder in self.tokens.encoders().values()
        )
        self.level_dropout = nn.Dropout(c.dropout if c.fusion == "concatenated" else 0.0)
        video_dims = self.levels.dims if c.fusion == "separate" else (sum(self.levels.dims),)
        convolved = c.text_filters * len(c.text_kernels)
        text_dim = sum(c.text[name] for name in c.text_vectors)
        text_dim += sum(tokens.dim + convolved for tokens in c.text_tokens.values())
        self.spaces, self.latent_width = len(video_dims), len(video_dims) * c.space
        head = partial(Head, dropout=c.dropout, dropout_first=c.fusion == "separate")
        self.video_heads = nn.ModuleList(head(each, c.space) for each in video_dims)
        self.text_heads = nn.ModuleList(head(text_dim, c.space) for _ in range(1 if c.shared_text else self.spaces))
        self.needs_calibration = c.concepts is not None
        if c.concepts is not None:
            self.concept_count = c.text[c.concepts]
            self.video_concepts = ConceptHead(sum(video_dims), self.concept_count)
            self.text_concepts = ConceptHead(text_dim, self.concept_count)
            self.latent_range, self.concept_range = MinMax(-1.0, 1.0), MinMax(0.0, 1.0)

    def video_side(self) -> list[nn.Module]:
        concepts = self.config.concepts is not None
        return [
            self.levels,
            self.video_heads,
            *([self.video_concepts, self.latent_range, self.concept_range] if concepts else []),
        ]

    def embed_videos(self, videos: Batch) -> Tensor:
        """(B, E).

        Raises:
            DataError: a video has no frames.
        """
        (name,) = self.video_features
        if name in videos.present and not bool(videos.present[name].all()):
            lacking = int((~videos.present[name]).sum())
            raise DataError(
                f"{lacking} of {len(videos)} videos have no frames",
                wanted=name,
                next_step="extract their frames, or leave these videos out",
            )
        levels = self.levels(videos.sequences[name])
        levels = [
            level if kind == "mean" else self.level_dropout(level)
            for kind, level in zip(self.config.levels, levels, strict=True)
        ]
        if self.config.fusion == "concatenated":
            levels = [torch.cat(levels, dim=1)]
        embedded = [head(level) for head, level in zip(self.video_heads, levels, strict=True)]
        if self.config.concepts is not None:
            embedded.append(self.video_concepts(levels[0]))
        return torch.cat(embedded, dim=1)

    def embed_texts(self, texts: Batch) -> Tensor:
        """(T, E); (T, E+C) while training a hybrid space."""
        levels = torch.cat([*self._text_vectors(texts), *self._token_levels(texts)], dim=1)
        embedded = [head(levels) for head in self.text_heads]
        if self.config.shared_text:
            embedded *= self.spaces
        if self.config.concepts is not None:
            embedded.append(self.text_concepts(levels))
            if self.training:
                embedded.append(_known(texts, self.config.concepts).clamp(0, 1))
        return torch.cat(embedded, dim=1)

    def score(self, texts: Tensor, videos: Tensor) -> Tensor:
        """(T, B) mean of the common spaces' cosines, in [-1, 1]; in a hybrid space the weighted sum of both."""
        if self.config.concepts is None:
            return self._latent_scores(texts, videos)
        latent, concept = self._hybrid_scores(texts, videos)
        weight = self.config.latent_weight
        scores: Tensor = weight * self.latent_range(latent) + (1 - weight) * self.concept_range(concept)
        return scores

    def loss(self, texts: Tensor, videos: Tensor, *, video_of: Tensor) -> Tensor:
        c = self.config
        rank = partial(
            margin_ranking_loss,
            margin=c.margin,
            direction=c.direction,
            negatives=None if c.legacy else different_videos(video_of),
            reduction=c.reduction,
        )
        if c.loss_per_level:
            by_space = [side[:, : self.latent_width].reshape(len(side), self.spaces, -1) for side in (texts, videos)]
            total = rank(torch.einsum("tsd,vsd->stv", *by_space)) / self.spaces
        else:
            total = rank(self._latent_scores(texts, videos))
        if c.concepts is None:
            return total
        of_texts, labels = torch.tensor_split(self._concepts(texts), [self.concept_count], dim=1)
        of_videos = self._concepts(videos)
        total = total + rank(concept_scores(of_texts, of_videos))
        return total + concept_loss(of_texts, of_videos, labels, reduction=c.reduction)

    @torch.no_grad()
    def calibrate(self, texts: Tensor, videos: Tensor) -> None:
        """Set the ranges by which a hybrid space scales its two similarities; without one, do nothing.

        Before, these are the possible ranges, [-1, 1] and [0, 1]. The authors scale by the range of each score matrix
        that they rank, which is the same if `texts` and `videos` are the whole collection.
        """
        if self.config.concepts is None:
            return
        blocks = [self._hybrid_scores(texts, block) for block in torch.split(videos, BLOCK)]
        for kind, scale in enumerate((self.latent_range, self.concept_range)):
            extremes = torch.stack([torch.stack(block[kind].aminmax()) for block in blocks])
            scale.set_range(extremes[:, 0].min(), extremes[:, 1].max())

    def set_words(self, feature: str, rows: Tensor, vectors: Tensor) -> None:
        self.tokens.encoders()[feature].set_words(rows, vectors)

    def _latent_scores(self, texts: Tensor, videos: Tensor) -> Tensor:
        return texts[:, : self.latent_width] @ videos[:, : self.latent_width].T / self.spaces

    def _hybrid_scores(self, texts: Tensor, videos: Tensor) -> tuple[Tensor, Tensor]:
        """(T, B) cosines and (T, B) Jaccard similarities."""
        of_texts = self._concepts(texts)[:, : self.concept_count]
        return self._latent_scores(texts, videos), concept_scores(of_texts, self._concepts(videos))

    def _concepts(self, embedded: Tensor) -> Tensor:
        return embedded[:, self.latent_width :]

    def _text_vectors(self, texts: Batch) -> list[Tensor]:
        """The vectors of each feature. Where a text lacks one it is zero, like a bag of words without a known word."""
        names = self.config.text_vectors
        if not self.tokens and names and all(name in texts.present for name in names):
            some = torch.stack([texts.present[name] for name in names]).any(dim=0)
            if not bool(some.all()):
                raise DataError(
                    f"{int((~some).sum())} of {len(texts)} texts have no feature at all",
                    wanted=", ".join(names),
                    next_step="add a text feature that every text has, such as an encoder's",
                )
        return [_known(texts, name) for name in names]

    def _token_levels(self, texts: Batch) -> list[Tensor]:
        levels = []
        for (name, encoder), conv in zip(self.tokens.encoders().items(), self.token_convolutions, strict=True):
            words = texts.sequences[name]
            states = Sequences(encoder.outputs(words), words.lengths)
            mean = states.values.sum(dim=1) / words.lengths[:, None]
            levels += [self.level_dropout(mean), self.level_dropout(conv(states))]
        return levels


def _known(texts: Batch, name: str) -> Tensor:
    """(T, D) of a feature, zero where a text lacks it."""
    vectors, present = texts.vectors[name], texts.present.get(name)
    return vectors if present is None else vectors.masked_fill(~present[:, None], 0.0)
