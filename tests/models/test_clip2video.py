"""CLIP2Video: the numerical tests of its method card, masks, rows, the loss, what weights start from, options."""

from __future__ import annotations

import json
import math
from functools import partial
from itertools import product
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from tiny_clips import (
    DIM,
    MEAN,
    POSITIONS,
    STD,
    as_texts,
    as_videos,
    config_of,
    make_clip,
    pixels,
    tokens,
    vectors,
)  # fmt: skip
from torch import Tensor, nn
from torch.nn import functional as F

from avs.core.errors import ConfigError, DataError
from avs.models import clip2video, temporal_difference
from avs.models.architectures import architectures, config_to_json, make_config
from avs.models.architectures.clip2video import Clip2VideoConfig
from avs.models.batch import Sequences
from avs.models.clip2video import Clip2Video
from avs.models.clip4clip import Clip4Clip
from avs.models.frame_heads.head import unit_or_zero
from avs.models.losses import contrastive_loss
from avs.models.scorer import PackedModel
from avs.models.temporal_alignment import SharedCentres
from avs.models.temporal_difference import DifferenceBlock, head_masks, interleave

CLIP = make_clip()
KINDS = [
    (temporal, alignment)
    for temporal, alignment in product(("sigmoid_selfA", "sigmoid_mlp", "none"), ("TAB_TDB", "TAB", "none"))
    if (temporal, alignment) != ("none", "TAB_TDB")
]
UNUSED = "k_proj.bias"  # a softmax ignores the bias of its keys, so the gradient is only rounding


def config(clip: Any = CLIP, **options: Any) -> Clip2VideoConfig:
    own: dict[str, Any] = {"max_frames": 6, "max_words": 10, "image_mean": MEAN, "image_std": STD, "freeze": -1}
    return Clip2VideoConfig(
        json.loads(json.dumps(clip.config.to_dict())), **own | {"layers": 2, "centres": 3} | options
    )


def make(*, clip: Any = CLIP, seed: int = 2, **options: Any) -> Clip2Video:
    torch.manual_seed(seed)
    model = Clip2Video(config(clip, **options))
    model.start_from(clip)
    return model.eval()


def trained(**options: Any) -> Clip2Video:
    """With random numbers added to all weights, so that nothing is 0 or 1 by its start."""
    model = make(**options)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "logit_scale" not in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def embed(model: Clip2Video, clips: Sequences | None = None) -> tuple[Tensor, Tensor]:
    clips = pixels(4, 1, 3) if clips is None else clips
    return model.embed_texts(as_texts(tokens(5, 3, 7))), model.embed_videos(as_videos(clips))


def halves(rows: Tensor, weight: float = 0.5) -> tuple[Tensor, Tensor]:
    first, second = rows.chunk(2, dim=1)
    return first / math.sqrt(weight), second / math.sqrt(1 - weight)


# The difference block


def test_differences_lie_between_frames() -> None:  # N1
    for count, wanted in ((4, [0, 4, 1, 5, 2, 6, 3]), (2, [0, 2, 1]), (1, [0])):
        frames, between = torch.arange(count)[None, :, None], torch.arange(count, 2 * count - 1)[None, :, None]
        assert interleave(frames, between).flatten().tolist() == wanted


def test_a_static_video_has_differences_of_zero() -> None:  # N2
    block, (frames, places) = DifferenceBlock(config()), torch.randn(2, 1, 4, DIM)
    frames, mask = frames[:, :1].expand(1, 4, DIM), torch.ones(1, 4, dtype=torch.bool)
    assert block.attention is not None
    for one in block.attention.blocks:
        one.start_at_zero()
    level = torch.randn(4, 1).expand(4, DIM)  # all channels equal, so the layer norm gives 0
    assert torch.allclose(block.differences(frames, mask, level), torch.zeros(1, 3, DIM), atol=1e-6)
    moved = block.differences(frames, mask, places[0])
    same = block.differences(torch.zeros_like(frames), mask, places[0])
    assert torch.equal(moved, same) and moved.abs().max() > 0.1  # it depends on the positions alone
    assert DifferenceBlock(config(temporal="sigmoid_mlp")).differences(frames, mask, places[0]).abs().max() == 0


