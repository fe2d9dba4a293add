"""Hybrid space (Dong et al., TPAMI 2021, arXiv 2009.05381): a latent space, and one whose dimensions are concepts.

    c = sigmoid(BatchNorm(W f + b))      J(q, v) = sum_i min(q_i, v_i) / sum_i max(q_i, v_i)
    s = 0.6 latent + 0.4 J, after each is scaled to [0, 1]

A concept is a frequent word of the training captions. The two concept vectors learn to rank by J, and to predict the
words by binary cross entropy against the labels of the video.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avs.models.architectures import Reduction
from avs.models.layers import BatchNorm

BLOCK = 4096  # number of videos whose similarities `calibrate` computes at once


class ConceptHead(nn.Module):
    """From features to the logits of concepts: linear, then batch normalisation."""

    def __init__(self, dim: int, concepts: int) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(dim, concepts), BatchNorm(concepts)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C) logits of (B, D) features."""
        logits: Tensor = self.norm(self.linear(features))
        return logits


class MinMax(nn.Module):
    """Scales one kind of similarity to [0, 1] by a range that is saved with the weights.

    The authors take the range of the whole score matrix that they rank. A search that streams through a collection
    never sees that matrix, and its scores would depend on the collection. Here the range is that of the validation
    scores. Scores outside the range leave [0, 1], which does not change their order.

    Args:
        low, high: the range until another one is set.
    """

    low: Tensor
    high: Tensor

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.register_buffer("low", torch.tensor(low))
        self.register_buffer("high", torch.tensor(high))

    def set_range(self, low: Tensor, high: Tensor) -> None:
        """Set the range from two scalars."""
        self.low.copy_(low)
        self.high.copy_(high)

    def forward(self, scores: Tensor) -> Tensor:
        """Scaled scores, in the shape of `scores`."""
        span = self.high - self.low
        return (scores - self.low) / torch.where(span > 0, span, torch.ones_like(span))


def jaccard(texts: Tensor, videos: Tensor) -> Tensor:
    """(T, B) Jaccard similarities of (T, C) and (B, C) values in [0, 1], in [0, 1].

    With |q-v| the sum of absolute differences, min and max add up to (|q|+|v| -+ |q-v|) / 2. No (T, B, C) is computed.
    """
    both = texts.sum(dim=1)[:, None] + videos.sum(dim=1)
    apart = torch.cdist(texts, videos, p=1)
    return (both - apart) / (both + apart).clamp(min=torch.finfo(both.dtype).tiny)


def concept_scores(texts: Tensor, videos: Tensor) -> Tensor:
    """(T, B) Jaccard similarities of (T, C) and (B, C) logits."""
    return jaccard(texts.sigmoid(), videos.sigmoid())


def concept_loss(texts: Tensor, videos: Tensor, labels: Tensor, *, reduction: Reduction) -> Tensor:
    """Binary cross entropy of both sides' (B, C) logits against (B, C) labels in [0, 1].

    It is the mean over the concepts, and the sum (the authors' choice) or the mean over the batch.
    """
    cost = F.binary_cross_entropy_with_logits(texts, labels) + F.binary_cross_entropy_with_logits(videos, labels)
    return cost * len(labels) if reduction == "sum" else cost
