"""What a student learns from teachers: scores by rows and columns, and weights of frames."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from avs.models.teaching import Lesson, coarse_loss, fine_loss

NO_FRAMES = torch.zeros(4, 1)


def lesson(scores: Tensor | None = None, relevance: Tensor | None = None) -> Lesson:
    scores = torch.zeros(4, 4) if scores is None else scores
    relevance = NO_FRAMES if relevance is None else relevance
    return Lesson(scores, relevance, torch.ones_like(relevance, dtype=torch.bool))


def coarse(scores: Tensor, *taught: Tensor, kind: str = "pear") -> float:
    return float(coarse_loss(scores, [lesson(each) for each in taught], kind))  # type: ignore[arg-type]


def some_scores(seed: int = 0) -> Tensor:
    return 5 * torch.randn(4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_n1_equal_scores_cost_nothing_and_a_softmax_sees_no_constant() -> None:
    scores = some_scores()
    assert coarse(scores, scores) == pytest.approx(0, abs=1e-12)
    assert coarse(scores, scores + 7) == pytest.approx(0, abs=1e-12)
    assert coarse(scores, 2 * scores) > 1e-3


def test_n1_scores_of_other_pairs_cost_rows_and_columns() -> None:
    permuted = 100 * torch.eye(4)[[1, 2, 3, 0]]
    assert coarse(100 * torch.eye(4), permuted) == pytest.approx(2 * (1 + 1 / 3), abs=1e-6)


def test_rows_and_columns_count_and_a_transposed_teacher_swaps_them() -> None:
    scores, taught = some_scores(), some_scores(1)
    for kind in ("pear", "ce", "l1"):
        assert coarse(scores, taught, kind=kind) == pytest.approx(coarse(scores.T, taught.T, kind=kind))
    rows = torch.corrcoef(torch.stack([scores[0].softmax(0), taught[0].softmax(0)]))[0, 1]
    one_row = coarse_loss(scores[:1], [lesson(taught[:1])], "pear")  # its columns are constant: 1 each
    assert float(one_row) == pytest.approx(float(1 - rows) + 1)


def test_constant_scores_of_a_teacher_have_a_finite_loss_and_gradient() -> None:
    scores = some_scores().requires_grad_()
    loss = coarse_loss(scores, [lesson(torch.ones(4, 4, dtype=torch.float64))], "pear")
    loss.backward()
    assert loss.item() == pytest.approx(2) and bool(torch.isfinite(scores.grad).all())


def test_cross_entropy_is_the_mean_over_all_pairs_of_both_directions() -> None:
    scores, taught = some_scores(), some_scores(1)
    wanted = 0.0
    for mine, theirs in ((scores, taught), (scores.T, taught.T)):
        for row, other in zip(mine, theirs, strict=True):
            wanted -= float((other.softmax(0) * row.log_softmax(0)).sum()) / 16
    assert coarse(scores, taught, kind="ce") == pytest.approx(wanted)


def test_l1_is_smooth() -> None:
    scores = torch.zeros(2, 2)
    assert coarse(scores, torch.tensor([[0.5, 3.0], [0.0, -2.0]]), kind="l1") == pytest.approx((0.125 + 2.5 + 1.5) / 4)


def test_several_teachers_are_averaged() -> None:
    scores, first, second = some_scores(), some_scores(1), some_scores(2)
    for kind in ("pear", "ce", "l1"):
        both = (coarse(scores, first, kind=kind) + coarse(scores, second, kind=kind)) / 2
        assert coarse(scores, first, second, kind=kind) == pytest.approx(both)
    weights, mask = torch.randn(2, 3).log_softmax(1), torch.ones(2, 3, dtype=torch.bool)
    lessons = [lesson(relevance=torch.randn(2, 3)), lesson(relevance=torch.randn(2, 3))]
    apart = [float(fine_loss(weights, mask, [each])) for each in lessons]
    assert float(fine_loss(weights, mask, lessons)) == pytest.approx(sum(apart) / 2)


def test_n2_weights_of_frames_cost_least_where_they_are_the_relevance() -> None:
    uniform, mask = torch.full((2, 4), 0.25).log(), torch.ones(2, 4, dtype=torch.bool)
    assert float(fine_loss(uniform, mask, [lesson(relevance=torch.zeros(2, 4))])) == pytest.approx(math.log(4) / 4)
    relevance = torch.tensor([[0.35, 0.2]])
    taught = relevance.softmax(1)
    assert taught.tolist() == [pytest.approx([0.537, 0.463], abs=1e-3)]
    mask, logits = torch.ones(1, 2, dtype=torch.bool), relevance.clone().requires_grad_()
    least = fine_loss(logits.log_softmax(1), mask, [lesson(relevance=relevance)])
    least.backward()
    assert least.item() == pytest.approx(float(-(taught * taught.log()).sum() / 2))
    assert logits.grad.abs().max() < 1e-7


def test_frames_that_only_fill_up_take_no_part() -> None:
    relevance = torch.tensor([[0.3, 0.1, 9.0, 9.0], [0.2, 0.4, 0.1, 0.0]])
    mask = torch.tensor([[True, True, False, False], [True] * 4])
    weights = torch.tensor([[1.0, 0.5, 77.0, 77.0], [0.1, 0.2, 0.3, 0.4]])
    weights = torch.where(mask, weights.masked_fill(~mask, float("-inf")).log_softmax(1), 77.0)
    found = fine_loss(weights, mask, [Lesson(torch.zeros(2, 2), relevance, mask)])
    wanted = sum(
        float((relevance[row, :length].softmax(0) * weights[row, :length]).sum()) for row, length in enumerate((2, 4))
    )
    assert float(found) == pytest.approx(-wanted / 6)
    legacy = Lesson(torch.zeros(2, 2), relevance, torch.ones_like(mask))  # a teacher that takes pads for frames
    assert torch.equal(fine_loss(weights, mask, [legacy]), found)
    fewer = Lesson(torch.zeros(2, 2), relevance, mask & torch.tensor([True, False, True, True]))
    assert float(fine_loss(weights, mask, [fewer])) != pytest.approx(float(found))
