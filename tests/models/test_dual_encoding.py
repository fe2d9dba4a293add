"""Dual encoding: the numerical tests of its method card, padding, both readings of the loss, and the hybrid space."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from avs.core.errors import ConfigError, DataError
from avs.models.architectures import Tokens, config_to_json, make_config, make_model
from avs.models.architectures.dual_encoding import DualEncodingConfig
from avs.models.batch import Batch, Sequences
from avs.models.dual_encoding import DualEncodingModel
from avs.models.hybrid_space import jaccard
from avs.models.losses import different_videos, margin_ranking_loss
from avs.models.sequence_levels import MaxConvolutions, SequenceLevels, masked_mean

DIM, FRAMES = 6, "clip/frame"
SIZES = {"space": 5, "hidden": 4, "filters": 3, "text_filters": 3}
DMT = DualEncodingConfig({FRAMES: DIM}, {"clip": 7}, **SIZES)
WORDS = Tokens(words=20, embedding=5, hidden=4, bidirectional=True)
PARENT = replace(DMT, text={"bow": 9}, text_tokens={"bigru": WORDS}, fusion="concatenated", max_frames=None)
HYBRID = replace(PARENT, text={"bow": 9, "labels": 8}, concepts="labels")
VARIANTS = {
    "DMT": DMT,
    "three text heads": replace(DMT, shared_text=False),
    "parent": PARENT,
    "reduced": replace(PARENT, levels=("gru", "conv"), text={}),
    "hybrid": HYBRID,
}


def make(config: DualEncodingConfig, seed: int = 0) -> DualEncodingModel:
    torch.manual_seed(seed)
    model = DualEncodingModel(config).double()
    for module in model.modules():  # as after training: statistics that are not those of the start
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.normal_(module.bias, std=0.3)
    return model.eval()


def clips(*lengths: int, seed: int = 0) -> list[Tensor]:
    torch.manual_seed(seed)
    return [torch.randn(length, DIM, dtype=torch.double) for length in lengths]


def padded(rows: list[Tensor], *, to: int = 0, filler: float = 0.0) -> Sequences:
    lengths = torch.tensor([len(row) for row in rows])
    shape = (len(rows), max(to, int(lengths.max())), *rows[0].shape[1:])
    values = torch.full(shape, filler, dtype=rows[0].dtype)
    for place, row in enumerate(rows):
        values[place, : len(row)] = row
    return Sequences(values, lengths)


def videos(rows: list[Tensor], **options: float) -> Batch:
    return Batch(sequences={FRAMES: padded(rows, **options)})


def texts(count: int, config: DualEncodingConfig, *, to: int = 0, filler: int = 0, seed: int = 1) -> Batch:
    torch.manual_seed(seed)
    vectors = {
        name: (torch.rand(count, dim) < 0.4).double() if name == "labels" else torch.randn(count, dim).double()
        for name, dim in config.text.items()
    }
    sentences = [torch.randint(20, (3 + row % 4,)) for row in range(count)]
    words = {name: padded(sentences, to=to, filler=filler) for name in config.text_tokens}
    return Batch(vectors, words)


def states_one_by_one(model: DualEncodingModel, row: Tensor) -> Tensor:
    """(n, 2H) of a biGRU written out."""
    gru, forward, backward = model.levels.gru, [], []
    assert gru is not None
    for suffix, steps, found in (("", row, forward), ("_reverse", row.flip(0), backward)):
        w_in, w_state = getattr(gru, "weight_ih_l0" + suffix), getattr(gru, "weight_hh_l0" + suffix)
        b_in, b_state = getattr(gru, "bias_ih_l0" + suffix), getattr(gru, "bias_hh_l0" + suffix)
        state = torch.zeros(w_state.shape[1], dtype=row.dtype)
        for step in steps:
            (r_i, z_i, n_i), (r_h, z_h, n_h) = (w_in @ step + b_in).chunk(3), (w_state @ state + b_state).chunk(3)
            r, z = torch.sigmoid(r_i + r_h), torch.sigmoid(z_i + z_h)
            state = (1 - z) * torch.tanh(n_i + r * n_h) + z * state
            found.append(state)
    return torch.cat([torch.stack(forward), torch.stack(backward).flip(0)], dim=1)


def convolved_one_by_one(module: MaxConvolutions, states: Tensor) -> Tensor:
    """(K*filters,) maxima over the n+k-1 positions of one sequence."""
    found = []
    for conv in module.convolutions:
        width = conv.kernel_size[0]
        edge = torch.zeros(width - 1, states.shape[1], dtype=states.dtype)
        wide = torch.cat([edge, states, edge])
        positions = [
            torch.einsum("fdk,kd->f", conv.weight, wide[start : start + width]) + conv.bias
            for start in range(len(states) + width - 1)
        ]
        found.append(torch.stack(positions).relu().amax(dim=0))
    return torch.cat(found)


def test_one_frame() -> None:  # N1
    model, (frame,) = make(DMT), clips(1)
    gru, conv, mean = model.levels(padded([frame]))
    assert torch.equal(mean, frame)
    assert torch.allclose(gru, states_one_by_one(model, frame), atol=1e-12)
    assert torch.allclose(conv[0], convolved_one_by_one(model.levels.conv, gru), atol=1e-12)
    for module, width in zip(model.levels.conv.convolutions, (2, 3, 4, 5), strict=True):
        assert module(gru[:, :, None]).shape[2] == width


def test_a_static_video_and_permuted_frames() -> None:  # N2
    model, (frame,) = make(DMT), clips(1)
    found = [model.levels(padded([frame.expand(n, DIM)]))[2] for n in (1, 2, 9)]
    assert torch.allclose(torch.cat(found), frame.expand(3, DIM), atol=1e-12)
    (clip,) = clips(8)
    gru, conv, mean = model.levels(padded([clip]))
    shuffled = model.levels(padded([clip[torch.tensor([3, 1, 7, 0, 6, 2, 5, 4])]]))
    assert torch.allclose(shuffled[2], mean, atol=1e-12)
    assert (shuffled[0] - gru).abs().max() > 1e-3
    assert (shuffled[1] - conv).abs().max() > 1e-3


@pytest.mark.parametrize(("data", "printed_sum"), [("MSR-VTT", 96.0), ("MSVD", 184.6)])
def test_recalls_quoted_in_the_documentation_add_up_to_the_papers_sums(data: str, printed_sum: float) -> None:  # N3
    page = Path(__file__).parents[2] / "docs" / "dual_encoding.md"
    quoted = re.search(rf"\| DMT_CUC_01, {data} \| ([\d.]+) ([\d.]+) ([\d.]+),", page.read_text(encoding="utf-8"))
    assert sum(map(float, quoted.groups())) == pytest.approx(printed_sum, abs=0.11)  # printed after rounding


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_padding_never_changes_an_embedding(config: DualEncodingConfig) -> None:  # N4
    model, rows = make(config), clips(1, 2, 5, 11, 3)
    together = model.embed_videos(videos(rows))
    alone = torch.cat([model.embed_videos(videos([row])) for row in rows])
    assert torch.allclose(together, alone, atol=1e-10)
    assert torch.allclose(together, model.embed_videos(videos(rows, to=30, filler=1e6)), atol=1e-10)
    short, long = (model.embed_texts(texts(6, config, to=to, filler=9)) for to in (0, 25))
    assert torch.allclose(short, long, atol=1e-10)


def test_padding_in_single_precision_stays_within_1e_5() -> None:
    model, rows = make(DMT).float(), [row.float() for row in clips(1, 2, 60, 7)]
    alone = torch.cat([model.embed_videos(videos([row])) for row in rows])
    assert (model.embed_videos(videos(rows)) - alone).abs().max() < 1e-5


def test_levels_equal_naive_ones() -> None:
    model, rows = make(DMT), clips(4, 9, 1, 2)
    gru, conv, mean = model.levels(padded(rows))
    for place, row in enumerate(rows):
        states = states_one_by_one(model, row)
        assert torch.allclose(mean[place], row.mean(0), atol=1e-12)
        assert torch.allclose(gru[place], states.mean(0), atol=1e-12)
        assert torch.allclose(conv[place], convolved_one_by_one(model.levels.conv, states), atol=1e-12)


def test_legacy_runs_the_bigru_over_padding() -> None:  # T1
    model = make(replace(DMT, legacy=True))
    short, long = clips(3, 10)
    gru = model.levels(padded([short, long], filler=7.0))[0]
    states = states_one_by_one(model, torch.cat([short, torch.zeros(7, DIM, dtype=torch.double)]))
    assert torch.allclose(gru[0], states[:3].mean(0), atol=1e-12)
    hidden = DMT.hidden
    own = states_one_by_one(model, short)
    assert torch.allclose(states[:3, :hidden], own[:, :hidden], atol=1e-12)  # forward is exact
    assert (states[:3, hidden:] - own[:, hidden:]).abs().max() > 1e-3


def test_legacy_convolutions_see_padding() -> None:  # T2
    torch.manual_seed(0)
    module = MaxConvolutions(4, (2, 3), 3, legacy=True).double()
    with torch.no_grad():
        for conv in module.convolutions:
            conv.bias.fill_(5.0)
            conv.weight.copy_(-conv.weight.abs())
    states = padded([torch.rand(2, 4).double(), torch.rand(9, 4).double()])
    legacy = module(states)[0]
    assert torch.allclose(legacy, torch.full((6,), 5.0, dtype=torch.double))  # relu(bias) wins
    module.legacy = False
    own = module(states)[0]
    assert torch.allclose(own, convolved_one_by_one(module, states.values[0, :2]), atol=1e-12)
    assert (own < 5.0).all()


def test_legacy_cuts_the_bigru_but_not_the_mean() -> None:  # T3
    (clip,) = clips(9)
    found = {}
    for legacy in (False, True):
        model = make(replace(DMT, max_frames=4, legacy=legacy))
        found[legacy] = model.levels(padded([clip]))
        assert torch.allclose(found[legacy][0][0], states_one_by_one(model, clip[:4]).mean(0), atol=1e-12)
    assert torch.allclose(found[False][2][0], clip[:4].mean(0))
    assert torch.allclose(found[True][2][0], clip.mean(0))


def test_legacy_counts_other_captions_of_a_video_as_negatives() -> None:
    rows = clips(4, 4, 4)
    batch, captions, video_of = videos([rows[0], rows[0], rows[2]]), texts(3, DMT), torch.tensor([0, 0, 1])
    losses = {}
    for legacy in (False, True):
        model = make(replace(DMT, legacy=legacy))
        q, v = model.embed_texts(captions), model.embed_videos(batch)
        losses[legacy] = model.loss(q, v, video_of=video_of).item()
    assert losses[True] > losses[False] + 0.1


def naive_level_cosines(model: DualEncodingModel, rows: list[Tensor], captions: Batch) -> Tensor:
    """(3, T, B) of DMT_CUC_01 in eval mode."""
    levels, text = model.levels(padded(rows)), captions.vectors["clip"]
    found = []
    for place, level in enumerate(levels):
        heads = (model.text_heads[place % len(model.text_heads)], model.video_heads[place])
        q, v = (head.norm(head.linear(x)) for head, x in zip(heads, (text, level), strict=True))
        found.append(torch.nn.functional.cosine_similarity(q[:, None], v[None], dim=2))
    return torch.stack(found)


def naive_loss(scores: Tensor) -> float:
    """Both directions, hardest negative, margin 0.2, summed."""
    total, size = 0.0, len(scores)
    for i in range(size):
        match = scores[i, i]
        total += max(max(0.0, (0.2 + scores[i, j] - match).item()) for j in range(size) if j != i)
        total += max(max(0.0, (0.2 + scores[j, i] - match).item()) for j in range(size) if j != i)
    return total


@pytest.mark.parametrize("shared_text", [False, True])
def test_scores_and_both_readings_of_the_loss(shared_text: bool) -> None:
    rows, captions = clips(3, 8, 1, 5), texts(4, DMT)
    for per_level in (True, False):
        model = make(replace(DMT, shared_text=shared_text, loss_per_level=per_level))
        cosines = naive_level_cosines(model, rows, captions)
        q, v = model.embed_texts(captions), model.embed_videos(videos(rows))
        assert torch.allclose(model.score(q, v), cosines.mean(0), atol=1e-12)
        wanted = np.mean([naive_loss(level) for level in cosines]) if per_level else naive_loss(cosines.mean(0))
        assert model.loss(q, v, video_of=torch.arange(4)).item() == pytest.approx(wanted, abs=1e-9)


def test_parent_is_one_space_of_all_levels() -> None:
    model, rows, captions = make(PARENT), clips(3, 8, 2), texts(3, PARENT)
    head = model.video_heads[0]
    gru, conv, mean = model.levels(padded(rows))
    wanted = torch.nn.functional.normalize(head.norm(head.linear(torch.cat([gru, conv, mean], dim=1))), dim=1)
    assert torch.allclose(model.embed_videos(videos(rows)), wanted, atol=1e-12)
    states = model.tokens[0].outputs(captions.sequences["bigru"])
    sentence = Sequences(states, captions.sequences["bigru"].lengths)
    text = torch.cat([captions.vectors["bow"], masked_mean(sentence), model.token_convolutions[0](sentence)], dim=1)
    head = model.text_heads[0]
    wanted = torch.nn.functional.normalize(head.norm(head.linear(text)), dim=1)
    assert torch.allclose(model.embed_texts(captions), wanted, atol=1e-12)


def zeros_in_training(config: DualEncodingConfig) -> dict[str, float]:
    """Share of zeros in the levels that the linear maps read in training."""
    model = make(config).train()
    seen: dict[str, Tensor] = {}
    for side, heads in (("video", model.video_heads), ("text", model.text_heads)):
        heads[0].linear.register_forward_pre_hook(lambda _, read, side=side: seen.update({side: read[0]}))
    count = 40
    model.embed_videos(videos(clips(*range(1, count + 1))))
    model.embed_texts(texts(count, config))
    gru, bow = model.levels.dims[0], config.text["bow"]
    video, text = seen["video"], seen["text"]
    mean = config.video_frames[FRAMES]
    parts = {
        "video gru": video[:, :gru],
        "video conv": video[:, gru:-mean],
        "video mean": video[:, -mean:],
        "text bow": text[:, :bow],
        "text gru": text[:, bow : bow + 8],
        "text conv": text[:, bow + 8 :],
    }
    return {name: (part == 0).double().mean().item() for name, part in parts.items()}


def test_the_learned_levels_of_both_sides_are_dropped_out_before_the_linear_map() -> None:  # T5
    without, dropped = (zeros_in_training(replace(PARENT, dropout=dropout)) for dropout in (0.0, 0.5))
    for name, share in without.items():  # the convolutions have zeros of their own
        wanted = share if name in ("video mean", "text bow") else share + 0.5 * (1 - share)
        assert dropped[name] == pytest.approx(wanted, abs=0.1), name


def test_order_of_dropout() -> None:
    for config, zeros in ((DMT, False), (PARENT, True)):
        model = make(replace(config, dropout=0.5)).train()
        embedded = model.embed_videos(videos(clips(*range(1, 30))))
        assert bool((embedded == 0).any()) is zeros  # only dropout after normalisation leaves zeros


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_items_of_a_batch_are_independent(config: DualEncodingConfig) -> None:
    model, rows, order = make(config), clips(3, 8, 1, 5), [2, 0, 3, 1]
    embedded = model.embed_videos(videos(rows))
    assert torch.allclose(model.embed_videos(videos([rows[i] for i in order])), embedded[order], atol=1e-10)


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_gradient_reaches_every_parameter(config: DualEncodingConfig) -> None:
    model, count = make(config).train(), 12
    rows, captions = clips(*range(1, count + 1)), texts(count, config)
    loss = model.loss(model.embed_texts(captions), model.embed_videos(videos(rows)), video_of=torch.arange(count))
    loss.backward()
    lost = [
        name
        for name, parameter in model.named_parameters()
        # a bias that moves all rows alike is taken out again by batch normalisation
        if parameter.grad is None or not (parameter.grad.any() or name.endswith("bias"))
    ]
    assert lost == []


def naive_jaccard(q: Tensor, v: Tensor) -> Tensor:
    return torch.minimum(q[:, None], v[None]).sum(2) / torch.maximum(q[:, None], v[None]).sum(2)


def test_jaccard() -> None:
    torch.manual_seed(0)
    q, v = torch.rand(5, 30).double(), torch.rand(7, 30).double()
    assert torch.allclose(jaccard(q, v), naive_jaccard(q, v), atol=1e-12)
    assert torch.allclose(jaccard(q, q).diagonal(), torch.ones(5).double())
    assert jaccard(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])).item() == 0
    assert jaccard(torch.zeros(1, 2), torch.zeros(1, 2)).item() == 0  # not a NaN


def test_hybrid_score_is_the_authors_where_the_matrix_is_the_whole() -> None:
    model, rows, captions = make(HYBRID), clips(3, 8, 1, 5, 6), texts(4, HYBRID)
    q, v = model.embed_texts(captions), model.embed_videos(videos(rows))
    latent = q[:, :5] @ v[:, :5].T
    concept = naive_jaccard(q[:, 5:].sigmoid(), v[:, 5:].sigmoid())
    assert torch.allclose(model.score(q, v), 0.6 * (latent + 1) / 2 + 0.4 * concept, atol=1e-6)
    with torch.inference_mode():
        model.calibrate(q, v)
    wanted = sum(
        weight * (kind - kind.min()) / (kind.max() - kind.min()) for weight, kind in ((0.6, latent), (0.4, concept))
    )
    assert torch.allclose(model.score(q, v), wanted, atol=1e-6)
    assert torch.allclose(model.score(q[:1], v[2:3]), wanted[:1, 2:3], atol=1e-6)  # a part scores as in the whole
    again = DualEncodingModel(HYBRID).double().eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.score(q, v), model.score(q, v))


def test_hybrid_loss() -> None:
    model = make(HYBRID).train()
    rows, captions = clips(3, 8, 1, 5), texts(4, HYBRID)
    captions.vectors["labels"][0, 0] = 3.0  # a count
    q, v = model.embed_texts(captions), model.embed_videos(videos(rows))
    assert torch.equal(q[:, 13:], captions.vectors["labels"].clamp(max=1))
    q_concepts, v_concepts = q[:, 5:13].sigmoid(), v[:, 5:].sigmoid()
    wanted = naive_loss(q[:, :5] @ v[:, :5].T) + naive_loss(naive_jaccard(q_concepts, v_concepts))
    bce = torch.nn.functional.binary_cross_entropy
    wanted += 4 * (bce(q_concepts, q[:, 13:]) + bce(v_concepts, q[:, 13:])).item()
    assert model.loss(q, v, video_of=torch.arange(4)).item() == pytest.approx(wanted, abs=1e-9)
    assert torch.equal(model.score(q, v), model.score(q[:, :13], v))  # labels are not looked at


def test_hybrid_search_needs_no_labels() -> None:
    model, captions = make(HYBRID), texts(3, HYBRID)
    bare = Batch({"bow": captions.vectors["bow"]}, captions.sequences)
    assert torch.equal(model.embed_texts(bare), model.embed_texts(captions))


def test_a_video_without_frames_is_refused() -> None:
    batch = videos(clips(3, 4))
    batch = Batch(sequences=batch.sequences, present={FRAMES: torch.tensor([True, False])})
    with pytest.raises(DataError) as error:
        make(DMT).embed_videos(batch)
    assert str(error.value) == (
        "1 of 2 videos have no frames\n  wanted: clip/frame\n  next:   extract their frames, or leave these videos out"
    )


def test_text_features_that_are_missing() -> None:
    model, captions = make(PARENT), texts(2, PARENT)
    there = {"bow": torch.tensor([True, False])}
    zero = Batch({"bow": captions.vectors["bow"] * torch.tensor([[1.0], [0.0]])}, captions.sequences)
    lacking = Batch({"bow": captions.vectors["bow"]}, captions.sequences, there)
    assert torch.equal(model.embed_texts(lacking), model.embed_texts(zero))
    two = replace(PARENT, text={"bow": 9, "clip": 7}, text_tokens={})
    either = {"bow": torch.tensor([True, False]), "clip": torch.tensor([False, True])}
    assert make(two).embed_texts(Batch(texts(2, two).vectors, {}, either)).isfinite().all()
    only = make(replace(PARENT, text_tokens={}))
    with pytest.raises(DataError, match="1 of 2 texts have no feature at all"):
        only.embed_texts(lacking)


def test_options_that_do_not_go_together_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        DualEncodingConfig({}, {"labels": 4}, video={"clip": 5}, levels=(), max_frames=0, concepts="labels")
    assert str(error.value) == (
        "options of dual-encoding that do not go together: 5 problems\n"
        "  video features: got clip; wanted one frame-level feature and no other\n"
        "  text features: none to encode a text with\n"
        "  levels: got none; wanted some of mean, gru, conv, each once\n"
        "  max_frames: got 0; wanted at least 1, or null\n"
        "  concepts: a hybrid space needs fusion: concatenated"
    )


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_config_survives_json(config: DualEncodingConfig) -> None:
    again = make_config("dual-encoding", config_to_json(config))
    assert again == config
    assert sorted(make_model("dual-encoding", again).state_dict()) == sorted(make(config).state_dict())


def test_default_sizes_are_those_of_the_method_card() -> None:
    levels = SequenceLevels(512, levels=("mean", "gru", "conv"), hidden=512, kernels=(2, 3, 4, 5), filters=512)
    assert levels.dims == (512, 1024, 2048)
    model = DualEncodingModel(DualEncodingConfig({FRAMES: 512}, {"clip": 512}))
    assert [head.linear.weight.shape for head in model.video_heads] == [(1536, 1024), (1536, 2048), (1536, 512)]
    assert [head.linear.weight.shape for head in model.text_heads] == [(1536, 512)]


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS.keys())
def test_bfloat16_stays_near_float32(config: DualEncodingConfig) -> None:
    model, rows = make(config).float(), [row.float() for row in clips(3, 8, 1, 5)]
    captions = texts(4, config)
    captions = Batch({name: vectors.float() for name, vectors in captions.vectors.items()}, captions.sequences)
    exact = model.score(model.embed_texts(captions), model.embed_videos(videos(rows)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        q, v = model.embed_texts(captions), model.embed_videos(videos(rows))
    rough = model.score(q.float(), v.float())
    assert (rough - exact).abs().max() < 0.05


def test_mean_of_level_losses_is_no_loss_of_mean_scores() -> None:
    torch.manual_seed(0)
    levels, video_of = torch.randn(3, 6, 6), torch.tensor([0, 1, 1, 2, 3, 4])
    negatives = different_videos(video_of)
    separate = margin_ranking_loss(levels, direction="both", negatives=negatives) / 3
    together = margin_ranking_loss(levels.mean(0), direction="both", negatives=negatives)
    assert separate > together  # the hinge and the maximum are convex