@pytest.mark.parametrize("temporal", ["sigmoid_selfA", "sigmoid_mlp"])
def test_tokens_are_the_formula(temporal: Any) -> None:
    model, clips = trained(temporal=temporal).double(), vectors(4)
    block, x, mask = model.differences, clips.values[0], clips.mask
    assert block is not None
    P, E = model.transformer.positions.weight[:4], block.types.weight
    steps = x[1:] - x[:-1]
    if block.attention is not None:
        (made,) = block.attention.blocks[0]((steps + P[1:])[None], mask[:, 1:])
    else:
        assert block.projection is not None
        made = steps @ block.projection.weight.T
    centred = (made - made.mean(1, keepdim=True)) / (made.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    between = 2 / (1 + torch.exp(-(centred * block.norm.weight + block.norm.bias))) - 1
    rows = [row for i in range(3) for row in (x[i] + P[i] + E[1], between[i] + P[i] + E[0])] + [x[3] + P[3] + E[1]]
    found, real = block(x[None], mask, P)
    assert torch.allclose(found[0], torch.stack(rows), atol=1e-12) and real.all()


def test_a_difference_is_masked_where_either_frame_is() -> None:  # trap T2
    frames, mask = torch.randn(2, 4, DIM), torch.tensor([[True] * 4, [True, True, False, False]])
    places = torch.randn(4, DIM)
    _, real = DifferenceBlock(config())(frames, mask, places)
    assert real.int().tolist() == [[1] * 7, [1, 1, 1, 0, 0, 0, 0]]
    _, real = DifferenceBlock(config(legacy=True))(frames, mask, places)
    assert real.int().tolist() == [[1] * 7, [1, 1, 1, 1, 0, 0, 0]]


def test_of_one_frame_no_difference_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    block, x = DifferenceBlock(config()), torch.randn(2, 1, DIM)
    monkeypatch.setattr(block, "differences", lambda *_: pytest.fail("it has none"))
    tokens, mask = block(x, torch.tensor([[True], [False]]), x[0])
    assert torch.allclose(tokens, x + x[0] + block.types.weight[1], atol=1e-6) and mask.tolist() == [[True], [False]]


def test_head_masks_are_those_of_other_videos() -> None:  # trap T1, as the authors' repeat(heads, 1, 1) is read
    mask = torch.tensor([[True, True, True], [True, False, False], [True, True, False]])
    heads = 4
    additive = mask[:, None].expand(-1, 3, -1).repeat(heads, 1, 1).view(3, heads, 3, 3)
    assert torch.equal(head_masks(mask, heads), additive[:, :, 0])
    assert torch.equal(head_masks(mask[:1], heads), mask[:1, None].expand(1, heads, 3))


# The alignment


def test_of_one_centre_the_alignment_is_a_sum() -> None:  # N3
    centres, clips = SharedCentres(1, DIM).double(), vectors(4, 2)
    z, (c,) = clips.values, centres.centres
    wanted = torch.stack([(z[0] - c).sum(0), (z[1, :2] - c).sum(0)])
    assert torch.allclose(centres(z, clips.mask), F.normalize(wanted), atol=1e-12)


def test_of_equal_tokens_and_centres_at_zero_it_is_the_token() -> None:  # N3
    for count in (1, 3, 7):
        centres, z = SharedCentres(count, DIM).double(), torch.randn(1, 1, DIM).double().expand(1, 5, DIM)
        nn.init.zeros_(centres.centres)
        assert torch.allclose(centres(z, torch.ones(1, 5, dtype=torch.bool)), F.normalize(z[:, 0]), atol=1e-12)


def test_the_alignment_is_the_formula() -> None:
    centres, clips = SharedCentres(3, DIM).double(), vectors(4, 2)
    for row, length in enumerate((4, 2)):
        parts = []
        z = clips.values[row, :length]
        shares = torch.softmax(z @ centres.weights.T, dim=1)
        for k in range(3):
            parts.append(F.normalize(sum(shares[n, k] * (z[n] - centres.centres[k]) for n in range(length)), dim=0))
        wanted = F.normalize(sum(parts) / 3, dim=0)
        assert torch.allclose(centres(clips.values, clips.mask)[row], wanted, atol=1e-12)
    assert not centres(clips.values, torch.zeros_like(clips.mask)).any()


def test_texts_are_aligned_by_all_words_but_the_first() -> None:
    model, words = trained(), tokens(5, 3)
    found = halves(model.embed_texts(as_texts(words)))
    states, ends = model.backbone.words(words.values, words.mask)
    assert model.centres is not None
    for row, length in enumerate((5, 3)):
        wanted = model.centres(states[row : row + 1, 1:length], torch.ones(1, length - 1, dtype=torch.bool))
        assert torch.allclose(found[1][row], wanted[0], atol=1e-6)
    assert torch.allclose(found[0], F.normalize(ends), atol=1e-6)


def keep_tokens(seen: list[Tensor], module: nn.Module, given: tuple[Tensor, ...]) -> None:
    seen.append(given[0])


def test_every_second_frame_is_aligned_too() -> None:  # trap T5: 18 tokens of 12 frames
    for alignment in ("TAB_TDB", "TAB"):
        model = trained(alignment=alignment, clip=make_clip(text={"max_position_embeddings": 14}), max_frames=12)
        x = torch.randn(1, 12, DIM)
        real = torch.ones(1, 6, dtype=torch.bool)
        seen: list[Tensor] = []
        assert model.centres is not None and model.local is not None and model.differences is not None
        model.centres.register_forward_pre_hook(partial(keep_tokens, seen))
        model.embed_videos(as_videos(Sequences(x, torch.tensor([12]))))
        places = model.transformer.positions.weight[:6]
        some = x[:, ::2]
        if alignment == "TAB":
            local = model.local(some + places, real)
        else:
            local = model.local(model.differences(some, real, places)[0], torch.ones(1, 11, dtype=torch.bool))[:, ::2]
        assert seen[0].shape == (1, 18, DIM)
        assert torch.allclose(seen[0], torch.cat([x, local + some], dim=1), atol=1e-6)


# Rows and scores


@pytest.mark.parametrize("weight", [0.5, 0.8])
def test_one_product_of_rows_is_the_weighted_sum_of_both_cosines(weight: float) -> None:
    model = trained(global_weight=weight)
    texts, videos = embed(model)
    assert texts.shape == videos.shape == (3, 2 * DIM) and model.config.row_dim == 2 * DIM
    assert torch.allclose(torch.cat([texts, videos]).norm(dim=1), torch.ones(6), atol=1e-6)
    cosines = [
        F.cosine_similarity(t[:, None], v[None], dim=2)
        for t, v in zip(*(r.chunk(2, 1) for r in (texts, videos)), strict=True)
    ]
    wanted = weight * cosines[0] + (1 - weight) * cosines[1]
    assert (texts @ videos.T - wanted).abs().max() < 1e-6
    assert torch.equal(model.score(texts, videos), texts @ videos.T)


def test_of_weight_1_the_global_head_ranks() -> None:  # N4
    both, alone = trained(global_weight=1.0), make(alignment="none")
    alone.load_state_dict({name: value for name, value in both.state_dict().items() if name in alone.state_dict()})
    texts, videos = embed(both)
    plain = embed(alone)
    assert alone.config.row_dim == plain[0].shape[1] == DIM
    assert torch.allclose(both.score(texts, videos), alone.score(*plain), atol=1e-6)
    loss = both.loss(texts, videos, video_of=torch.arange(3))
    assert torch.allclose(loss, alone.loss(*plain, video_of=torch.arange(3)), atol=1e-6)
    aligned = halves(torch.cat(embed(trained())))[1]
    assert (aligned @ aligned.T).abs().max() <= 1 + 1e-6  # so exp(logit scale) bounds the aligned similarity


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_loss_is_the_weighted_sum_of_two(weight: float) -> None:
    model = trained(global_weight=weight)
    texts, videos = embed(model)
    found = model.loss(texts, videos, video_of=torch.tensor([5, 3, 5]))
    negatives = torch.tensor([[False, True, False], [True, False, True], [False, True, False]])
    wanted = torch.zeros(())
    for part, share in zip((0, 1), (weight, 1 - weight), strict=True):
        if share:
            t, v = (F.normalize(rows.chunk(2, dim=1)[part]) for rows in (texts, videos))
            wanted = wanted + share * contrastive_loss(model.backbone.logit_scale * t @ v.T, negatives=negatives)
    assert torch.allclose(found, wanted, atol=1e-5)
    legacy = trained(global_weight=weight, legacy=True)
    every = [legacy.loss(texts, videos, video_of=torch.tensor(ids)) for ids in ([5, 3, 5], [0, 1, 2])]
    assert torch.equal(*every) and every[0] > found


def test_without_differences_it_is_seqtransf() -> None:
    model = make(temporal="none", alignment="none")
    torch.manual_seed(2)
    other = Clip4Clip(config_of(CLIP, head="seqTransf", layers=2))
    other.start_from(CLIP)
    for one, wanted in zip(embed(model), embed(other.eval()), strict=True):  # type: ignore[arg-type]
        assert torch.equal(one, wanted)


@pytest.mark.parametrize(("temporal", "alignment"), KINDS)
def test_padding_and_the_rest_of_the_batch_change_nothing(temporal: Any, alignment: Any) -> None:
    model, clips = trained(temporal=temporal, alignment=alignment).double(), vectors(4, 1, 3, 2)
    found = model.embed_videos(as_videos(clips))
    garbage = torch.cat([clips.values, 100 * torch.randn(4, 2, DIM).double()], dim=1)
    assert torch.allclose(model.embed_videos(as_videos(Sequences(garbage, clips.lengths))), found, atol=1e-12)
    for row, length in enumerate((4, 1, 3, 2)):
        alone = Sequences(clips.values[row : row + 1, :length], torch.tensor([length]))
        assert torch.allclose(model.embed_videos(as_videos(alone))[0], found[row], atol=1e-12)


def test_as_the_authors_a_video_depends_on_its_batch() -> None:
    model, clips = trained(legacy=True).double(), vectors(4, 3, 6)
    together = model.embed_videos(as_videos(clips))
    alone = [
        model.embed_videos(as_videos(Sequences(v[None], n[None])))[0]
        for v, n in zip(clips.values, clips.lengths, strict=True)
    ]
    assert all((row - own).abs().max() > 1e-3 for row, own in zip(together, alone, strict=True))
    right = trained().double()
    right.load_state_dict(model.state_dict())
    own = right.embed_videos(as_videos(clips))
    assert torch.allclose(alone[2], own[2], atol=1e-12)  # of six frames, alone, nothing is masked
    assert (alone[0] - own[0]).abs().max() > 1e-4  # the difference to the first pad is seen


def test_as_the_authors_all_transformers_have_masks_of_other_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    for module in (clip2video, temporal_difference):

        def noted(mask: Tensor, heads: int, *, name: str = module.__name__) -> Tensor:
            seen.append(f"{name.rpartition('.')[2]} {mask.shape[1]}")
            return head_masks(mask, heads)

        monkeypatch.setattr(module, "head_masks", noted)
    for legacy in (False, True):
        make(legacy=legacy).embed_videos(as_videos(vectors(4, 1, 3)))  # 6 frames, then 3 of them, with differences
    assert seen == ["temporal_difference 5", "clip2video 11", "temporal_difference 2", "clip2video 5"]


def test_the_pads_of_the_authors_are_blank_pictures() -> None:
    model = make(legacy=True, image_mean=(0.0, 0.0, 0.0), image_std=(1.0, 1.0, 1.0))
    black = torch.zeros(1, 1, 3, 8, 8, dtype=torch.uint8)
    wanted = model.backbone.frames(black, torch.ones(1, 1, dtype=torch.bool))[0, 0]
    assert torch.allclose(model.backbone.blank_frame(), wanted, atol=1e-6)
    frames, mask = model.filled(torch.ones(1, 2, DIM), torch.tensor([[True, False]]))
    assert torch.equal(frames[0, 1:], wanted.expand(5, DIM)) and mask.int().tolist() == [[1, 0, 0, 0, 0, 0]]


# Training


@pytest.mark.parametrize(("temporal", "alignment"), KINDS)
def test_gradients_reach_all_that_is_trained(temporal: Any, alignment: Any) -> None:
    model = make(temporal=temporal, alignment=alignment, freeze=1).train()
    texts, videos = embed(model)
    model.loss(texts, videos, video_of=torch.arange(3)).backward()
    (group,) = model.rate_groups()
    assert {id(each) for each in group.parameters} == {id(each) for each in model.backbone.parameters()}
    for name, parameter in model.named_parameters():
        if not name.endswith(UNUSED):
            has = parameter.grad is not None and bool(parameter.grad.any())
            assert has == parameter.requires_grad, name


@pytest.mark.parametrize(("temporal", "alignment"), KINDS)
def test_videos_of_one_frame_train(temporal: Any, alignment: Any) -> None:
    model = make(temporal=temporal, alignment=alignment).train()
    for clips in (pixels(1, 1, 1), pixels(3, 1, 2)):
        model.zero_grad()
        loss = model.loss(*embed(model, clips), video_of=torch.arange(3))
        loss.backward()
        assert loss.isfinite()
        assert all(each.grad is None or each.grad.isfinite().all() for each in model.parameters())


@pytest.mark.parametrize("legacy", [False, True])
def test_training_lowers_the_loss(legacy: bool) -> None:
    model = make(legacy=legacy).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        loss = model.loss(*embed(model), video_of=torch.arange(3))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.after_step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_bfloat16() -> None:
    model = make().train()
    exact = model.loss(*embed(model), video_of=torch.arange(3))
    with torch.autocast("cpu", torch.bfloat16):
        texts, videos = embed(model)
        scores, loss = model.score(texts, videos), model.loss(texts, videos, video_of=torch.arange(3))
    assert texts.dtype == videos.dtype == scores.dtype == loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=0.05) and torch.equal(scores, model.score(texts, videos))
    loss.backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in model.parameters())


