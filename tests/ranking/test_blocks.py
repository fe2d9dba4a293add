from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_stores import make_store, shot_ids

from avs.core.errors import AvsError, ConfigError, DataError, MissingDependencyError, StoreError
from avs.ranking.blocks import BlockSource


@dataclass
class MemoryStore:
    """Rows that come from no file."""

    ids: tuple[str, ...]
    vectors: np.ndarray
    offsets: np.ndarray | None = None


def some_of(ids: list[str], keep: np.ndarray, *, lengths: np.ndarray | None, seed: int, shuffle: bool) -> MemoryStore:
    """A store of the shots `keep`, with random rows."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(np.flatnonzero(keep)) if shuffle else np.flatnonzero(keep)
    rows = len(order) if lengths is None else int(lengths[order].sum())
    offsets = None if lengths is None else np.concatenate([[0], np.cumsum(lengths[order])])
    vectors = rng.normal(size=(rows, 3)).astype(np.float16)
    vectors.flags.writeable = False
    return MemoryStore(tuple(ids[i] for i in order), vectors, offsets)


def rows_of(store: MemoryStore, shot: str) -> np.ndarray:
    at = store.ids.index(shot)
    return store.vectors[at : at + 1] if store.offsets is None else store.vectors[slice(*store.offsets[at : at + 2])]


@pytest.mark.parametrize("block_rows", [1, 2, 3, 7, 64])
def test_shot_level_blocks_hold_every_row_once(tmp_path: Path, block_rows: int) -> None:
    store = make_store(tmp_path, np.random.default_rng(0).normal(size=(7, 4)))
    found = []
    source = BlockSource({"a": store}, block_rows=block_rows)
    for number, block in enumerate(source.blocks()):
        feature = block.features["a"]
        assert (block.first, block.count) == (number * block_rows, len(feature.rows))
        assert feature.starts is None and feature.present is None
        found.append(feature.rows.clone())
    np.testing.assert_array_equal(torch.cat(found), store.vectors.astype(np.float32))
    assert source.ids == store.ids and len(source) == 7


@pytest.mark.parametrize("block_rows", [1, 2, 5, 6, 9, 64])
def test_frame_level_blocks_end_where_a_shot_ends(tmp_path: Path, block_rows: int) -> None:
    lengths = np.array([1, 3, 2, 5, 1, 1])
    store = make_store(tmp_path, np.random.default_rng(0).normal(size=(13, 4)), lengths=lengths)
    rows, counts = [], []
    for block in BlockSource({"a": store}, block_rows=block_rows).blocks():
        feature = block.features["a"]
        assert feature.starts is not None and feature.count <= max(block_rows, 5)
        assert block.first == len(counts)
        counts += np.diff(feature.starts, append=feature.count).tolist()
        rows.append(feature.rows.clone())
    assert counts == lengths.tolist()
    np.testing.assert_array_equal(torch.cat(rows), store.vectors.astype(np.float32))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_stores_of_different_shots_go_side_by_side(seed: int, shuffle: bool) -> None:
    rng = np.random.default_rng(seed)
    ids = shot_ids(40)
    lengths = rng.integers(1, 6, size=40)
    stores = {
        "all": some_of(ids, np.ones(40, dtype=bool), lengths=None, seed=1, shuffle=shuffle),
        "some": some_of(ids, rng.random(40) < 0.6, lengths=None, seed=2, shuffle=shuffle),
        "frames": some_of(ids, rng.random(40) < 0.7, lengths=lengths, seed=3, shuffle=shuffle),
    }
    source = BlockSource(stores, block_rows=int(rng.integers(1, 30)))
    assert source.ids == tuple(ids)  # natural order
    seen = 0
    for block in source.blocks():
        assert block.first == seen
        seen += block.count
        shots = ids[block.first : seen]
        for name, feature in block.features.items():
            there = [shot in stores[name].ids for shot in shots]
            assert (feature.present is None) == all(there)
            if feature.present is not None:
                assert feature.present.tolist() == there
            wanted = [rows_of(stores[name], shot) for shot, is_there in zip(shots, there, strict=True) if is_there]
            if feature.starts is not None:
                assert np.diff(feature.starts, append=feature.count).tolist() == [len(rows) for rows in wanted]
            assert feature.rows.tolist() == np.concatenate([np.empty((0, 3)), *wanted]).tolist()
    assert seen == 40


def test_blocks_from_the_middle_are_those_of_the_whole() -> None:
    ids = shot_ids(20)
    source = BlockSource(
        {"a": some_of(ids, np.ones(20, dtype=bool), lengths=np.arange(1, 21), seed=0, shuffle=False)}, block_rows=30
    )
    whole = [(block.first, block.features["a"].rows.tolist()) for block in source.blocks()]
    again = [(block.first, block.features["a"].rows.tolist()) for block in source.blocks(whole[3][0])]
    assert again == whole[3:]


def test_rows_in_bfloat16() -> None:
    store = some_of(shot_ids(9), np.ones(9, dtype=bool), lengths=None, seed=0, shuffle=False)
    (block,) = BlockSource({"a": store}, dtype="bfloat16").blocks()
    assert torch.equal(block.features["a"].rows, torch.tensor(store.vectors).bfloat16())


def test_a_fingerprint_says_what_is_read_and_how() -> None:
    ids = shot_ids(9)
    store = some_of(ids, np.ones(9, dtype=bool), lengths=None, seed=0, shuffle=False)
    other = some_of(ids, np.ones(9, dtype=bool), lengths=None, seed=1, shuffle=False)
    fewer = some_of(ids, np.arange(9) > 0, lengths=None, seed=0, shuffle=False)
    sources = [
        BlockSource({"a": store}),
        BlockSource({"b": store}),
        BlockSource({"a": other}),
        BlockSource({"a": fewer}),
        BlockSource({"a": store}, block_rows=3),
        BlockSource({"a": store}, dtype="bfloat16"),
    ]
    assert len({source.fingerprint for source in sources}) == len(sources)
    assert BlockSource({"a": store}).fingerprint == sources[0].fingerprint


def test_what_cannot_be_cut(tmp_path: Path) -> None:
    store = make_store(tmp_path, np.ones((3, 4)), lengths=np.array([1, 2]))
    store.offsets = np.array([0, 0, 3])
    with pytest.raises(StoreError, match="a shot has no row\n  where:  a\n  got:    shot00001_1"):
        BlockSource({"a": store})
    twice = MemoryStore(("shot1_1", "shot1_1"), np.ones((2, 3)))
    with pytest.raises(DataError, match="a shot occurs twice in a store\n  got:    shot1_1"):
        BlockSource({"a": MemoryStore(("shot1_1",), np.ones((1, 3))), "b": twice})


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"block_rows": 0}, ConfigError, "a block must have at least 1 row\n  got:    block_rows=0"),
        ({"device": "tpu"}, ConfigError, 'unknown device "tpu"\n  wanted: cpu, cuda or cuda:N'),
        ({"device": "cuda:99"}, MissingDependencyError, 'there is no CUDA device "cuda:99"'),
        ({"dtype": "float8"}, ConfigError, "unknown dtype of scores\n  got:    float8\n  wanted: float32, bfloat16"),
        ({"stores": {}}, ConfigError, "there is no store to read blocks from"),
    ],
)
def test_what_cannot_be_read(changes: dict, error: type[AvsError], text: str) -> None:
    stores = {"a": MemoryStore(("shot1_1",), np.ones((1, 3)))}
    with pytest.raises(error, match=text):
        BlockSource(**{"stores": stores, **changes})
