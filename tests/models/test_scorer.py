from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from avs.core.errors import ConfigError
from avs.models.architectures.dual_encoding import DualEncodingConfig
from avs.models.architectures.laff import LaffConfig
from avs.models.batch import Batch, Sequences
from avs.models.dual_encoding import DualEncodingModel
from avs.models.laff import LaffModel
from avs.models.scorer import PADDED_ROWS, ModelScorer, PackedModel, _chunks

DIMS = {"a": 6, "b": 9}


@dataclass
class Feature:
    rows: torch.Tensor
    starts: np.ndarray | None = None
    present: np.ndarray | None = None


@dataclass
class Shots:
    count: int
    features: dict[str, Feature]


def laff(**settings: object) -> LaffModel:
    torch.manual_seed(0)
    frames = {"f/frame": 5} if settings.pop("frames", False) else {}
    model = LaffModel(
        LaffConfig(video=DIMS, video_frames=frames, text={"t": 4}, heads=3, head_dim=8, **settings)
    ).eval()
    for parameter in model.parameters():  # biases and u far from zero
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def shots(rng: np.random.Generator, count: int, *, share: float, frames: bool = False) -> Shots:
    """Random features; a share of the shots have each."""
    features = {}
    for name, dim in {**DIMS, **({"f/frame": 5} if frames else {})}.items():
        present = rng.random(count) < share
        lengths = rng.integers(1, 7, size=int(present.sum())) if "/" in name else np.ones(int(present.sum()), dtype=int)
        rows = torch.from_numpy(rng.normal(size=(int(lengths.sum()), dim))).float()
        starts = np.cumsum(lengths) - lengths if "/" in name else None
        features[name] = Feature(rows, starts, None if present.all() else present)
    return Shots(count, features)


def one_by_one(model: torch.nn.Module, queries: torch.Tensor, block: Shots) -> dict[int, torch.Tensor]:
    """Shot -> scores, each from a batch of its own features alone."""
    found = {}
    for shot in range(block.count):
        vectors, sequences, present = {}, {}, {}
        for name, feature in block.features.items():
            there = feature.present is None or bool(feature.present[shot])
            at = shot if feature.present is None else int(feature.present[:shot].sum())
            present[name] = torch.tensor([there])
            if feature.starts is None:
                vectors[name] = (
                    feature.rows[at : at + 1] if there else torch.full((1, feature.rows.shape[1]), torch.nan)
                )
            else:
                ends = [*feature.starts.tolist(), len(feature.rows)]
                rows = (
                    feature.rows[ends[at] : ends[at + 1]]
                    if there
                    else torch.full((1, feature.rows.shape[1]), torch.nan)
                )
                sequences[name] = Sequences(rows[None], torch.tensor([len(rows)]))
        if any(present[name].item() for name in block.features):
            found[shot] = model.score(queries, model.embed_videos(Batch(vectors, sequences, present)))[:, 0]
    return found


@pytest.mark.parametrize("frames", [False, True])
@pytest.mark.parametrize("share", [1.0, 0.8, 0.3, 0.0])
@pytest.mark.parametrize("chunk", [1, 7, 512])
@pytest.mark.parametrize(
    "settings", [{}, {"batch_norm": True}, {"with_ave": True}], ids=["plain", "batch norm", "with_ave"]
)
def test_a_block_scores_as_shot_after_shot(frames: bool, share: float, chunk: int, settings: dict) -> None:
    rng = np.random.default_rng(0)
    block, model, queries = (
        shots(rng, 25, share=share, frames=frames),
        laff(frames=frames, **settings),
        torch.randn(4, 24),
    )
    if "with_ave" in settings:
        model.start_epoch(1)
    wanted = one_by_one(model, queries, block)  # with gradients: the way it is trained
    scores, present = ModelScorer("x", PackedModel(model, chunk_shots=chunk), queries).score(block)
    assert (np.arange(25) if present is None else np.flatnonzero(present)).tolist() == list(wanted)
    assert (present is None) == (share == 1.0)
    assert scores.dtype == torch.float32 and scores.shape == (4, len(wanted))
    for column, found in zip(scores.T, wanted.values(), strict=True):
        torch.testing.assert_close(column, found, atol=1e-5, rtol=1e-5)


def test_bfloat16_is_close() -> None:
    block, model = shots(np.random.default_rng(0), 200, share=1.0), laff()
    queries = torch.nn.functional.normalize(torch.randn(4, 3, 8), dim=-1).flatten(1)
    wanted, _ = ModelScorer("x", PackedModel(deepcopy(model)), queries).score(block)
    low = Shots(200, {name: Feature(feature.rows.bfloat16()) for name, feature in block.features.items()})
    found, _ = ModelScorer("x", PackedModel(model, dtype=torch.bfloat16), queries).score(low)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0)
    assert not torch.equal(found, wanted)