@pytest.mark.parametrize("alignment", ["TAB_TDB", "none"])
def test_a_search_packs_the_video_side_alone(alignment: Any) -> None:
    model, clips = make(alignment=alignment), vectors(4, 1, 3)
    texts, videos = model.embed_texts(as_texts(tokens(5, 3, 7))), model.embed_videos(as_videos(clips))
    packed = PackedModel(model, dtype=torch.bfloat16)
    assert packed.model is model
    assert torch.allclose(packed.similarities(texts, as_videos(clips)), model.score(texts, videos), atol=0.02)
    assert torch.equal(model.embed_texts(as_texts(tokens(5, 3, 7))), texts)  # which read the centres too


def test_a_video_without_frames_is_zero() -> None:
    model = make()
    rows = model.embed_videos(as_videos(Sequences(torch.zeros(2, 3, DIM), torch.tensor([0, 3]))))
    assert not rows[0].any() and rows.isfinite().all()


# What weights start from


@pytest.mark.parametrize("temporal", ["sigmoid_selfA", "sigmoid_mlp"])
def test_the_blocks_start_as_the_authors_start_them(temporal: Any) -> None:
    model = make(temporal=temporal)
    tower, places = CLIP.text_model, CLIP.text_model.embeddings.position_embedding.weight
    assert model.differences is not None and model.local is not None and model.centres is not None
    assert torch.equal(model.transformer.positions.weight, places)
    assert torch.equal(model.differences.types.weight, places[:2])
    first = tower.encoder.layers[0].mlp.fc1.weight
    assert torch.equal(model.local.blocks[0].mlp.fc1.weight, first) and len(model.local.blocks) == 1
    if model.differences.attention is not None:
        assert torch.equal(model.differences.attention.blocks[0].mlp.fc1.weight, first)
    else:
        assert model.differences.projection is not None
        x = torch.randn(2, DIM)
        theirs = CLIP.visual_projection.weight.T[:DIM]  # (D, D) rows of the authors' visual.proj
        assert torch.allclose(model.differences.projection(x), x @ theirs, atol=1e-6)
    assert (model.differences.norm.weight == 1).all() and not model.differences.norm.bias.any()
    big = SharedCentres(50, 400)
    assert all(rows.std().item() == pytest.approx(0.125, rel=0.03) for rows in (big.weights, big.centres))
    assert "alignment: the centres start at random" in model.notes
    scaled = make(temporal=temporal, position_scale=20.0)
    assert scaled.differences is not None
    assert torch.equal(scaled.differences.types.weight, 20 * places[:2])


