from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_stores import make_store

from avs.core.errors import ConfigError, StoreError
from avs.search.blocks import BlockSource


@pytest.mark.parametrize("block_rows", [1, 2, 3, 7, 64])
def test_shot_level_blocks_hold_every_row_once(tmp_path: Path, block_rows: int) -> None:
    store = make_store(tmp_path, np.random.default_rng(0).normal(size=(7, 4)))
    blocks = list(BlockSource(store, block_rows=block_rows))
    assert [block.first for block in blocks] == list(range(0, 7, block_rows))
    np.testing.assert_array_equal(np.concatenate([block.rows for block in blocks]), store.vectors)
    assert all(block.starts is None for block in blocks)


@pytest.mark.parametrize("block_rows", [1, 2, 5, 6, 9, 64])
def test_frame_level_blocks_end_where_a_shot_ends(tmp_path: Path, block_rows: int) -> None:
    lengths = np.array([1, 3, 2, 5, 1, 1])
    store = make_store(tmp_path, np.random.default_rng(0).normal(size=(13, 4)), lengths=lengths)
    source = BlockSource(store, block_rows=block_rows)
    assert source.max_rows == min(13, max(block_rows, 5))
    rows, counts = [], []
    for block in source:
        assert block.starts is not None and len(block.rows) <= source.max_rows
        assert block.first == len(counts)
        counts += np.diff(block.starts, append=len(block.rows)).tolist()
        rows.append(block.rows)
    assert counts == lengths.tolist()
    np.testing.assert_array_equal(np.concatenate(rows), store.vectors)


def test_what_cannot_be_cut(tmp_path: Path) -> None:
    store = make_store(tmp_path, np.ones((3, 4)), lengths=np.array([1, 2]))
    with pytest.raises(ConfigError, match="a block must have at least 1 row"):
        BlockSource(store, block_rows=0)
    store.offsets = np.array([0, 0, 3])
    with pytest.raises(StoreError, match="a shot has no row"):
        BlockSource(store, block_rows=2)