def test_frames_alone() -> None:
    torch.manual_seed(0)
    config = DualEncodingConfig(video_frames={"f/frame": 5}, text={"t": 4}, space=6, hidden=4, filters=3)
    model, queries = DualEncodingModel(config).eval(), torch.randn(2, 18)
    block = shots(np.random.default_rng(0), 30, share=0.7, frames=True)
    block.features = {"f/frame": block.features["f/frame"]}
    wanted = one_by_one(model, queries, block)
    scores, present = ModelScorer("x", PackedModel(model, chunk_shots=4), queries).score(block)
    assert present is not None and np.flatnonzero(present).tolist() == list(wanted)
    torch.testing.assert_close(scores, torch.stack(list(wanted.values()), dim=1).detach(), atol=1e-5, rtol=1e-5)


def test_dropout_is_off_and_nothing_is_kept_for_gradients() -> None:
    model = laff(dropout=0.9).train()
    scorer = ModelScorer("x", PackedModel(model), torch.randn(2, 24, requires_grad=True))
    block = shots(np.random.default_rng(0), 9, share=1.0)
    first, again = scorer.score(block)[0], scorer.score(block)[0]
    assert torch.equal(first, again) and not first.requires_grad


def test_chunks_are_cut_where_padding_would_grow() -> None:
    assert list(_chunks(np.ones(9, dtype=int), 4)) == [(0, 4), (4, 8), (8, 9)]
    assert list(_chunks(np.full(9, PADDED_ROWS), 4)) == [(i, i + 1) for i in range(9)]
    lengths = np.random.default_rng(0).integers(1, 400, size=500)
    lengths[7] = PADDED_ROWS + 1  # no chunk holds it
    cuts = list(_chunks(lengths, 64))
    assert [first for first, _ in cuts] == [0, *(last for _, last in cuts[:-1])] and cuts[-1][1] == 500
    for first, last in cuts:
        assert last - first == 1 or (last - first) * lengths[first:last].max() <= PADDED_ROWS
    assert list(_chunks(np.empty(0, dtype=int), 4)) == []


def test_a_fingerprint_says_what_decides_the_scores() -> None:
    queries = torch.randn(2, 24)
    one, same = (ModelScorer(name, PackedModel(laff()), queries) for name in "ab")
    changed = laff()
    with torch.no_grad():
        changed.video.attention[0, 0] += 1
    other = ModelScorer("c", PackedModel(changed), queries)
    prints = [one.fingerprint, other.fingerprint, ModelScorer("a", PackedModel(laff()), queries + 1).fingerprint]
    assert len({*prints, ModelScorer("a", PackedModel(laff(), dtype=torch.bfloat16), queries).fingerprint}) == 4
    assert same.fingerprint == one.fingerprint


def test_a_model_answers_any_number_of_questions() -> None:
    """A packed model still embeds sentences, and every question is scored as if it were the first."""
    block, texts = shots(np.random.default_rng(0), 20, share=1.0), Batch({"t": torch.randn(3, 4)})
    for dtype in (torch.float32, torch.bfloat16):
        features = {name: Feature(feature.rows.to(dtype)) for name, feature in block.features.items()}
        model = laff()
        embedded = model.embed_texts(texts)
        packed = PackedModel(model, dtype=dtype)
        assert torch.equal(model.embed_texts(texts), embedded)
        first = ModelScorer("a", packed, embedded).score(Shots(20, features))[0]
        again = ModelScorer("b", PackedModel(model, dtype=dtype), embedded).score(Shots(20, features))[0]
        other = ModelScorer("c", packed, embedded[1:]).score(Shots(20, features))[0]
        assert torch.equal(first, again)
        torch.testing.assert_close(other, first[1:])


def test_a_packed_model_does_not_change_its_dtype() -> None:
    model = laff()
    PackedModel(model)
    with pytest.raises(ConfigError, match="prepared for another dtype"):
        PackedModel(model, dtype=torch.bfloat16)


def test_a_model_that_names_no_video_side_is_copied() -> None:
    """So it still embeds sentences in float32 after a pass in bfloat16."""
    model, texts = laff(), Batch({"t": torch.randn(3, 4)})
    model.video_side = lambda: []  # type: ignore[method-assign]
    embedded = model.embed_texts(texts)
    block = shots(np.random.default_rng(0), 20, share=1.0)
    low = Shots(20, {name: Feature(feature.rows.bfloat16()) for name, feature in block.features.items()})
    scores = ModelScorer("x", PackedModel(model, dtype=torch.bfloat16), embedded).score(low)[0]
    assert scores.shape == (3, 20)
    assert torch.equal(model.embed_texts(texts), embedded)
