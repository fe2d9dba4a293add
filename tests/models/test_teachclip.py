"""The student: one vector for a video, weights of frames in training alone, parts of the loss, options, errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from tiny_clips import DIM, MEAN, POSITIONS, STD, as_texts, as_videos, clip_pairs, make_clip, pixels, tokens
from tiny_clips import config_of as clip4clip_config
from torch import Tensor

from avs.core.errors import ConfigError
from avs.models.architectures.teachclip import TeachClipConfig
from avs.models.batch import Sequences
from avs.models.clip4clip import Clip4Clip
from avs.models.losses import contrastive_loss
from avs.models.teachclip import TeachClip
from avs.models.teaching import Lesson, coarse_loss, fine_loss
from avs.train.gradient_caching import backward_in_chunks

CLIP = make_clip()
FRAMES, WORDS = 6, 10


def config_of(**options: Any) -> TeachClipConfig:
    own = {"max_frames": FRAMES, "max_words": WORDS, "image_mean": MEAN, "image_std": STD, "freeze": -1, "layers": 2}
    return TeachClipConfig(json.loads(json.dumps(CLIP.config.to_dict())), **own | options)


def make(*, spread: float = 0.5, **options: Any) -> TeachClip:
    """A student in training mode whose frames count differently."""
    torch.manual_seed(2)
    model = TeachClip(config_of(**options))
    model.start_from(CLIP)
    torch.nn.init.normal_(model.aggregation.linear2.weight, std=spread)
    return model.train()


def lesson_of(count: int, lengths: list[int], seed: int = 0) -> Lesson:
    torch.manual_seed(seed)
    mask = torch.arange(FRAMES) < torch.tensor(lengths)[:, None]
    return Lesson(5 * torch.randn(count, count), torch.randn(count, FRAMES).masked_fill(~mask, 0.0), mask)


def parts_of(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return rows[:, :DIM], rows[:, DIM : DIM + FRAMES], rows[:, DIM + FRAMES :] > 0


def test_n3_without_a_preference_for_frames_it_is_seqtransf_of_clip4clip() -> None:
    model, clips = make(spread=0.0), pixels(4, 4, 4)
    twin = Clip4Clip(clip4clip_config(CLIP, head="seqTransf", layers=2))
    twin.start_from(CLIP)
    assert torch.allclose(model.eval().embed_videos(as_videos(clips)), twin.embed_videos(as_videos(clips)), atol=1e-6)
    one, log_weights, _ = parts_of(model.train().embed_videos(as_videos(clips)))
    assert torch.allclose(log_weights[:, :4].exp(), torch.full((3, 4), 0.25))
    assert torch.equal(one, model.eval().embed_videos(as_videos(clips)))


def test_a_row_in_training_holds_the_vector_and_the_weights_of_frames() -> None:
    model, clips = make(), pixels(4, 1, 3)
    rows = model.embed_videos(as_videos(clips))
    whole, log_weights, mask = parts_of(rows)
    assert rows.shape == (3, DIM + 2 * FRAMES) and mask.sum(dim=1).tolist() == [4, 1, 3]
    frames, real = model.frames_of(as_videos(clips))
    outputs = model.head.outputs(frames, real)
    for row, length in enumerate((4, 1, 3)):
        hidden = torch.relu(model.aggregation.linear1(outputs[row, :length]))
        logits = model.aggregation.linear2(hidden)[:, 0]
        assert torch.allclose(log_weights[row, :length], logits.log_softmax(0), atol=1e-6)
        assert not log_weights[row, length:].any()
        unit = torch.nn.functional.normalize(outputs[row, :length], dim=1)
        wanted = ((logits / 0.1).softmax(0)[:, None] * unit).sum(0)
        assert torch.allclose(whole[row], wanted / wanted.norm(), atol=1e-5)
    assert (log_weights[0, :4].exp() - 0.25).abs().max() > 0.01  # the frames count differently


def test_padding_changes_nothing() -> None:
    model = make()
    rows = model.embed_videos(as_videos(pixels(4, 1, 3)))
    for row, length in enumerate((4, 1, 3)):
        alone = Sequences(pixels(4, 1, 3).values[row : row + 1, :length], torch.tensor([length]))
        assert torch.allclose(model.embed_videos(as_videos(alone))[0], rows[row], atol=1e-5)


def test_a_video_without_frames_has_the_vector_zero() -> None:
    clips = pixels(4, 1)
    rows = make().eval().embed_videos(as_videos(Sequences(clips.values, torch.tensor([4, 0]))))
    assert not rows[1].any() and rows[0].norm().item() == pytest.approx(1)


def test_a_search_keeps_one_vector_and_scores_cosines() -> None:
    model = make()
    texts, rows = model.embed_texts(as_texts(tokens(5, 3, 7))), model.embed_videos(as_videos(pixels(4, 1, 3)))
    kept = model.eval().embed_videos(as_videos(pixels(4, 1, 3)))
    assert kept.shape == (3, DIM) and torch.allclose(kept.norm(dim=1), torch.ones(3))
    assert torch.equal(model.score(texts, kept), model.score(texts, rows)) and not model.pairwise
    assert torch.allclose(model.score(texts, kept), texts @ kept.T)


@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.2, 1.0, 2.0)])
def test_the_loss_has_three_parts(weights: tuple[float, float, float]) -> None:
    own, coarse, fine = weights
    model = make(own_weight=own, coarse_weight=coarse, fine_weight=fine, coarse="ce")
    texts, rows = model.embed_texts(as_texts(tokens(5, 3, 7))), model.embed_videos(as_videos(pixels(4, 1, 3)))
    lessons = [lesson_of(3, [4, 1, 3]), lesson_of(3, [4, 1, 3], seed=1)]
    logits = model.backbone.logit_scale * model.score(texts, rows)
    _, log_weights, mask = parts_of(rows)
    wanted = own * contrastive_loss(logits) + coarse * coarse_loss(logits, lessons, "ce")
    wanted = wanted + fine * fine_loss(log_weights, mask, lessons)
    video_of = torch.arange(3)
    assert torch.allclose(model.loss(texts, rows, video_of=video_of, lessons=lessons), wanted)
    assert torch.allclose(model.loss(texts, rows, video_of=video_of), own * contrastive_loss(logits))


def test_other_captions_of_a_video_are_no_negatives_unless_legacy() -> None:
    video_of = torch.tensor([5, 3, 5])
    losses = {}
    for legacy in (False, True):
        model = make(legacy=legacy, own_weight=1.0, max_frames=4)  # no video has pads
        texts, rows = model.embed_texts(as_texts(tokens(5, 3, 7))), model.embed_videos(as_videos(pixels(4, 4, 4)))
        rows = rows[[0, 1, 0]]
        logits = model.backbone.logit_scale * model.score(texts, rows)
        negatives = None if legacy else video_of[:, None] != video_of
        losses[legacy] = model.loss(texts, rows, video_of=video_of)
        assert torch.allclose(losses[legacy], contrastive_loss(logits, negatives=negatives))
    assert losses[True] > losses[False]


def test_with_legacy_blank_pictures_fill_up_and_take_part() -> None:
    """Every place is weighed; a transformer over frames still attends to the real ones alone."""
    model, clips = make(legacy=True), pixels(4, 1, 3)
    rows = model.embed_videos(as_videos(clips))
    whole, log_weights, mask = parts_of(rows)
    blank = CLIP.get_image_features(pixel_values=torch.zeros(1, *clips.values.shape[2:]))
    blank = getattr(blank, "pooler_output", blank)
    frames, real = model.frames_of(as_videos(clips))
    for row, length in enumerate((4, 1, 3)):
        filled = torch.cat([frames[row, :length], blank.expand(FRAMES - length, -1)])
        outputs = model.head.outputs(filled[None], torch.arange(FRAMES)[None] < length)[0]
        logits = model.aggregation.linear2(torch.relu(model.aggregation.linear1(outputs)))[:, 0]
        unit = torch.nn.functional.normalize(outputs, dim=1)
        wanted = ((logits / 0.1).softmax(0)[:, None] * unit).sum(0)
        assert torch.allclose(whole[row], wanted / wanted.norm(), atol=1e-5)
        assert torch.allclose(log_weights[row], logits.log_softmax(0), atol=1e-5)
    assert bool(mask.all()) and not bool(real.all())
    assert torch.allclose(model.eval().embed_videos(as_videos(clips)), whole, atol=1e-6)
    assert (make().eval().embed_videos(as_videos(clips)) - whole).abs().max() > 1e-3
    plain = {legacy: make(legacy=legacy, max_frames=4).eval() for legacy in (False, True)}
    full = [plain[legacy].embed_videos(as_videos(pixels(4, 4))) for legacy in (False, True)]
    assert torch.allclose(*full, atol=1e-6)


def test_with_legacy_what_a_teacher_says_of_pads_is_taught() -> None:
    model = make(legacy=True, own_weight=0.0, coarse_weight=0.0, fine_weight=1.0)
    texts, rows = model.embed_texts(as_texts(tokens(5, 3, 7))), model.embed_videos(as_videos(pixels(4, 1, 3)))
    lesson = lesson_of(3, [FRAMES] * 3)
    wanted = -(lesson.relevance.softmax(dim=1) * parts_of(rows)[1]).mean()
    assert torch.allclose(model.loss(texts, rows, video_of=torch.arange(3), lessons=[lesson]), wanted)


@pytest.mark.parametrize("legacy", [False, True])
def test_pixels_and_the_vectors_of_the_frozen_tower_embed_alike(legacy: bool) -> None:
    model, clips = make(legacy=legacy), pixels(4, 1, 3)
    stored = Sequences(model.backbone.frames(clips.values, clips.mask).detach(), clips.lengths)
    assert torch.allclose(model.embed_videos(as_videos(stored)), model.embed_videos(as_videos(clips)), atol=1e-6)


def test_the_layers_that_weigh_frames_learn_at_a_rate_of_their_own() -> None:
    model = make()
    factors = {id(one): group.factor for group in model.rate_groups() for one in group.parameters}
    assert {factors[id(one)] for one in model.aggregation.parameters()} == {10.0}
    assert {factors[id(one)] for one in model.backbone.parameters()} == {1e-3}
    assert not any(id(one) in factors for one in model.head.parameters())


def test_fresh_layers_that_weigh_frames_are_small_and_have_no_bias() -> None:
    fresh = TeachClip(config_of()).aggregation
    for layer in (fresh.linear1, fresh.linear2):
        assert 0.005 < layer.weight.std().item() < 0.04 and not layer.bias.any()


def test_the_gradient_of_chunks_is_that_of_the_batch() -> None:
    pairs, lessons = clip_pairs(6), [lesson_of(6, [2 + n % 3 for n in range(6)])]
    batch = pairs.batch(torch.arange(6).numpy())
    gradients = []
    for chunk in (6, 4):
        model = make().double()

        def embed(part: Any, model: TeachClip = model) -> tuple[Tensor, Tensor]:
            return model.embed_texts(part.texts), model.embed_videos(part.videos)

        def loss(texts: Tensor, videos: Tensor, model: TeachClip = model) -> Tensor:
            return model.loss(texts, videos, video_of=batch.video_of, lessons=lessons)

        backward_in_chunks(batch, embed, loss, chunk=chunk, device="cpu")
        gradients.append({name: one.grad for name, one in model.named_parameters()})
    assert gradients[0]["aggregation.linear1.weight"].abs().max() > 0
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-6, atol=1e-9, msg=name)


def test_it_trains_in_bfloat16() -> None:
    model = make()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        texts, rows = model.embed_texts(as_texts(tokens(5, 3, 7))), model.embed_videos(as_videos(pixels(4, 1, 3)))
    loss = model.loss(texts.float(), rows.float(), video_of=torch.arange(3), lessons=[lesson_of(3, [4, 1, 3])])
    loss.backward()
    assert bool(torch.isfinite(loss)) and bool(torch.isfinite(model.aggregation.linear1.weight.grad).all())


def test_options_that_cannot_be_used_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        config_of(own_weight=0, coarse_weight=0, fine_weight=0, layers=0, max_frames=POSITIONS + 1, afa_ratio=-1)
    for said in ("nothing is learnt", "layers: got 0", f"max_frames: got {POSITIONS + 1}", "afa_ratio: got -1"):
        assert said in str(raised.value)
    with pytest.raises(ConfigError, match="fine_weight: got -1"):
        config_of(fine_weight=-1)
