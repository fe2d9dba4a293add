"""CLIP4Clip as a whole: embeddings, the loss, what is trained, bfloat16, its options and errors."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from tiny_clips import DIM, POSITIONS, as_texts, as_videos, config_of, make_clip, pixels, tokens, vectors
from torch import Tensor

from avs.core.errors import ConfigError, DataError
from avs.models.architectures.clip4clip import Clip4ClipConfig, FrameHeadName
from avs.models.batch import Batch, Sequences
from avs.models.clip4clip import Clip4Clip
from avs.models.frame_heads import HEADS
from avs.models.losses import Blocks, contrastive_loss, different_videos, mil_nce_loss
from avs.models.scorer import PackedModel
from avs.models.sequence_levels import spaced_steps
from avs.train.frame_choice import FrameChoice

CLIP = make_clip()
UNUSED = "k_proj.bias"  # a softmax ignores the bias of its keys, so the gradient is only rounding


def make(head: FrameHeadName = "meanP", *, clip: Any = CLIP, seed: int = 2, **options: Any) -> Clip4Clip:
    torch.manual_seed(seed)
    model = Clip4Clip(config_of(clip, head=head, **{"layers": 2} | options))
    model.start_from(clip)
    return model.eval()


def trained_groups(model: Clip4Clip) -> dict[str, list[torch.nn.Parameter]]:
    """What is trained of the backbone, at a rate of its own, and of the head."""
    (group,) = model.rate_groups()
    assert group.factor == model.config.backbone_ratio
    assert {id(each) for each in group.parameters} == {id(each) for each in model.backbone.parameters()}
    parts = {"backbone": group.parameters, "new": model.head.parameters()}
    return {name: [each for each in part if each.requires_grad] for name, part in parts.items()}


def embed(model: Clip4Clip, clips: Sequences | None = None) -> tuple[Tensor, Tensor]:
    clips = pixels(4, 1, 3) if clips is None else clips
    return model.embed_texts(as_texts(tokens(5, 3, 7))), model.embed_videos(as_videos(clips))


def orthogonal_loss(size: int, scale: float, *, same: bool, **options: Any) -> float:
    """The loss of texts and videos whose cosines are 1 (`same`) or 0 on the diagonal, and 0 elsewhere."""
    clip = make_clip(projection_dim=2 * size)
    model = make(clip=clip, **options)
    torch.nn.init.constant_(model.backbone.clip.logit_scale, math.log(scale))
    rows = torch.eye(2 * size)
    videos = rows[:size] if same else rows[size:]
    return model.loss(rows[:size], videos, video_of=torch.arange(size)).item()


def test_the_loss_table() -> None:  # N4, card 0.5
    assert orthogonal_loss(4, 1.0, same=False) == pytest.approx(1.386294, abs=1e-6)
    assert orthogonal_loss(4, 1.0, same=True) == pytest.approx(0.743668, abs=1e-6)
    assert orthogonal_loss(128, 1.0, same=False) == pytest.approx(4.852030, abs=1e-6)
    for size, scale in ((4, 3.0), (7, 100.0)):
        assert orthogonal_loss(size, scale, same=True) == pytest.approx(
            math.log1p((size - 1) * math.exp(-scale)), abs=1e-6
        )


def test_tight_scores_know_no_logit_scale() -> None:
    model = make("tightTransf")
    texts, videos = embed(model)
    torch.nn.init.normal_(model.head.similarity.weight)
    wanted = contrastive_loss(model.score(texts, videos))
    assert torch.equal(model.loss(texts, videos, video_of=torch.arange(3)), wanted)


def test_other_captions_of_a_video_are_no_negatives() -> None:
    model, legacy = make(), make(legacy=True)
    texts, videos = (rows.detach() for rows in embed(model))
    videos, video_of = videos[[0, 1, 0]], torch.tensor([5, 3, 5])
    logits = model.backbone.logit_scale.detach() * model.score(texts, videos)
    rows = {0: [0, 1], 1: [0, 1, 2], 2: [1, 2]}
    wanted = [logits[i, js].logsumexp(0) + logits[js, i].logsumexp(0) - 2 * logits[i, i] for i, js in rows.items()]
    assert model.loss(texts, videos, video_of=video_of).item() == pytest.approx(float(sum(wanted)) / 6, rel=1e-5)
    every = legacy.loss(texts, videos, video_of=video_of)
    assert every.item() == pytest.approx(model.loss(texts, videos, video_of=torch.arange(3)).item())
    assert every > model.loss(texts, videos, video_of=video_of)


def test_mil_nce_is_of_scores_times_the_logit_scale_and_knows_blocks_and_videos() -> None:
    model, legacy = (make(loss="mil-nce", positives=2, legacy=one) for one in (False, True))
    texts, videos = (rows.detach() for rows in embed(model))
    texts, videos, video_of = texts[[0, 1, 0, 2]], videos[[0, 1, 0, 2]], torch.tensor([5, 3, 5, 4])
    blocks = Blocks(torch.tensor([1, 1, 3, 3]), torch.tensor([False, True, False, True]))
    scores = model.backbone.logit_scale.detach() * model.score(texts, videos)

    def found(which: Clip4Clip, blocks: Blocks | None) -> float:
        return which.loss(texts, videos, video_of=video_of, blocks=blocks).item()

    own = blocks.negatives(video_of)
    assert not own[1, 2] and own[1, 3]  # video 5 is in the block of row 1
    assert found(model, blocks) == pytest.approx(mil_nce_loss(scores, blocks=blocks, negatives=own).item(), rel=1e-6)
    assert found(legacy, blocks) == pytest.approx(mil_nce_loss(scores, blocks=blocks).item(), rel=1e-6)
    assert found(model, None) == pytest.approx(
        mil_nce_loss(scores, negatives=different_videos(video_of)).item(), rel=1e-6
    )
    assert len({round(found(which, each), 4) for which in (model, legacy) for each in (blocks, None)}) == 4


@pytest.mark.parametrize("head", list(HEADS))
@pytest.mark.parametrize("patches", ["2d", "3d"])
@pytest.mark.parametrize("freeze", [-1, 0, 1])
def test_gradients_reach_what_is_trained_and_nothing_else(head: FrameHeadName, patches: Any, freeze: int) -> None:
    model = make(head, patches=patches, freeze=freeze).train()
    texts, videos = embed(model)
    model.loss(texts, videos, video_of=torch.arange(3)).backward()
    groups = trained_groups(model)
    trained = {id(each) for group in groups.values() for each in group}
    assert len(trained) == sum(map(len, groups.values()))
    for name, parameter in model.named_parameters():
        assert (id(parameter) in trained) == parameter.requires_grad
        assert not name.startswith("head.") or any(parameter is each for each in groups["new"])
        has_gradient = parameter.grad is not None and bool(parameter.grad.any())
        if not name.endswith(UNUSED) and not (
            head == "tightTransf" and name.endswith(("logit_scale", "similarity.bias"))
        ):
            assert has_gradient == parameter.requires_grad, name
    assert bool(groups["new"]) == (head != "meanP")


@pytest.mark.parametrize(("freeze", "embeddings", "block"), [(-1, True, True), (0, False, True), (1, False, False)])
def test_the_config_says_what_is_frozen(freeze: int, embeddings: bool, block: bool) -> None:
    for tower in (make(freeze=freeze).backbone.clip.text_model, make(freeze=freeze).backbone.clip.vision_model):
        assert tower.embeddings.position_embedding.weight.requires_grad == embeddings
        assert tower.encoder.layers[0].mlp.fc1.weight.requires_grad == block


def test_the_options_of_the_backbone_reach_it() -> None:
    plain, other = make(), make(patches="3d", gradient_checkpointing=True, image_mean=(0, 0, 1), image_std=(1, 2, 3))
    for model, dims, again in ((plain, 4, False), (other, 5, True)):
        assert model.backbone.clip.vision_model.embeddings.patch_embedding.weight.dim() == dims
        layers = model.backbone.clip.vision_model.encoder.modules()
        assert any(getattr(layer, "gradient_checkpointing", False) for layer in layers) == again
        assert model.backbone.mean.flatten().tolist() == pytest.approx(model.config.image_mean)
        assert model.backbone.std.flatten().tolist() == pytest.approx(model.config.image_std)


@pytest.mark.parametrize("head", list(HEADS))
def test_training_lowers_the_loss(head: FrameHeadName) -> None:
    model = make(head, dropout=0.0)
    optimiser = torch.optim.Adam([each for group in trained_groups(model).values() for each in group], lr=1e-2)
    losses = []
    for _ in range(40):
        loss = model.loss(*embed(model, pixels(1, 1, 3)), video_of=torch.arange(3))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.after_step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_after_a_step_the_logit_scale_is_at_most_100() -> None:
    model = make()
    torch.nn.init.constant_(model.backbone.clip.logit_scale, 5.0)
    model.after_step()
    assert model.backbone.logit_scale.item() == pytest.approx(100, rel=1e-6)


@pytest.mark.parametrize("head", list(HEADS))
def test_a_clip_of_one_frame(head: FrameHeadName) -> None:
    model = make(head).train()
    texts, videos = embed(model, pixels(1, 1, 1))
    loss = model.loss(texts, videos, video_of=torch.arange(3))
    loss.backward()
    assert loss.isfinite()
    assert all(each.grad is None or each.grad.isfinite().all() for each in model.parameters())


@pytest.mark.parametrize("head", list(HEADS))
def test_bfloat16(head: FrameHeadName) -> None:
    model = make(head, dropout=0.0).train()
    exact = model.loss(*embed(model), video_of=torch.arange(3))
    with torch.autocast("cpu", torch.bfloat16):
        texts, videos = embed(model)
        scores = model.score(texts, videos)
        loss = model.loss(texts, videos, video_of=torch.arange(3))
    assert texts.dtype == videos.dtype == scores.dtype == loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact.item(), rel=0.05)
    assert head == "tightTransf" or torch.equal(scores, model.score(texts, videos))  # cosines are not rounded
    loss.backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in model.parameters())


def test_pixels_and_the_vectors_of_the_frozen_tower_embed_alike() -> None:
    for head in HEADS:
        model, clips = make(head), pixels(4, 1, 3)
        stored = Sequences(model.backbone.frames(clips.values, clips.mask).detach(), clips.lengths)
        assert torch.allclose(model.embed_videos(as_videos(stored)), embed(model, clips)[1], atol=1e-6)


@pytest.mark.parametrize("head", ["meanP", "seqLSTM", "seqTransf"])
def test_a_search_packs_the_video_side(head: FrameHeadName) -> None:
    model, clips = make(head), vectors(4, 1, 3)
    texts = model.embed_texts(as_texts(tokens(5, 3, 7)))
    wanted = model.score(texts, model.embed_videos(as_videos(clips)))
    packed = PackedModel(model, dtype=torch.bfloat16)
    assert packed.model is model  # not a copy with the text tower
    assert torch.allclose(packed.similarities(texts, as_videos(clips)), wanted, atol=0.02)
    assert torch.equal(model.embed_texts(as_texts(tokens(5, 3, 7))), texts)


def test_a_copy_of_the_weights_computes_the_same() -> None:
    for head in HEADS:
        first = make(head)
        second = Clip4Clip(first.config).eval()
        second.load_state_dict(first.state_dict())
        for one, other in zip(embed(first), embed(second), strict=True):
            assert torch.equal(one, other)


def test_start_from_takes_the_clip_and_starts_the_head() -> None:
    model = Clip4Clip(config_of(CLIP, head="seqTransf", layers=4))
    before = model.state_dict()["head.transformer.positions.weight"].clone()
    model.start_from(CLIP)
    positions = CLIP.text_model.embeddings.position_embedding.weight
    assert torch.equal(model.backbone.clip.text_projection.weight, CLIP.text_projection.weight)
    assert torch.equal(model.state_dict()["head.transformer.positions.weight"], positions)
    assert not torch.equal(before, positions)
    assert model.notes == (
        "seqTransf: the text tower has 3 blocks for 4: copies of 0, 1, 2, 0; the positions are copies too",
    )
    assert make("meanP").notes == ()


def test_the_settings_of_the_authors_are_the_defaults() -> None:
    config = Clip4ClipConfig(make_clip(text={"max_position_embeddings": 77}).config.to_dict())
    chosen = (config.head, config.layers, config.patches, config.init, config.tight, config.dropout)
    assert chosen == ("meanP", 4, "2d", "clip", "code", 0.1)
    assert (config.max_frames, config.max_words, config.freeze, config.position_scale) == (12, 32, 0, 1.0)
    assert config.image_mean == (0.48145466, 0.4578275, 0.40821073)
    assert config.image_std == (0.26862954, 0.26130258, 0.27577711)


def test_a_config_is_plain_json() -> None:
    config = config_of(CLIP, head="tightTransf", tight="paper", freeze=1)
    adapter = TypeAdapter(Clip4ClipConfig)
    assert adapter.validate_json(adapter.dump_json(config)) == config


def test_all_problems_of_a_config_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        config_of(
            CLIP, head="seqTransf", tight="paper", layers=0, max_words=POSITIONS + 1, max_frames=POSITIONS + 1,
            freeze=4, dropout=1.0, position_scale=-1.0, image_std=(0.0, 1.0, 1.0),
        )  # fmt: skip
    told = str(error.value)
    assert "8 problems" in told
    for part in (
        "layers: got 0; wanted at least 1",
        "dropout: got 1.0; wanted at least 0 and below 1",
        "position_scale: got -1.0; wanted at least 0",
        "image_std: got (0.0, 1.0, 1.0); wanted positive numbers",
        "tight: got paper with head seqTransf; it is an option of head tightTransf",
        "max_words: got 13; the text tower has 12 positions",
        "max_frames: got 13; seqTransf has 12 positions, one for each frame",
        "freeze: got 4; the deeper tower has 3 blocks",
    ):
        assert part in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"patches": "3d", "max_frames": 1}, "patches: got 3d with max_frames 1"),
        ({"head": "tightTransf", "init": "zero"}, "init: got zero with head tightTransf"),
        ({"head": "tightTransf", "max_frames": POSITIONS}, "one of them for the text"),
        ({"freeze": -2}, "freeze: got -2; wanted at least -1"),
        ({"max_words": 2}, "max_words: got 2; wanted at least 3"),
        ({"max_frames": 0}, "max_frames: got 0; wanted at least 1"),
        ({"position_scale": math.nan}, "position_scale: got nan"),
        ({"positives": 0, "loss": "mil-nce"}, "positives: got 0; wanted at least 1"),
        ({"positives": 3}, "positives: got 3 with loss cross-entropy"),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as error:
        config_of(CLIP, **options)
    assert "1 problem\n" in str(error.value) and told in str(error.value)


def test_what_has_no_limit() -> None:
    for head in ("meanP", "seqLSTM"):
        assert config_of(CLIP, head=head, max_frames=500).max_frames == 500
    assert config_of(CLIP, head="tightTransf", max_frames=POSITIONS - 1).most_frames == POSITIONS - 1
    assert config_of(CLIP, max_words=POSITIONS, max_frames=POSITIONS, head="seqTransf").freeze == -1


def test_a_backbone_that_is_no_clip_is_an_error() -> None:
    with pytest.raises(ConfigError, match="backbone: lacks projection_dim, text_config.hidden_size"):
        Clip4ClipConfig({"vision_config": {"image_size": 32, "num_hidden_layers": 2}, "text_config": 3})


def test_batches_that_do_not_fit() -> None:
    model = make()
    with pytest.raises(DataError, match="more tokens") as error:
        model.embed_texts(as_texts(tokens(11, 3)))
    assert "got:    11 tokens" in str(error.value)
    absent = Batch(sequences={"frames": vectors(3, 2)}, present={"frames": torch.tensor([True, False])})
    with pytest.raises(DataError, match="1 of 2 have no frames"):
        model.embed_videos(absent)


def test_the_options_need_no_torch() -> None:
    code = "import avs.models.architectures.clip4clip, sys; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_embeddings_are_unit_vectors_of_the_names_in_the_config() -> None:
    model = make("seqTransf", video_frames={"pixels": 0}, text={"words": 0})
    assert model.video_features == ("pixels",) and model.text_features == ("words",)
    found = model.embed_videos(Batch(sequences={"pixels": pixels(3, 1)}))
    described = model.embed_texts(Batch(sequences={"words": tokens(3, 5)}))
    assert found.shape == described.shape == (2, DIM)
    assert torch.allclose(torch.cat([found, described]).norm(dim=1), torch.ones(4))


def test_of_a_long_video_as_many_frames_as_fit_are_read_evenly_spaced() -> None:
    model, long = make(), vectors(14, 2)
    chosen = [int(place) for place in np.linspace(0, 13, 6)]
    short = Sequences(torch.stack([long.values[0, chosen], torch.zeros(6, long.values.shape[2])]), torch.tensor([6, 2]))
    short.values[1, :2] = long.values[1, :2]
    assert torch.equal(model.embed_videos(as_videos(long)), model.embed_videos(as_videos(short)))


def test_vectors_of_frames_freeze_the_vision_tower() -> None:
    dim = CLIP.config.projection_dim
    model = make(video_frames={"clip/frame": dim}, freeze=-1)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained and not any("vision" in name or "visual" in name for name in trained)
    with pytest.raises(ConfigError, match="wanted vectors of the backbone"):
        config_of(CLIP, video_frames={"clip/frame": dim + 1})
    with pytest.raises(ConfigError, match="3d with vectors of frames"):
        config_of(CLIP, video_frames={"clip/frame": dim}, patches="3d")


def test_the_frames_of_a_long_video_are_those_that_a_training_chooses() -> None:
    """As floating point rounds: of 123 frames, the eighth of 15 is number 60, not 61."""
    for frames in (1, 2, 12, 15, 31):
        choice = FrameChoice(frames)
        for count in range(frames + 1, 300):
            steps = Sequences(torch.arange(count)[None], torch.tensor([count]))
            assert spaced_steps(steps, frames).values[0].tolist() == choice.places(count, (0, 0, 0)).tolist()
