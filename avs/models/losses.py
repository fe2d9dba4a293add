"""Losses over the similarities of a batch of matching texts and videos.

`scores` is (B, B): row i is text i against every video, column j is video j; the pairs on the diagonal match.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avs.models.architectures import Direction, Reduction


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """B pairs in blocks: the pair in the middle, and its neighbours in time. Blocks may share videos.

    Attributes:
        block_of: (B,) int64, a number for each block.
        middle: (B,) bool, true once in each block.
    """

    block_of: Tensor
    middle: Tensor

    @property
    def positives(self) -> Tensor:
        """(B, B) bool: which pairs of rows are of one block."""
        return self.block_of[:, None] == self.block_of[None, :]

    def negatives(self, video_of: Tensor) -> Tensor:
        """(B, B) bool: which pairs of rows are negatives, because the block of the one lacks the video of the other.

        Args:
            video_of: (B,) int64; rows with equal values have the same video.
        """
        same = ~different_videos(video_of)
        return (self.positives.float() @ same.float()) == 0


def different_videos(video_of: Tensor) -> Tensor:
    """(B, B) bool: which pairs of rows are negatives, because their videos differ."""
    return video_of[:, None] != video_of[None, :]


def margin_ranking_loss(
    scores: Tensor,
    *,
    margin: float = 0.2,
    direction: Direction = "t2v",
    negatives: Tensor | None = None,
    hardest: bool = True,
    reduction: Reduction = "sum",
) -> Tensor:
    """Hinge loss against the hardest negative (VSE++; "mrl" in W2VV++, Dual Encoding, SEA and LAFF).

    A text without a negative in the batch costs nothing.

    Args:
        scores: (B, B), or (S, B, B) for S spaces, whose losses are added.
        margin: how much higher than the negative the match must score.
        direction: "t2v": for each text, against other videos; "v2t": for each video, against other texts; or "both".
        negatives: (B, B) bool, which pairs may be negatives; None: all off the diagonal, as in the authors' code,
            where another caption of the same video counts as a negative.
        hardest: count only the largest violation; otherwise the sum of all.
        reduction: "sum" (the authors' choice) or "mean" over the batch. They differ when gradients are clipped.
    """
    size = scores.shape[-1]
    if negatives is None:
        negatives = ~torch.eye(size, dtype=torch.bool, device=scores.device)
    matches = scores.diagonal(dim1=-2, dim2=-1)  # (..., B)
    total = scores.new_zeros(())
    if direction in ("t2v", "both"):
        total = total + _violations(scores - matches[..., :, None], margin, negatives, hardest).sum()
    if direction in ("v2t", "both"):
        across = scores.transpose(-2, -1)
        total = total + _violations(across - matches[..., :, None], margin, negatives, hardest).sum()
    return total / size if reduction == "mean" else total


def _violations(excess: Tensor, margin: float, negatives: Tensor, hardest: bool) -> Tensor:
    """(..., B) cost of each row from the (..., B, B) scores above its match."""
    cost = (margin + excess).clamp(min=0).masked_fill(~negatives, 0.0)
    return cost.amax(dim=-1) if hardest else cost.sum(dim=-1)


def contrastive_loss(scores: Tensor, *, negatives: Tensor | None = None) -> Tensor:
    """Symmetric cross entropy: the average of both directions (InfoNCE, as CLIP and CLIP4Clip compute it).

    CLIP4Clip's paper adds the two directions; its code, like all others, averages.

    Args:
        scores: (B, B), already multiplied by the logit scale.
        negatives: (B, B) bool; the softmax leaves out pairs that are neither negatives nor on the diagonal.
    """
    size = len(scores)
    if negatives is not None:
        scores = _only(scores, negatives | torch.eye(size, dtype=torch.bool, device=scores.device))
    matches = scores.diagonal()
    return ((scores.logsumexp(1) - matches).mean() + (scores.logsumexp(0) - matches).mean()) / 2


def mil_nce_loss(scores: Tensor, *, blocks: Blocks | None = None, negatives: Tensor | None = None) -> Tensor:
    """MIL-NCE (Miech et al., CVPR 2020), in the form of CLIP4Clip's code, where texts and videos share one softmax.

        loss_i = -log( sum_{j in P_i} e^S_ji / (sum_j e^S_ji + sum_{j not in P_i} e^S_ij) )        mean over middles i

    P_i is the block of video i. So one of its texts must be the right one, and it need not be known which.

    Args:
        scores: (B, B), already multiplied by the logit scale.
        blocks: of the pairs; None: each pair is a block.
        negatives: (B, B) bool, which pairs may be negatives; None: all of different blocks, as in the authors' code.
    """
    of_videos = scores.T  # row i: every text against video i
    positives = torch.eye(len(scores), dtype=torch.bool, device=scores.device) if blocks is None else blocks.positives
    negatives = ~positives if negatives is None else negatives
    own = _only(of_videos, positives).logsumexp(1)
    losses = torch.cat([_only(of_videos, positives | negatives), _only(scores, negatives)], dim=1).logsumexp(1) - own
    return (losses if blocks is None else losses[blocks.middle]).mean()


def _only(scores: Tensor, kept: Tensor) -> Tensor:
    """The scores that a softmax is to see."""
    return scores.masked_fill(~kept, float("-inf"))
