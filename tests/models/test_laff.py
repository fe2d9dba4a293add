"""LAFF: the numerical tests of its method card, missing features, LAFF-ml, and the authors' behaviour."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from avs.core.errors import ConfigError
from avs.models.architectures import Tokens, config_to_json, make_config
from avs.models.architectures.laff import LaffConfig
from avs.models.batch import Batch, Sequences
from avs.models.blocks.attention import Laff
from avs.models.blocks.block import Tile, Transform
from avs.models.frame_laff import FrameLaff
from avs.models.laff import LaffModel
from avs.models.losses import different_videos, margin_ranking_loss

DIMS = {"clip": 6, "blip": 4, "motion": 5}
SMALL = LaffConfig(video=DIMS, text={"bow": 9, "clip": 6}, heads=3, head_dim=4)
WORDS = Tokens(words=12, embedding=5, hidden=4)
ML = replace(SMALL, video={"blip": 4}, video_frames={"clip/frame": 6}, text_tokens={"gru": WORDS}, batch_norm=True)


def block(dims: dict[str, int] = DIMS, seed: int = 0, **options: object) -> Laff:
    torch.manual_seed(seed)
    made = Laff(dims, heads=3, head_dim=4, **options).double().eval()
    for transform in made.transforms:
        if isinstance(transform, Transform):
            torch.nn.init.normal_(transform.linear.bias)
    return made


def make(config: LaffConfig, seed: int = 0) -> LaffModel:
    torch.manual_seed(seed)
    return LaffModel(config).double().eval()


def vectors(dims: dict[str, int], count: int = 5, seed: int = 1) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return {name: torch.randn(count, dim).double() for name, dim in dims.items()}


def clips(*lengths: int, dim: int = 6, filler: float = 0.0) -> Sequences:
    torch.manual_seed(2)
    values = torch.full((len(lengths), max(lengths), dim), filler).double()
    for row, length in enumerate(lengths):
        values[row, :length] = torch.randn(length, dim).double()
    return Sequences(values, torch.tensor(lengths))


def naive(made: Laff, features: dict[str, Tensor], row: int, head: int, *, extra: float = 0.0) -> Tensor:
    """(d,) of one item and head of a block without batch normalisation, over the features given."""
    part = slice(head * 4, head * 4 + 4)
    moved = []
    for name, transform in zip(made.names, made.transforms, strict=True):
        if name in features:
            linear = transform.linear
            moved.append(torch.tanh(linear.weight[part] @ features[name][row] + linear.bias[part]))
    logits = [math.exp((made.attention[head] @ g).item()) for g in moved]
    fused = sum((logit / sum(logits) + extra) * g for logit, g in zip(logits, moved, strict=True))
    return fused / fused.norm()


def test_block_equals_the_formula() -> None:
    made, features = block(), vectors(DIMS)
    found = made(features, {})
    assert found.shape == (5, 3, 4)
    for row in range(5):
        for head in range(3):
            assert torch.allclose(found[row, head], naive(made, features, row, head), atol=1e-12)


def test_without_attention_it_is_the_mean() -> None:  # N1
    made, features = block(), vectors(DIMS)
    torch.nn.init.zeros_(made.attention)
    assert torch.allclose(made.weights(features, {}), torch.full((5, 3, 3), 1 / 3).double(), atol=1e-12)
    moved = torch.stack(made._transformed(features, {}))
    assert torch.allclose(made(features, {}), F.normalize(moved.mean(0), dim=-1), atol=1e-6)


def test_one_feature_has_all_the_attention() -> None:  # N1
    for seed in range(3):
        made, features = block({"clip": 6}, seed=seed), vectors({"clip": 6})
        assert torch.equal(made.weights(features, {}), torch.ones(5, 3, 1).double())
        (moved,) = made._transformed(features, {})
        assert torch.allclose(made(features, {}), F.normalize(moved, dim=-1), atol=1e-12)


def test_the_order_of_features_does_not_matter() -> None:  # N2
    made, features = block(), vectors(DIMS)
    order = [2, 0, 1]
    names = [list(DIMS)[i] for i in order]
    other = block({name: DIMS[name] for name in names})
    other.attention = made.attention
    for place, i in enumerate(order):
        other.transforms[place] = made.transforms[i]
    assert torch.allclose(other(features, {}), made(features, {}), atol=1e-12)
    assert torch.allclose(other.weights(features, {}), made.weights(features, {})[..., order], atol=1e-12)


def test_attention_is_a_distribution_over_bounded_features() -> None:  # N2
    made, features = block(), vectors(DIMS)
    weights = made.weights(features, {})
    assert torch.allclose(weights.sum(2), torch.ones(5, 3).double(), atol=1e-12)
    assert (weights > 0).all()
    assert torch.stack(made._transformed(features, {})).abs().max() < 1


def test_tiled_features_alone_are_their_cosine() -> None:  # N3
    config = LaffConfig({"clip": 4}, {"clip": 4}, heads=8, head_dim=4, no_transform=("clip",))
    model, video, text = make(config), vectors({"clip": 4}, seed=3), vectors({"clip": 4}, seed=4)
    assert isinstance(model.video.transforms[0], Tile)
    v, q = model.embed_videos(Batch(video)), model.embed_texts(Batch(text))
    heads = v.view(5, 8, 4)
    assert torch.allclose(heads, heads[:, :1].expand(5, 8, 4), atol=1e-12)
    wanted = F.cosine_similarity(text["clip"][:, None], video["clip"][None], dim=2)
    assert torch.allclose(model.score(q, v), wanted, atol=1e-6)


def test_scores_are_the_mean_of_the_heads_cosines() -> None:  # N4
    model = make(SMALL)
    v, q = model.embed_videos(Batch(vectors(DIMS))), model.embed_texts(Batch(vectors({"bow": 9, "clip": 6}, seed=3)))
    by_head = [q[:, 4 * h : 4 * h + 4] @ v[:, 4 * h : 4 * h + 4].T for h in range(3)]
    assert torch.allclose(3 * model.score(q, v), sum(by_head), atol=1e-12)
    assert model.score(q, v).abs().max() <= 1 + 1e-12
    assert torch.allclose(model.score(v, v).diagonal(), torch.ones(5).double(), atol=1e-12)


def test_feature_multiplicity() -> None:  # N4
    made, features = block({"a": 6, "b": 4}), vectors({"a": 6, "b": 4})

    def repeated(*names: str) -> tuple[Laff, dict[str, Tensor]]:
        dims = {
            f"{name}{place}": made.transforms["ab".index(name)].linear.in_features for place, name in enumerate(names)
        }
        other = block(dims)
        other.attention = made.attention
        for place, name in enumerate(names):
            other.transforms[place] = made.transforms["ab".index(name)]
        return other, {f"{name}{place}": features[name] for place, name in enumerate(names)}

    all_twice, given = repeated("a", "b", "a", "b")
    assert torch.allclose(all_twice(given, {}), made(features, {}), atol=1e-12)
    one_twice, given = repeated("a", "b", "a")
    once = made.weights(features, {})
    wanted = 2 * once[..., 0] / (2 * once[..., 0] + once[..., 1])  # 2e^l1 / (2e^l1 + e^l2)
    weights = one_twice.weights(given, {})
    assert torch.allclose(weights[..., 0] + weights[..., 2], wanted, atol=1e-12)
    assert (wanted > once[..., 0]).all()


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_missing_feature_takes_no_part(batch_norm: bool) -> None:
    made, features = block(batch_norm=batch_norm), vectors(DIMS)
    there = torch.tensor([True, False, True, False, True])
    found, weights = made(features, {"blip": there}), made.weights(features, {"blip": there})
    assert not weights[~there, :, 1].any()
    assert torch.allclose(weights.sum(2), torch.ones(5, 3).double())
    assert torch.allclose(found[there], made({name: f[there] for name, f in features.items()}, {}), atol=1e-12)
    features["blip"][~there] = float("nan")  # whatever is held there is not read
    assert torch.equal(made(features, {"blip": there}), found)
    if not batch_norm:
        rest = {name: features[name] for name in ("clip", "motion")}
        assert torch.allclose(found[1, 2], naive(made, rest, 1, 2), atol=1e-12)


def test_missing_features_stay_out_of_statistics_and_gradients() -> None:
    made, features = block(batch_norm=True, dropout=0.0).train(), vectors(DIMS)
    there = torch.tensor([True, False, True, False, True])
    features["blip"][~there] = float("nan")
    made(features, {"blip": there}).sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in made.parameters())
    transform = made.transforms[1]
    moved = transform.linear(features["blip"][there])
    assert torch.allclose(transform.norm.running_mean, 0.1 * moved.mean(0), atol=1e-12)


def test_a_feature_that_one_row_alone_has_can_be_trained_on() -> None:
    made, features = block(batch_norm=True).train(), vectors(DIMS)
    only = torch.arange(5) == 3
    before = made.transforms[1].norm.running_mean.clone()
    assert torch.isfinite(made(features, {"blip": only})).all()
    assert torch.equal(made.transforms[1].norm.running_mean, before)
    nobody = torch.zeros(5, dtype=torch.bool)
    made.eval()
    assert torch.isfinite(made(features, {"blip": nobody})).all()


def test_with_ave() -> None:
    made, features = block(with_ave=True), vectors(DIMS)
    for epoch, rate in enumerate((0.8, 0.6, 0.4, 0.2, 0.0, 0.0)):
        made.start_epoch(epoch)
        found = made(features, {})
        assert torch.allclose(found[1, 2], naive(made, features, 1, 2, extra=rate), atol=1e-6)
        assert torch.allclose(made.weights(features, {}).sum(2), torch.ones(5, 3).double())
    plain = block()
    plain.start_epoch(0)
    assert torch.allclose(plain(features, {})[1, 2], naive(plain, features, 1, 2), atol=1e-12)


def test_with_ave_is_searched_as_it_was_validated() -> None:
    config = replace(SMALL, with_ave=True)
    model, again, batch = make(config), make(config, seed=5), Batch(vectors(DIMS))
    model.start_epoch(1)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.embed_videos(batch), model.embed_videos(batch))


def test_with_ave_leaves_missing_features_out() -> None:
    made, features = block(with_ave=True), vectors(DIMS)
    made.start_epoch(0)
    there = torch.tensor([True, False, True, True, True])
    found = made(features, {"blip": there})
    rest = {name: features[name] for name in ("clip", "motion")}
    assert torch.allclose(found[1, 2], naive(made, rest, 1, 2, extra=0.8), atol=1e-6)


def test_order_of_a_transform() -> None:
    torch.manual_seed(0)
    transform = Transform(6, 12, dropout=0.5, batch_norm=True).train()
    found = transform(torch.randn(64, 6))
    assert torch.allclose(found.mean(0), torch.zeros(12), atol=1e-6)  # batch normalisation comes last
    assert not (found == 0).any()
    transform = Transform(6, 12, dropout=0.5, batch_norm=False).train()
    found = transform(torch.randn(64, 6))
    assert 0.4 < (found == 0).double().mean() < 0.6
    assert found.abs().max() <= 2.0  # tanh, then dropout
    assert not transform.linear.bias.any()


def test_frames_are_pooled_over_their_own_lengths() -> None:
    torch.manual_seed(0)
    pool, frames = FrameLaff(6).double(), clips(3, 7, 1, filler=50.0)
    found = pool(frames)
    for row, length in enumerate((3, 7, 1)):
        own = frames.values[row, :length]
        shares = (own @ pool.attention.weight[0] + pool.attention.bias).softmax(0)
        wanted = shares @ own
        assert torch.allclose(found[row], wanted / wanted.norm(), atol=1e-12)
        alone = pool(Sequences(own[None], torch.tensor([length])))
        assert torch.allclose(found[row], alone[0], atol=1e-12)


def test_zero_frames_after_a_video_only_scale_its_vector() -> None:
    """The authors attend to the padded frames of the batch as well; a zero frame takes a share and adds nothing."""
    pool, frames = FrameLaff(6).double(), clips(3, 7, 1)
    logits = pool.attention(frames.values).squeeze(-1)
    theirs = torch.einsum("bl,bld->bd", logits.softmax(1), frames.values)
    assert torch.allclose(pool(frames), F.normalize(theirs, dim=-1), atol=1e-12)


def ml_texts(count: int = 5) -> Batch:
    return Batch(
        vectors({"bow": 9, "clip": 6}, count),
        {"gru": Sequences(torch.randint(12, (count, 4)), torch.full((count,), 4))},
    )


def test_laff_ml_pools_frames_and_then_fuses() -> None:
    model, blip, frames = make(ML), vectors({"blip": 4}, 3), clips(3, 7, 1)
    found = model.embed_videos(Batch(blip, {"clip/frame": frames}))
    pooled = {**blip, "clip/frame": model.frames[0](frames)}
    assert torch.equal(found, model.video(pooled, {}).flatten(1))
    longer = Sequences(F.pad(frames.values, (0, 0, 0, 9), value=3.0), frames.lengths)
    assert torch.allclose(model.embed_videos(Batch(blip, {"clip/frame": longer})), found, atol=1e-12)
    assert model.video_features == ("blip", "clip/frame")
    assert model.text_features == ("bow", "clip", "gru")


def test_laff_ml_of_a_video_without_frames() -> None:
    model, blip = make(ML).train(), vectors({"blip": 4}, 3)
    frames = clips(3, 7, 1)
    frames.values[1] = 0
    lacking = Sequences(frames.values, torch.tensor([3, 0, 1]))
    there = {"clip/frame": torch.tensor([True, False, True])}
    found = model.embed_videos(Batch(blip, {"clip/frame": lacking}, there))
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(model.frames[0].attention.weight.grad).all()


@pytest.mark.parametrize("per_head", [True, False])
def test_both_losses(per_head: bool) -> None:
    model = make(replace(SMALL, loss_per_head=per_head, direction="both"))
    v, q = model.embed_videos(Batch(vectors(DIMS))), model.embed_texts(Batch(vectors({"bow": 9, "clip": 6}, seed=3)))
    video_of = torch.tensor([0, 1, 1, 2, 3])
    heads = [q[:, 4 * h : 4 * h + 4] @ v[:, 4 * h : 4 * h + 4].T for h in range(3)]
    scores = heads if per_head else [sum(heads) / 3]
    options = {"direction": "both", "negatives": different_videos(video_of)}
    wanted = sum(margin_ranking_loss(one, **options).item() for one in scores)
    assert model.loss(q, v, video_of=video_of).item() == pytest.approx(wanted)


def test_attention_starts_on_both_sides_of_zero() -> None:
    attention = Laff({"a": 3}, heads=4, head_dim=64).attention
    assert attention.abs().max() <= 64**-0.5
    assert -0.02 < attention.mean() < 0.02 and attention.std() > 0.05


def test_the_loss_is_reduced_as_the_config_says() -> None:
    v, q = vectors({"video": 12})["video"], vectors({"text": 12}, seed=3)["text"]
    of = {
        how: make(replace(SMALL, reduction=how)).loss(q, v, video_of=torch.arange(5)).item() for how in ("sum", "mean")
    }
    assert of["sum"] == pytest.approx(5 * of["mean"]) and of["sum"] > 0


def test_legacy_negatives_and_noise() -> None:
    legacy, ours = make(replace(SMALL, legacy=True)), make(SMALL)
    features = vectors(DIMS, 3)
    same = {name: feature[[0, 0, 2]] for name, feature in features.items()}
    q, v = ours.embed_texts(Batch(vectors({"bow": 9, "clip": 6}, 3))), ours.embed_videos(Batch(same))
    video_of = torch.tensor([0, 0, 1])
    assert legacy.loss(q, v, video_of=video_of).item() > ours.loss(q, v, video_of=video_of).item()
    zeros = Batch({**features, "blip": torch.zeros(3, 4).double()})
    legacy.train()
    torch.manual_seed(0)
    first = legacy._video_vectors(zeros)["blip"]
    assert first.any(dim=1).all()
    assert not torch.equal(first, legacy._video_vectors(zeros)["blip"])
    assert not legacy.eval()._video_vectors(zeros)["blip"].any()
    assert not ours.train()._video_vectors(zeros)["blip"].any()


def test_attention_by_feature_name() -> None:
    model = make(ML)
    texts = ml_texts()
    found = model.attention(texts, "text")
    assert list(found) == ["bow", "clip", "gru"]
    assert torch.allclose(sum(found.values()), torch.ones(5, 3).double())
    videos = Batch(vectors({"blip": 4}, 2), {"clip/frame": clips(3, 7)})
    assert {name: weights.shape for name, weights in model.attention(videos, "video").items()} == {
        "blip": (2, 3),
        "clip/frame": (2, 3),
    }


@pytest.mark.parametrize("config", [SMALL, ML, replace(SMALL, with_ave=True, no_transform=("blip",))])
def test_gradient_reaches_every_parameter(config: LaffConfig) -> None:
    torch.manual_seed(0)
    model = LaffModel(config).double().train()
    model.start_epoch(0)
    batch = Batch(vectors(dict(config.video), 8), {name: clips(*range(1, 9)) for name in config.video_frames})
    v, q = model.embed_videos(batch), model.embed_texts(ml_texts(8))
    model.loss(q, v, video_of=torch.arange(8)).backward()
    # the bias of frame attention cancels in the softmax
    lost = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not (parameter.grad.any() or name == "frames.0.attention.bias")
    ]
    assert lost == []


@pytest.mark.parametrize("config", [SMALL, ML])
def test_a_config_survives_json(config: LaffConfig) -> None:
    assert make_config("laff", config_to_json(config)) == config


def test_default_sizes_are_those_of_the_method_card() -> None:
    dims = {"wsl": 2048, "ircsn": 2048, "beit": 1024, "clip": 512, "blip": 256, "blip2": 256, "video-llama": 768}
    made = Laff(dims)
    weights = sum(transform.linear.weight.numel() for transform in made.transforms)
    biases = sum(transform.linear.bias.numel() for transform in made.transforms)
    assert sum(dims.values()) == 6912
    assert round((weights + biases) / 1e6, 2) == 28.34
    assert made.attention.numel() == 8 * 512  # the authors' 8 biases more cancel in the softmax


def test_bfloat16_stays_near_float32() -> None:
    model = LaffModel(SMALL).eval()
    video = Batch({name: f.float() for name, f in vectors(DIMS).items()}, present={"blip": torch.arange(5) != 2})
    text = Batch({name: f.float() for name, f in vectors({"bow": 9, "clip": 6}).items()})
    exact = model.score(model.embed_texts(text), model.embed_videos(video))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        q, v = model.embed_texts(text), model.embed_videos(video)
    assert (model.score(q.float(), v.float()) - exact).abs().max() < 0.02


def test_no_transform_needs_features_of_the_heads_dimension() -> None:
    with pytest.raises(ConfigError) as error:
        replace(SMALL, no_transform=("clip", "clop"), head_dim=5)
    assert str(error.value) == (
        "options of laff that cannot be used: 2 problems\n"
        "  no_transform: clip: got 6 dimensions; wanted head_dim, 5\n"
        "  no_transform: clop: there is no such feature; wanted head_dim, 5"
    )
    assert replace(ML, no_transform=("gru",)).no_transform == ("gru",)