def test_another_width_starts_at_random() -> None:
    clip = make_clip(projection_dim=24)
    for temporal in ("sigmoid_selfA", "sigmoid_mlp"):
        model = make(clip=clip, temporal=temporal)
        told = "\n".join(model.notes)
        assert "frames: blocks and positions start at random, because the text tower has width 16 and not 24" in told
        assert "differences: the types start at random" in told
        assert "alignment: blocks start at random, because the text tower" in told
        assert ("projection starts at random, because the vision tower has width 16" in told) == (
            temporal == "sigmoid_mlp"
        )
        assert model.embed_videos(as_videos(vectors(3, 2, dim=24))).isfinite().all()


def test_init_zero_starts_at_the_mean_of_the_frames() -> None:
    model = make(init="zero", position_scale=20.0)
    x, mask = vectors(4, 1, 3).values.float(), vectors(4, 1, 3).mask
    mean = (unit_or_zero(x) * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    found = halves(model.embed_videos(as_videos(Sequences(x, torch.tensor([4, 1, 3])))))[0]
    assert torch.allclose(found, F.normalize(mean), atol=1e-6)
    assert any("start at 0" in note for note in model.notes)


# Options


def test_the_settings_of_the_authors_are_the_defaults() -> None:
    plain = Clip2VideoConfig(make_clip(text={"max_position_embeddings": 77}).config.to_dict())
    assert (plain.temporal, plain.alignment, plain.centres, plain.global_weight) == ("sigmoid_selfA", "TAB_TDB", 5, 0.5)
    assert (plain.layers, plain.max_frames, plain.max_words, plain.legacy) == (4, 12, 32, False)
    ours, theirs = (architectures.get(name).recipe for name in ("clip2video", "clip4clip"))
    assert ours == theirs  # its authors released no training


def test_a_config_is_plain_json() -> None:
    given = config(temporal="sigmoid_mlp", alignment="TAB", freeze=1)
    assert make_config("clip2video", config_to_json(given)) == given
    assert TypeAdapter(Clip2VideoConfig).validate_json(json.dumps(config_to_json(given))) == given


def test_all_problems_of_a_config_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        config(
            temporal="none", alignment="TAB_TDB", layers=0, centres=0, global_weight=1.5, position_scale=-1.0,
            max_frames=POSITIONS + 1, max_words=POSITIONS + 1,
        )  # fmt: skip
    told = str(error.value)
    assert "7 problems" in told
    for part in (
        "layers: got 0; wanted at least 1",
        "centres: got 0; wanted at least 1",
        "global_weight: got 1.5; wanted at least 0 and at most 1",
        "position_scale: got -1.0",
        "alignment: got TAB_TDB with temporal none; without differences it is TAB",
        "max_frames: got 13; there are 12 positions of frames",
        "max_words: got 13; the text tower has 12 positions",
    ):
        assert part in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_frames": 1}, "max_frames: got 1; differences of alignment TAB_TDB need at least 3 frames"),
        ({"max_frames": 2}, "max_frames: got 2; differences of alignment TAB_TDB need at least 3 frames"),
        ({"max_frames": 1, "alignment": "none"}, "max_frames: got 1; differences of temporal sigmoid_selfA"),
        ({"max_frames": 0}, "max_frames: got 0; wanted at least 1"),
        ({"global_weight": math.nan}, "global_weight: got nan"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as error:
        config(**options)
    assert "1 problem\n" in str(error.value) and told in str(error.value)


def test_what_does_without_differences_reads_one_frame() -> None:
    assert config(max_frames=1, temporal="none", alignment="TAB").max_frames == 1
    assert config(max_frames=2, alignment="TAB").max_frames == 2


def test_texts_that_do_not_fit() -> None:
    with pytest.raises(DataError, match="more tokens"):
        make().embed_texts(as_texts(tokens(11, 3)))
