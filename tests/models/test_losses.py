"""Losses: the values of their method card, directions, reductions, and other captions of the same video."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from avs.models.architectures import Direction, Reduction
from avs.models.losses import Blocks, contrastive_loss, different_videos, margin_ranking_loss, mil_nce_loss

DIRECTIONS, REDUCTIONS = get_args(Direction), get_args(Reduction)


def cosines(videos: list[list[float]], texts: list[list[float]]) -> Tensor:
    """(T, B), rows being texts."""
    v, t = torch.tensor(videos).double(), torch.tensor(texts).double()
    return F.normalize(t, dim=1) @ F.normalize(v, dim=1).T


def naive(scores: Tensor, *, direction: str, negatives: Tensor, hardest: bool, margin: float) -> float:
    """The sum over the batch, one term after another."""
    total, size = 0.0, len(scores)
    for i in range(size):
        if direction in ("t2v", "both"):
            costs = [max(0.0, (margin + scores[i, j] - scores[i, i]).item()) for j in range(size) if negatives[i, j]]
            total += max(costs, default=0.0) if hardest else sum(costs)
        if direction in ("v2t", "both"):
            costs = [max(0.0, (margin + scores[j, i] - scores[i, i]).item()) for j in range(size) if negatives[j, i]]
            total += max(costs, default=0.0) if hardest else sum(costs)
    return total


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_orthogonal_pairs_cost_nothing(direction: str) -> None:
    assert margin_ranking_loss(torch.eye(4), direction=direction).item() == 0


def test_eight_identical_vectors() -> None:
    ones = torch.ones(4, 4)
    assert margin_ranking_loss(ones).item() == pytest.approx(0.8)
    assert margin_ranking_loss(ones, direction="both").item() == pytest.approx(1.6)
    assert margin_ranking_loss(ones, hardest=False).item() == pytest.approx(2.4)


def test_three_pairs_in_both_directions() -> None:
    scores = cosines([[1, 0], [0, 1], [1, 1]], [[1, 0], [0, 1], [1, 0.2]])
    assert margin_ranking_loss(scores).item() == pytest.approx(0.348530, abs=5e-7)
    assert margin_ranking_loss(scores, direction="v2t").item() == pytest.approx(0.255637, abs=5e-7)
    assert margin_ranking_loss(scores, direction="both").item() == pytest.approx(0.604167, abs=1e-6)


@pytest.mark.parametrize("hardest", [True, False])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_margin_loss_equals_the_naive_one(direction: str, hardest: bool) -> None:
    torch.manual_seed(0)
    scores, video_of = torch.randn(9, 9).double(), torch.tensor([0, 1, 1, 2, 3, 3, 3, 4, 5])
    for margin in (0.0, 0.2, 1.0):
        for negatives in (None, different_videos(video_of)):
            pairs = ~torch.eye(9, dtype=torch.bool) if negatives is None else negatives
            wanted = naive(scores, direction=direction, negatives=pairs, hardest=hardest, margin=margin)
            options = {"margin": margin, "direction": direction, "negatives": negatives, "hardest": hardest}
            assert margin_ranking_loss(scores, **options).item() == pytest.approx(wanted)
            assert margin_ranking_loss(scores, **options, reduction="mean").item() == pytest.approx(wanted / 9)


def test_other_captions_of_a_video_are_no_negatives() -> None:
    video_of = torch.tensor([0, 0, 1])
    assert different_videos(video_of).tolist() == [[False, False, True], [False, False, True], [True, True, False]]
    scores = torch.tensor([[0.9, 0.9, 0.1], [0.9, 0.9, 0.1], [0.1, 0.1, 0.9]])  # rows 0 and 1: the same video
    assert margin_ranking_loss(scores, negatives=different_videos(video_of), direction="both").item() == 0
    assert margin_ranking_loss(scores, direction="both").item() == pytest.approx(0.8)  # as in the authors' code


def test_a_batch_of_one_video_costs_nothing() -> None:
    scores = torch.ones(3, 3, requires_grad=True)
    for hardest in (True, False):
        loss = margin_ranking_loss(
            scores, negatives=different_videos(torch.zeros(3)), direction="both", hardest=hardest
        )
        loss.backward()
        assert loss.item() == 0
    assert not scores.grad.any()
    assert margin_ranking_loss(torch.ones(1, 1), direction="both").item() == 0


def test_spaces_are_added() -> None:
    torch.manual_seed(0)
    scores, negatives = torch.randn(3, 6, 6), different_videos(torch.tensor([0, 1, 2, 2, 3, 4]))
    for direction in DIRECTIONS:
        for reduction in REDUCTIONS:
            options = {"direction": direction, "reduction": reduction, "negatives": negatives}
            wanted = sum(margin_ranking_loss(one, **options).item() for one in scores)
            assert margin_ranking_loss(scores, **options).item() == pytest.approx(wanted, rel=1e-5)


def test_the_gradient_of_the_hardest_negative() -> None:
    scores = torch.tensor([[0.5, 0.6, 0.4], [0.0, 0.9, 0.0], [0.0, 0.0, 0.9]], requires_grad=True)
    margin_ranking_loss(scores).backward()
    assert scores.grad.tolist() == [[-1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("size", "scale", "wanted"), [(4, 0.0, 1.386294), (4, 1.0, 0.743668), (128, 0.0, 4.852030), (6, 3.0, None)]
)
def test_contrastive_loss_of_a_scaled_identity(size: int, scale: float, wanted: float | None) -> None:
    found = contrastive_loss(scale * torch.eye(size).double()).item()
    assert found == pytest.approx(math.log(1 + (size - 1) * math.exp(-scale)), abs=1e-9)
    if wanted is not None:
        assert found == pytest.approx(wanted, abs=5e-7)


def test_contrastive_loss_is_the_average_of_two_cross_entropies() -> None:
    torch.manual_seed(0)
    scores, target = torch.randn(7, 7).double() * 5, torch.arange(7)
    wanted = (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2
    assert contrastive_loss(scores).item() == pytest.approx(wanted.item())
    assert contrastive_loss(scores.T).item() == pytest.approx(wanted.item())


def test_contrastive_loss_leaves_out_other_captions_of_the_video() -> None:
    torch.manual_seed(0)
    scores, video_of = torch.randn(3, 3).double(), torch.tensor([0, 0, 1])
    e = scores.exp()
    rows = [e[0, 0] + e[0, 2], e[1, 1] + e[1, 2], e[2].sum()]
    columns = [e[0, 0] + e[2, 0], e[1, 1] + e[2, 1], e[:, 2].sum()]
    wanted = sum(-math.log(e[i, i] / rows[i]) - math.log(e[i, i] / columns[i]) for i in range(3)) / 6
    assert contrastive_loss(scores, negatives=different_videos(video_of)).item() == pytest.approx(wanted)


def in_blocks(size: int, of_each: int) -> Blocks:
    places = torch.arange(size * of_each)
    return Blocks(places // of_each, places % of_each == of_each // 2)


@pytest.mark.parametrize("of_each", [1, 2, 3])
def test_mil_nce_of_equal_scores(of_each: int) -> None:  # card 2.6
    loss = mil_nce_loss(torch.zeros(4 * of_each, 4 * of_each), blocks=in_blocks(4, of_each))
    assert loss.item() == pytest.approx(1.945910, abs=5e-7) == math.log(7)


def naive_mil_nce(scores: Tensor, blocks: Blocks, negatives: Tensor) -> float:
    """Card 2.6 of every middle, one term after another. Row i of the scores is text i."""
    costs, size = [], range(len(scores))
    for i in size:
        if not blocks.middle[i]:
            continue
        inside = [j for j in size if blocks.block_of[j] == blocks.block_of[i]]
        own = sum(math.exp(scores[j, i]) for j in inside)
        outside = [j for j in size if j not in inside and negatives[i, j]]
        costs.append(-math.log(own / (own + sum(math.exp(scores[j, i]) + math.exp(scores[i, j]) for j in outside))))
    return sum(costs) / len(costs)


@pytest.mark.parametrize("of_each", [1, 2, 3])
def test_mil_nce_equals_the_naive_one(of_each: int) -> None:
    torch.manual_seed(0)
    size, blocks = 4 * of_each, in_blocks(4, of_each)
    scores, videos = torch.randn(size, size).double(), torch.arange(size).remainder(max(size - 2, 2))
    every = torch.ones(size, size, dtype=torch.bool)
    found = mil_nce_loss(scores, blocks=blocks)
    assert found.item() == pytest.approx(naive_mil_nce(scores, blocks, every), abs=1e-12)
    negatives = blocks.negatives(videos)
    found = mil_nce_loss(scores, blocks=blocks, negatives=negatives)
    assert found.item() == pytest.approx(naive_mil_nce(scores, blocks, negatives), abs=1e-12)
    if of_each == 1:
        assert torch.equal(negatives, different_videos(videos))
        assert mil_nce_loss(scores).item() == mil_nce_loss(scores, blocks=blocks).item()


def test_what_is_in_a_block_is_no_negative_of_it_in_another_block() -> None:
    blocks = Blocks(torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 1, 0, 0, 1]).bool())
    negatives = blocks.negatives(torch.tensor([7, 8, 9, 9, 5]))  # the second block begins where the first one ends
    assert negatives[1].tolist() == [False, False, False, False, True]  # not its text of video 9 in the other block
    assert negatives[4].tolist() == [True, True, False, False, False]


def test_mil_nce_of_huge_scores_and_of_one_pair_is_finite() -> None:
    scores = torch.tensor([[100.0, -100.0], [100.0, -100.0]], requires_grad=True)
    loss = mil_nce_loss(scores)
    loss.backward()
    assert math.isfinite(loss.item()) and torch.isfinite(scores.grad).all()
    assert mil_nce_loss(torch.tensor([[3.0]])).item() == 0
