"""The backbone of video models: a CLIPModel over frames and texts, 3d patches, what is frozen, the logit scale."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tiny_clips import DIM, END, MEAN, SIZE, STD, WORDS, make_clip, pixels, tokens, vectors
from torch import Tensor
from torch.nn import functional as F

from avs.core.errors import DataError
from avs.features.families.clip import projected
from avs.models.batch import Sequences
from avs.models.clip_backbone import ClipBackbone


def make(clip: Any, **options: Any) -> ClipBackbone:
    made = ClipBackbone(clip.config.to_dict(), mean=MEAN, std=STD, **options)
    made.start_from(clip)
    return made.eval()


def normalised(values: Tensor) -> Tensor:
    return (values.float() / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def frames(made: ClipBackbone, clips: Sequences) -> Tensor:
    return made.frames(clips.values, clips.mask)


def test_frames_are_the_image_features_of_clip() -> None:
    clip, clips = make_clip(), pixels(3, 1, 2)
    found = frames(make(clip), clips)
    assert found.shape == (3, 3, DIM)
    for row, length in enumerate(clips.lengths.tolist()):
        wanted = projected(clip.get_image_features(pixel_values=normalised(clips.values[row, :length])))
        assert torch.allclose(found[row, :length], wanted, atol=1e-6)
        assert not found[row, length:].any()


@pytest.mark.parametrize("patches", ["2d", "3d"])
def test_only_real_frames_run_through_the_tower(patches: Any) -> None:
    made, clips = make(make_clip(), patches=patches), pixels(3, 1, 2)
    counts: list[int] = []
    made.clip.vision_model.pre_layrnorm.register_forward_hook(lambda module, inputs, output: counts.append(len(output)))
    found = frames(made, clips)
    other = pixels(3, 1, 2, seed=9)
    kept = torch.where(clips.mask[..., None, None, None], clips.values, other.values)
    assert torch.equal(made.frames(kept, clips.mask), found)
    assert counts == [6, 6]


def test_weights_are_float32_whatever_the_config_names() -> None:
    config = make_clip().config.to_dict()
    for part in (config, config["text_config"], config["vision_config"]):
        part["dtype"] = "bfloat16"
    made = ClipBackbone(config, mean=MEAN, std=STD, patches="3d")
    assert {parameter.dtype for parameter in made.parameters()} == {torch.float32}


def test_a_batch_without_frames_is_zero() -> None:
    made, clips = make(make_clip()), pixels(2, 2)
    assert not made.frames(clips.values, torch.zeros(2, 2, dtype=torch.bool)).any()


def test_vectors_of_a_frozen_tower_pass_unchanged() -> None:
    made, clips = make(make_clip()), vectors(3, 1)
    clips.values[1, 1:] = float("nan")
    found = made.frames(clips.values.float(), clips.mask)
    assert torch.equal(found[clips.mask], clips.values.float()[clips.mask])
    assert not found[~clips.mask].any()
    assert made.frames(clips.values.bfloat16(), clips.mask).dtype == torch.float32


@pytest.mark.parametrize(
    "values",
    [
        torch.zeros(1, 2, 3, SIZE, SIZE + 1, dtype=torch.uint8),
        torch.zeros(1, 2, 3, SIZE, SIZE),
        torch.zeros(1, 2, DIM + 1),
        torch.zeros(1, 2, DIM, dtype=torch.uint8),
    ],
)
def test_other_frames_are_an_error(values: Tensor) -> None:
    with pytest.raises(DataError, match="frames that this CLIP cannot read") as error:
        make(make_clip()).frames(values, torch.ones(1, 2, dtype=torch.bool))
    assert str(tuple(values.shape)) in str(error.value)


@pytest.mark.parametrize("end", [END, 2])  # 2: transformers then takes the largest id
def test_texts_are_the_text_features_of_clip(end: int) -> None:
    clip, words = make_clip(text={"eos_token_id": end}), tokens(5, 3, 7)
    padded = words.values.masked_fill(~words.mask, 0)
    wanted = projected(clip.get_text_features(input_ids=padded))
    assert torch.allclose(make(clip).texts(padded, words.mask), wanted, atol=1e-6)


@pytest.mark.parametrize("end", [END, 2])
def test_what_follows_a_text_does_not_matter(end: int) -> None:
    made, words = make(make_clip(text={"eos_token_id": end})), tokens(5, 3, 7)
    found = made.texts(words.values, words.mask)
    for other in (0, END, WORDS - 1):
        assert torch.allclose(made.texts(words.values.masked_fill(~words.mask, other), words.mask), found, atol=1e-6)


def test_the_first_end_token_counts() -> None:
    made, words = make(make_clip()), tokens(5)
    again = torch.cat([words.values, torch.tensor([[END, END]])], dim=1)
    found = made.texts(again, torch.ones(1, 7, dtype=torch.bool))
    assert torch.allclose(found, made.texts(words.values, words.mask), atol=1e-6)


def test_a_text_without_an_end_token_is_an_error() -> None:
    words = tokens(5, 3)
    words.values[1, 2] = 4  # now the only end token of row 1, if any, is past its end
    words.values[1, 4] = END
    with pytest.raises(DataError, match="1 of 2 texts have no end token"):
        make(make_clip()).texts(words.values, words.mask)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_3d_patches_start_as_2d(count: int) -> None:  # N3
    clip, clips = make_clip(), pixels(count, 1)
    assert torch.allclose(frames(make(clip, patches="3d"), clips), frames(make(clip), clips), atol=1e-6)
    fresh = ClipBackbone(clip.config.to_dict(), mean=MEAN, std=STD, patches="3d").clip.vision_model.embeddings
    assert not fresh.patch_embedding.weight[:, :, [0, 2]].any() and fresh.patch_embedding.weight[:, :, 1].any()


def test_3d_patches_see_the_frames_before_and_after() -> None:
    made, clips = make(make_clip(), patches="3d"), pixels(4, 2)
    weight = made.clip.vision_model.embeddings.patch_embedding.weight
    torch.nn.init.normal_(weight)
    images = normalised(clips.values)
    found = made._patches(clips.values, clips.mask).split([4, 2])
    for row, length in enumerate((4, 2)):
        for place in range(length):
            near = [(k, place + k - 1) for k in range(3) if 0 <= place + k - 1 < length]
            wanted = sum(F.conv2d(images[row, frame], weight[:, :, k], stride=4) for k, frame in near)
            assert torch.allclose(found[row][place], torch.as_tensor(wanted), atol=1e-4)


def test_start_from_keeps_trained_3d_patches() -> None:
    first = make(make_clip(), patches="3d")
    torch.nn.init.normal_(first.clip.vision_model.embeddings.patch_embedding.weight)
    second = ClipBackbone(first.clip.config.to_dict(), mean=MEAN, std=STD, patches="3d").eval()
    second.start_from(first.clip)
    assert torch.equal(frames(second, pixels(3, 2)), frames(first, pixels(3, 2)))


EMBEDDINGS = {
    "text_model.embeddings.token_embedding.weight",
    "text_model.embeddings.position_embedding.weight",
    "vision_model.embeddings.class_embedding",
    "vision_model.embeddings.patch_embedding.weight",
    "vision_model.embeddings.position_embedding.weight",
    "vision_model.pre_layrnorm.weight",
    "vision_model.pre_layrnorm.bias",
}


def frozen(made: ClipBackbone) -> set[str]:
    return {name for name, parameter in made.clip.named_parameters() if not parameter.requires_grad}


@pytest.mark.parametrize("blocks", [-1, 0, 1, 3])
@pytest.mark.parametrize("patches", ["2d", "3d"])
def test_what_freeze_freezes(blocks: int, patches: Any) -> None:  # trap T1: with 3d, too
    made = make(make_clip(), patches=patches)
    made.freeze(3)
    made.freeze(blocks)  # the last call decides
    wanted = (
        set()
        if blocks < 0
        else EMBEDDINGS - ({"vision_model.embeddings.patch_embedding.weight"} if patches == "3d" else set())
    )
    for tower, count in (("text_model", 3), ("vision_model", 2)):
        for block in range(min(blocks, count)):
            layer = getattr(made.clip, tower).encoder.layers[block]
            wanted |= {f"{tower}.encoder.layers.{block}.{name}" for name, _ in layer.named_parameters()}
    assert frozen(made) == wanted


@pytest.mark.parametrize("blocks", [-1, 0, 1, 3])
@pytest.mark.parametrize("patches", ["2d", "3d"])
def test_gradients_reach_what_is_not_frozen_and_nothing_else(blocks: int, patches: Any) -> None:
    made, clips, words = make(make_clip(), patches=patches), pixels(3, 2), tokens(5, 4)
    made.freeze(blocks)
    loss = frames(made, clips).square().sum() + made.texts(words.values, words.mask).square().sum() + made.logit_scale
    loss.backward()
    unreached = {name for name, each in made.clip.named_parameters() if each.grad is None or not each.grad.any()}
    assert {name for name in unreached if not name.endswith("k_proj.bias")} == {  # softmax ignores the bias of keys
        name for name in frozen(made) if not name.endswith("k_proj.bias")
    }


def test_the_logit_scale_stays_at_100_or_below() -> None:
    made = make(make_clip())
    for start, wanted in ((5.0, 100.0), (4.0, math.exp(4.0)), (-1.0, math.exp(-1.0))):
        torch.nn.init.constant_(made.clip.logit_scale, start)
        made.after_step()
        assert made.logit_scale.item() == pytest.approx(wanted, rel=1e-6)
    assert made.clip.logit_scale.requires_grad


def test_gradient_checkpointing_computes_the_blocks_again() -> None:
    clip, clips, words = make_clip(), pixels(3, 2), tokens(5, 4)
    gradients, passes = [], []
    for flag in (False, True):
        made = make(clip, gradient_checkpointing=flag).train()
        calls: list[int] = []
        for tower in (made.clip.text_model, made.clip.vision_model):
            tower.encoder.layers[1].layer_norm1.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        (frames(made, clips).square().sum() + made.texts(words.values, words.mask).square().sum()).backward()
        passes.append(len(calls))
        gradients.append([each.grad for each in made.clip.parameters() if each.grad is not None])
    assert passes == [2, 4]
    with torch.inference_mode():
        assert torch.equal(frames(made.eval(), clips), frames(make(clip), clips))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize("patches", ["2d", "3d"])
def test_bfloat16_autocast(patches: Any) -> None:
    made, clips, words = make(make_clip(), patches=patches), pixels(3, 1), tokens(5, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = frames(made, clips), made.texts(words.values, words.mask)
    exact = frames(made, clips), made.texts(words.values, words.mask)
    for half, full in zip(found, exact, strict=True):
        assert half.dtype == torch.float32
        assert not torch.equal(half, full) and torch.allclose(half, full, atol=0.03 * full.abs().max().item())
