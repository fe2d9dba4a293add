"""The heads of CLIP4Clip: the numerical tests of its method card, padding, zero vectors, initial weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_clips import DIM, POSITIONS, config_of, make_clip, masked, vectors
from torch import Tensor, nn
from torch.nn import functional as F

from avs.models.batch import Sequences
from avs.models.frame_heads import HEADS, tight_transformer
from avs.models.frame_heads.head import FrameHead, unit_or_zero
from avs.models.frame_heads.seq_lstm import SeqLstm
from avs.models.frame_heads.seq_transformer import SeqTransformer
from avs.models.frame_heads.tight_transformer import TightTransformer
from avs.models.frame_heads.transformer import FrameTransformer, SelfAttention

LOOSE = ["meanP", "seqLSTM", "seqTransf"]
CLIP = make_clip(text={"layer_norm_eps": 1e-12})


def make(name: Any, *, clip: Any = CLIP, **options: Any) -> FrameHead:
    config = config_of(clip, head=name, **{"layers": 3} | options)
    torch.manual_seed(3)
    head = HEADS[name](config)
    head.start_from(clip)
    return head.double().eval()


def texts(count: int = 4) -> Tensor:
    torch.manual_seed(5)
    return torch.randn(count, DIM).double()


def scores(head: FrameHead, clips: Sequences) -> Tensor:
    return head.score(head.text_rows(texts()), head.video_rows(*masked(clips)))


def test_loose_rows_are_the_mean_of_unit_frames() -> None:
    clips = vectors(4, 1, 3)
    found = make("meanP").video_rows(*masked(clips))
    for row, length in enumerate((4, 1, 3)):
        mean = sum(x / x.norm() for x in clips.values[row, :length]) / length
        assert torch.allclose(found[row], mean / mean.norm(), atol=1e-12)
    similarities = scores(make("meanP"), clips)
    assert torch.allclose(similarities, F.cosine_similarity(texts()[:, None], found[None], dim=-1), atol=1e-12)


def test_without_projections_and_positions_seqtransf_is_meanp() -> None:  # N1
    head, (frames, mask) = make("seqTransf"), masked(vectors(4, 1, 3))
    assert isinstance(head, SeqTransformer)
    for block in head.transformer.blocks:
        block.start_at_zero()
    positions = head.transformer.positions.weight
    wanted = unit_or_zero(2 * frames + positions[:4]).masked_fill(~mask[..., None], 0.0).sum(1)
    assert torch.allclose(head.video_rows(frames, mask), wanted / wanted.norm(dim=1, keepdim=True), atol=1e-12)
    mean_pool = make("meanP").video_rows(frames, mask)
    assert not torch.allclose(head.video_rows(frames, mask), mean_pool, atol=1e-3)
    nn.init.zeros_(positions)
    assert torch.allclose(head.video_rows(frames, mask), mean_pool, atol=1e-12)


@pytest.mark.parametrize("name", ["seqTransf", "seqLSTM"])
def test_init_zero_starts_at_meanp_exactly(name: str) -> None:
    head, (frames, mask) = make(name, init="zero", position_scale=20.0), masked(vectors(4, 1, 3))
    assert torch.equal(head.video_rows(frames, mask), make("meanP").video_rows(frames, mask))
    optimiser = torch.optim.Adam(head.parameters(), lr=1e-2)
    head.score(head.text_rows(texts(3)), head.video_rows(frames, mask)).diagonal().sum().backward()
    optimiser.step()
    moved = head.video_rows(frames, mask)
    assert (moved - make("meanP").video_rows(frames, mask)).abs().max() > 1e-3
    flipped = head.video_rows(frames[:1].flip(1), mask[:1])
    assert (moved[:1] - flipped).abs().max() > 1e-4  # order is seen, as soon as it trains
    assert any("start at 0" in note or "starts at 0" in note for note in head.notes)


@pytest.mark.parametrize("options", [{}, {"init": "zero"}, {"tight": "paper"}])
@pytest.mark.parametrize("name", list(HEADS))
def test_padding_changes_nothing(name: str, options: dict[str, str]) -> None:  # N2
    if ("tight" in options) != (name == "tightTransf") and options:
        return
    head, clips = make(name, **options), vectors(4, 1, 3)
    found = scores(head, clips)
    garbage = torch.cat([clips.values, 100 * torch.randn(3, 2, DIM).double()], dim=1)
    mask = Sequences(garbage, clips.lengths).mask
    rows = head.video_rows(garbage.masked_fill(~mask[..., None], 0.0), mask)
    assert torch.allclose(head.score(head.text_rows(texts()), rows), found, atol=1e-12)
    rows = head.video_rows(garbage, mask)
    assert torch.allclose(head.score(head.text_rows(texts()), rows), found, atol=1e-12)
    for row, length in enumerate((4, 1, 3)):
        alone = vectors(4, 1, 3).values[row : row + 1, :length]
        assert torch.allclose(scores(head, Sequences(alone, torch.tensor([length])))[:, 0], found[:, row], atol=1e-12)


@pytest.mark.parametrize("name", ["seqLSTM", "seqTransf", "tightTransf"])
def test_the_order_of_frames_matters(name: str) -> None:
    head, clips = make(name), vectors(4, 3)
    flipped = clips.values.clone()
    flipped[0], flipped[1, :3] = clips.values[0].flip(0), clips.values[1, :3].flip(0)
    assert not torch.allclose(scores(head, Sequences(flipped, clips.lengths)), scores(head, clips), atol=1e-5)


def test_attention_masks_are_batch_major() -> None:  # N2; trap T1 of CLIP2Video is a head-major mask
    torch.manual_seed(0)
    ours, theirs = SelfAttention(DIM, 4).double(), nn.MultiheadAttention(DIM, 4, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.q_proj.weight, ours.k_proj.weight, ours.v_proj.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.q_proj.bias, ours.k_proj.bias, ours.v_proj.bias]))
        theirs.out_proj.load_state_dict(ours.out_proj.state_dict())
    clips = vectors(2, 5, 3)
    x, mask = clips.values, clips.mask
    wanted = theirs(x, x, x, key_padding_mask=~mask, need_weights=False)[0]
    assert torch.allclose(ours(x, mask), wanted, atol=1e-12)
    additive = (~mask)[:, None].expand(-1, 5, -1).double() * -1e6
    authors = theirs(x, x, x, attn_mask=additive.repeat_interleave(4, dim=0), need_weights=False)[0]
    assert torch.allclose(ours(x, mask), authors, atol=1e-12)
    head_major = theirs(x, x, x, attn_mask=additive.repeat(4, 1, 1), need_weights=False)[0]
    assert not torch.allclose(ours(x, mask), head_major, atol=1e-2)


def test_a_row_without_true_positions_attends_to_all() -> None:  # as with the authors' -1e6
    transformer = FrameTransformer(config_of(CLIP, head="seqTransf", layers=2)).double()
    values, no = vectors(3, 3).values, torch.zeros(2, 3, dtype=torch.bool)
    assert torch.equal(transformer(values, no), transformer(values, ~no))


def test_seqlstm_runs_over_each_video_alone() -> None:
    head, clips = make("seqLSTM"), vectors(4, 1, 3)
    assert isinstance(head, SeqLstm)
    found = head.outputs(*masked(clips))
    for row, length in enumerate((4, 1, 3)):
        x = clips.values[row, :length]
        assert torch.allclose(found[row, :length], head.lstm(x)[0] + x, atol=1e-12)


@pytest.mark.parametrize("name", list(HEADS))
def test_a_video_without_frames_is_finite(name: str) -> None:
    head, (frames, mask) = make(name), masked(vectors(3, 2))
    mask[1] = False
    frames = frames.masked_fill(~mask[..., None], 0.0)
    rows = head.video_rows(frames, mask)
    found = head.score(head.text_rows(texts()), rows)
    found.sum().backward() if name != "meanP" else None
    assert found.isfinite().all()
    assert all(each.grad is None or each.grad.isfinite().all() for each in head.parameters())
    if name in LOOSE:
        assert not rows[1].any() and not found[:, 1].any()


@pytest.mark.parametrize("options", [{}, {"init": "zero"}])
@pytest.mark.parametrize("name", list(HEADS))
def test_a_zero_vector_is_finite(name: str, options: dict[str, str]) -> None:
    if name == "tightTransf" and options:
        return
    head, (frames, mask) = make(name, **options), masked(vectors(3, 2))
    frames = frames.clone()
    frames[1] = 0.0
    described = texts()
    described[0] = 0.0
    leaves = [frames.requires_grad_(), described.requires_grad_(), *head.parameters()]
    found = head.score(head.text_rows(described), head.video_rows(frames, mask))
    assert found.isfinite().all()
    found.sum().backward()
    for leaf in leaves:
        assert leaf.grad is None or (leaf.grad.isfinite().all() and leaf.grad.abs().max() < 1e6)


def test_copied_blocks_are_the_text_towers() -> None:
    transformer = FrameTransformer(config_of(CLIP, head="seqTransf", layers=3))
    notes = transformer.start_from(CLIP)
    assert notes == ("blocks 0 to 2 and the positions are copies of the text tower's",)
    tower = CLIP.text_model
    assert torch.equal(transformer.positions.weight, tower.embeddings.position_embedding.weight)
    sequence = vectors(5, 5).values.float()
    wanted = tower.encoder(inputs_embeds=sequence).last_hidden_state  # without a causal mask
    assert torch.allclose(transformer(sequence, torch.ones(2, 5, dtype=torch.bool)), wanted, atol=1e-5)
    transformer.blocks[0].mlp.fc1.weight.data.zero_()
    assert tower.encoder.layers[0].mlp.fc1.weight.any()  # copies, not the same weights


def test_fewer_text_blocks_are_repeated() -> None:
    head = make("seqTransf", layers=5)
    assert isinstance(head, SeqTransformer)
    first = [block.mlp.fc1.weight for block in head.transformer.blocks]
    tower = [layer.mlp.fc1.weight.double() for layer in CLIP.text_model.encoder.layers]
    assert all(torch.equal(found, tower[place % 3]) for place, found in enumerate(first))
    wanted = "seqTransf: the text tower has 3 blocks for 5: copies of 0, 1, 2, 0, 1; the positions are copies too"
    assert head.notes == (wanted,)


def test_another_width_starts_at_random() -> None:
    clip = make_clip(projection_dim=24)
    head = make("seqTransf", clip=clip)
    assert isinstance(head, SeqTransformer)
    wanted = "seqTransf: blocks and positions start at random, because the text tower has width 16 and not 24"
    assert head.notes == (wanted,)
    assert 0.01 < head.transformer.positions.weight.std() < 0.03
    assert 0.01 < head.transformer.blocks[2].mlp.fc2.weight.std() < 0.03
    assert not head.transformer.blocks[2].mlp.fc2.bias.any()
    assert scores_of_width(head, 24).isfinite().all()
    for _ in range(2):  # each time anew
        head.transformer.config = replace(head.transformer.config, position_scale=20.0)
        head.start_from(clip)
        assert 0.2 < head.transformer.positions.weight.std() < 0.6


def scores_of_width(head: FrameHead, dim: int) -> Tensor:
    rows = head.video_rows(*masked(vectors(3, 2, dim=dim)))
    return head.score(rows, rows)


def test_position_scale() -> None:
    plain, scaled = make("seqTransf"), make("seqTransf", position_scale=20.0)
    assert isinstance(plain, SeqTransformer) and isinstance(scaled, SeqTransformer)
    assert torch.allclose(scaled.transformer.positions.weight, 20 * plain.transformer.positions.weight)
    assert scaled.notes == (*plain.notes, "seqTransf: the positions start at 20 times that")


def test_the_activation_is_the_text_towers() -> None:
    found = {}
    for name in ("quick_gelu", "gelu"):
        clip = make_clip(text={"hidden_act": name})
        transformer = FrameTransformer(config_of(clip, head="seqTransf", layers=1))
        found[name] = transformer.blocks[0].mlp.activation(torch.tensor(1.0)).item()
    assert found["quick_gelu"] == pytest.approx(torch.tensor(1.702).sigmoid().item())
    assert found["gelu"] == pytest.approx(F.gelu(torch.tensor(1.0)).item())


@pytest.mark.parametrize("tight", ["code", "paper"])
def test_tight_scores_equal_the_formula(tight: str) -> None:
    head, clips = make("tightTransf", tight=tight), vectors(4, 1, 3)
    assert isinstance(head, TightTransformer)
    for layer in (head.pool, head.similarity):
        assert 0.01 < layer.weight.std() < 0.04 and not layer.bias.any()
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    positions, found = head.transformer.positions.weight, scores(head, clips)
    for i, text in enumerate(texts()):
        for row, length in enumerate((4, 1, 3)):
            sequence = torch.cat([text[None], clips.values[row, :length]]) + positions[: length + 1]
            if head.types is not None:
                sequence = sequence + head.types.weight[[0] + [1] * length]
            first = head.transformer(sequence[None], torch.ones(1, length + 1, dtype=torch.bool))[0, 0]
            if tight == "code":
                hidden = head.pool(F.layer_norm(first, (DIM,), head.norm.weight, head.norm.bias, eps=1e-12))
                hidden = hidden * (1.702 * hidden).sigmoid()
            else:
                hidden = head.pool(first).relu()
            assert found[i, row].item() == pytest.approx(head.similarity(hidden).item(), abs=1e-10)
    assert head.notes[-1].endswith("start at random")


@pytest.mark.parametrize(("tokens", "blocks"), [(1, 12), (20, 8), (21, 4), (28, 4), (70, 2), (10**6, 1)])
def test_tight_scores_come_in_blocks(tokens: int, blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    head, clips = make("tightTransf"), vectors(4, 1, 3)
    whole = scores(head, clips)
    whole.square().sum().backward()
    gradients = [each.grad.clone() for each in head.parameters() if each.grad is not None]
    head.zero_grad()
    monkeypatch.setattr(tight_transformer, "TOKENS_AT_ONCE", tokens)
    sizes: list[int] = []
    count = head.transformer.register_forward_pre_hook(lambda module, inputs: sizes.append(inputs[0][..., 0].numel()))
    found = scores(head, clips)
    count.remove()
    assert len(sizes) == blocks and max(sizes) <= max(tokens, 7) and sum(sizes) == 12 * 7
    assert torch.allclose(found, whole, atol=1e-12)
    found.square().sum().backward()
    for one, other in zip([each.grad for each in head.parameters() if each.grad is not None], gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-10)


def test_tight_blocks_are_computed_again_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    head, clips = make("tightTransf", dropout=0.5).train(), vectors(4, 1, 3)
    monkeypatch.setattr(tight_transformer, "TOKENS_AT_ONCE", 21)
    passes: list[Tensor] = []
    head.dropout.register_forward_hook(lambda module, inputs, output: passes.append(output.detach()))
    found = scores(head, clips)
    assert len(passes) == 4
    found.sum().backward()
    assert len(passes) == 8
    again = {tuple(values.flatten().tolist()) for values in passes}
    assert len(again) == 4  # with the same dropout
    monkeypatch.delattr(tight_transformer, "checkpoint")
    with torch.no_grad():
        passes.clear()
        scores(head.eval(), clips)  # without a graph there is nothing to compute again
    assert len(passes) == 4


def test_no_texts_or_videos_give_no_scores() -> None:
    for name in HEADS:
        head = make(name)
        rows, described = head.video_rows(*masked(vectors(4, 1))), head.text_rows(texts())
        assert head.score(described[:0], rows).shape == (0, 2)
        assert head.score(described, rows[:0]).shape == (4, 0)


def test_positions_of_tight_leave_room_for_the_text() -> None:
    head = make("tightTransf", max_frames=POSITIONS - 1)
    assert scores(head, vectors(POSITIONS - 1, 2)).isfinite().all()
