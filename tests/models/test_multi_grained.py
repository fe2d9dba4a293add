"""The similarity of X-CLIP against its formula in loops, its padding, its blocks and what it costs in memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from avs.core.errors import DataError
from avs.models import multi_grained
from avs.models.multi_grained import MultiGrainedSimilarity

DIM, WORDS, FRAMES = 5, 4, 3
TEXT_LENGTHS, VIDEO_LENGTHS = (4, 2, 1), (3, 1)


def make(*, words: int = WORDS, frames: int = FRAMES, seed: int | None = 0, temperature: float = 0.1) -> (
    MultiGrainedSimilarity
):  # fmt: skip
    """Matrices of random numbers; seed None: the identity."""
    made = MultiGrainedSimilarity(DIM, words=words, frames=frames, temperature=temperature).double()
    if seed is not None:
        torch.manual_seed(seed)
        for matrix in made.parameters():
            torch.nn.init.normal_(matrix)
    return made


def units(*shape: int, seed: int) -> Tensor:
    torch.manual_seed(seed)
    return normalize(torch.randn(*shape, DIM, dtype=torch.float64), dim=-1)


def rows(model: MultiGrainedSimilarity) -> tuple[Tensor, Tensor]:
    """Rows of three texts and two videos of unequal lengths, with noise in the pads."""
    words, frames = max(TEXT_LENGTHS), max(VIDEO_LENGTHS)
    texts = model.text_rows(units(3, seed=1), units(3, words, seed=2), mask_of(TEXT_LENGTHS))
    return texts, model.video_rows(units(2, seed=3), units(2, frames, seed=4), mask_of(VIDEO_LENGTHS))


def mask_of(lengths: tuple[int, ...]) -> Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def attend(values: Tensor, matrix: Tensor, temperature: float) -> Tensor:
    """The formula for values that are all real; of the matrix only these count."""
    real = len(values)
    weights = (values / temperature).softmax(0) @ matrix[:real, :real]
    return (values * weights).sum()


def by_loops(model: MultiGrainedSimilarity) -> Tensor:
    """(4, T, B) grains as the card has them, pair by pair and word by word."""
    words, frames, tau = units(3, max(TEXT_LENGTHS), seed=2), units(2, max(VIDEO_LENGTHS), seed=4), model.temperature
    made = torch.zeros(4, 3, 2, dtype=torch.float64)
    for i, t in enumerate(units(3, seed=1)):
        for j, v in enumerate(units(2, seed=3)):
            w, x = words[i, : TEXT_LENGTHS[i]], frames[j, : VIDEO_LENGTHS[j]]
            fine = w @ model.word_to_frame @ x.T
            r = torch.stack([attend(column, model.words_for_frame, tau) for column in fine.T])
            c = torch.stack([attend(row, model.frames_for_word, tau) for row in fine])
            made[0, i, j] = t @ model.sentence_to_video @ v
            made[1, i, j] = attend(w @ v, model.words_for_video, tau)
            made[2, i, j] = attend(x @ t, model.frames_for_sentence, tau)
            made[3, i, j] = attend(r, model.frames_of_video, tau) / 2 + attend(c, model.words_of_sentence, tau) / 2
    return made


def test_the_formula() -> None:
    model = make()
    texts, videos = rows(model)
    grains, wanted = torch.stack(model.grains(texts, videos)), by_loops(model)
    assert wanted.flatten(1).std(dim=1).min() > 0.1  # every grain differs, so it shows something
    torch.testing.assert_close(grains, wanted, rtol=0, atol=1e-12)
    torch.testing.assert_close(model(texts, videos), wanted.mean(0), rtol=0, atol=1e-12)


def test_one_word_and_one_frame_are_dot_products() -> None:  # N4
    model = make(words=1, frames=1, seed=None, temperature=0.01)
    t, w, v, x = (units(1, seed=seed) for seed in range(4))
    one = torch.ones(1, 1, dtype=torch.bool)
    grains = model.grains(model.text_rows(t, w[:, None], one), model.video_rows(v, x[:, None], one))
    wanted = [t @ v.T, w @ v.T, t @ x.T, w @ x.T]
    torch.testing.assert_close(torch.stack(grains), torch.stack(wanted), rtol=0, atol=1e-15)


def test_of_a_frame_and_its_opposite_the_better_one_counts() -> None:  # N4
    model = make(words=1, frames=2, seed=None, temperature=0.01)
    t, w, v, x = (units(1, seed=seed) for seed in range(4))
    both = torch.ones(1, 2, dtype=torch.bool)
    videos = model.video_rows(v, torch.stack([x, -x], dim=1), both)
    found = model.grains(model.text_rows(t, w[:, None], both[:, :1]), videos)[2]
    assert abs(t @ x.T) > 0.1
    torch.testing.assert_close(found, (t @ x.T).abs(), rtol=0, atol=1e-6)


def test_what_fills_up_changes_nothing() -> None:
    """Rows of more words and frames score the same where the matrices are larger by zeros."""
    small, large = make(), make(words=WORDS + 3, frames=FRAMES + 2)
    with torch.no_grad():
        for one, other in zip(small.parameters(), large.parameters(), strict=True):
            other.zero_()[: len(one), : len(one)] = one
            other[len(one) :] = other[:, len(one) :] = 7.0
            other[: len(one), : len(one)] = one
    torch.testing.assert_close(large(*rows(large)), small(*rows(small)), rtol=0, atol=1e-12)


def test_a_video_without_frames_has_no_cosine_and_no_nan() -> None:
    model = make()
    texts, videos = rows(model)
    videos[1] = 0.0
    videos.requires_grad_()
    scores = model(texts, videos)
    assert torch.equal(scores[:, 1], torch.zeros(3))
    scores.sum().backward()
    assert videos.grad is not None and videos.grad.isfinite().all()


def test_gradients_are_those_of_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """With respect to rows and every matrix: the backward pass of attention is our own."""

    def plain(self: MultiGrainedSimilarity, values: Tensor, mixing: Tensor, mask: Tensor, *, dim: int) -> Tensor:
        weights = (values / self.temperature).masked_fill(~mask, -1e9).softmax(dim).movedim(dim, -1) @ mixing
        return (values.movedim(dim, -1) * weights).sum(-1)

    model = make()
    texts, videos = (side.requires_grad_() for side in rows(model))
    found = []
    for _ in range(2):
        squares = (torch.stack(model.grains(texts, videos)) ** 2).sum()
        found.append(torch.autograd.grad(squares, [texts, videos, *model.parameters()]))
        monkeypatch.setattr(MultiGrainedSimilarity, "_attend", plain)
    for one, other in zip(*found, strict=True):
        assert other.any()
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kept", [2**26, 1])
@pytest.mark.parametrize("at_once", [1, 2 * WORDS * FRAMES, 4 * WORDS * FRAMES])
def test_blocks_have_the_scores_and_gradients_of_the_whole(
    at_once: int, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make()
    found = []
    for limits in ((2**20, 2**26), (at_once, kept)):
        monkeypatch.setattr(multi_grained, "SIMILARITIES_AT_ONCE", limits[0])
        monkeypatch.setattr(multi_grained, "SIMILARITIES_KEPT", limits[1])
        texts, videos = (side.requires_grad_() for side in rows(model))
        model.zero_grad()
        scores = model(texts, videos)
        (scores**2).sum().backward()
        found.append([scores.detach(), texts.grad, videos.grad, *(each.grad.clone() for each in model.parameters())])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("pairs", "kept"), [(6, True), (5, False)])
def test_too_many_similarities_are_not_kept_for_the_backward_pass(
    pairs: int, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multi_grained, "SIMILARITIES_KEPT", pairs * WORDS * FRAMES)
    model, shapes = make(), []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: shapes.append(tensor.shape) or tensor, lambda t: t):
        model(*rows(model))
    assert any(len(shape) == 4 for shape in shapes) == kept


def test_rows_of_other_lengths_are_refused() -> None:
    texts, videos = rows(make())
    with pytest.raises(DataError, match="another number of words") as error:
        make(words=WORDS + 1)(texts, videos)
    assert "rows of 29 values" in str(error.value) and "35: 5 words of 5 dimensions" in str(error.value)
    with pytest.raises(DataError, match="another number of frames"):
        make(frames=FRAMES + 1)(texts, videos)


def test_the_matrices_start_as_the_identity() -> None:
    sizes = sorted(len(matrix) for matrix in make(seed=None).parameters())
    assert sizes == sorted([DIM] * 2 + [WORDS] * 3 + [FRAMES] * 3)
    assert all(torch.equal(matrix, torch.eye(len(matrix))) for matrix in make(seed=None).parameters())
