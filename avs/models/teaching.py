"""Losses of a student that learns from the scores of teachers: TeachCLIP (Tian et al., CVPR 2024, arXiv 2308.01217).

    coarse, "pear"   mean_i [1 - rho(softmax S_i., softmax T_i.)] + mean_j [1 - rho(softmax S_.j, softmax T_.j)]
    coarse, "ce"     mean of -softmax(T_i.) log softmax(S_i.) over all pairs + the same of the columns
    coarse, "l1"     mean of smooth L1 of S - T over all pairs
    fine             mean of -y log w over the frames of all videos,  y = softmax over a video's frames of `relevance`

S are the student's scores, T a teacher's, both times their logit scale; rho is Pearson's correlation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from avs.models.architectures.teachclip import Coarse

EPSILON = 1e-8  # of a correlation: a row of equal scores has no direction


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What one teacher says of B pairs.

    Attributes:
        scores: (B, B) of every text with every video, times the teacher's logit scale.
        relevance: (B, F) of each frame to the text of its pair.
        mask: (B, F) bool, which frames are real.
    """

    scores: Tensor
    relevance: Tensor
    mask: Tensor


def coarse_loss(scores: Tensor, lessons: Sequence[Lesson], kind: Coarse) -> Tensor:
    """How far (B, B) scores, times the logit scale, are from those of teachers; the mean over teachers."""
    return torch.stack([_COARSE[kind](scores, lesson.scores) for lesson in lessons]).mean()


def fine_loss(log_weights: Tensor, mask: Tensor, lessons: Sequence[Lesson]) -> Tensor:
    """How far weights of frames are from their relevance; the mean over teachers.

    Args:
        log_weights: (B, F) logarithms of weights that add up to 1 in each row; any finite value where the mask is
            false.
        mask: (B, F) bool, which frames are real; at least one of each row must be real in the
            lessons too. A `legacy` X-CLIP takes pads for frames; they take no part here.
    """
    return torch.stack([_fine(log_weights, mask, lesson) for lesson in lessons]).mean()


def _fine(log_weights: Tensor, mask: Tensor, lesson: Lesson) -> Tensor:
    taught = lesson.relevance.masked_fill(~(mask & lesson.mask), float("-inf")).softmax(dim=1)
    return -(taught * log_weights).masked_fill(~mask, 0.0).sum() / mask.sum()


def _pearson(scores: Tensor, taught: Tensor) -> Tensor:
    return _uncorrelated(scores, taught) + _uncorrelated(scores.T, taught.T)


def _uncorrelated(scores: Tensor, taught: Tensor) -> Tensor:
    """1 - rho of the softmax of rows, averaged."""
    first, second = (_centred(rows.softmax(dim=1)) for rows in (scores, taught))
    return (1 - F.cosine_similarity(first, second, dim=1, eps=EPSILON)).mean()


def _centred(rows: Tensor) -> Tensor:
    return rows - rows.mean(dim=1, keepdim=True)


def _cross_entropy(scores: Tensor, taught: Tensor) -> Tensor:
    rows = taught.softmax(dim=1) * scores.log_softmax(dim=1)
    columns = taught.softmax(dim=0) * scores.log_softmax(dim=0)
    return -(rows.mean() + columns.mean())


_COARSE: Mapping[Coarse, Callable[[Tensor, Tensor], Tensor]] = {
    "pear": _pearson,
    "ce": _cross_entropy,
    "l1": F.smooth_l1_loss,
}
