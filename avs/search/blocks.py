"""The rows of a feature store in blocks that fit into a cache, cut where a shot ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from avs.core.errors import ConfigError, StoreError
from avs.core.store import FeatureStore


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive shots of a store.

    Attributes:
        first: position of the first shot.
        rows: (R, D) their vectors as stored, memory-mapped.
        starts: (shots,) int64, where each shot's rows begin within the block; None when a shot is one row.
    """

    first: int
    rows: np.ndarray
    starts: np.ndarray | None


class BlockSource:
    """The blocks of a store, in its order.

    Args:
        store: shot- or frame-level.
        block_rows: rows of a block. Only a shot that has more makes a longer one.

    Raises:
        ConfigError: `block_rows` is below 1.
        StoreError: a shot of a frame-level store has no row.
    """

    def __init__(self, store: FeatureStore, *, block_rows: int) -> None:
        if block_rows < 1:
            raise ConfigError("a block must have at least 1 row", got=f"block_rows={block_rows}")
        self.store, self.offsets = store, store.offsets
        # Opened copy-on-write: torch wants memory that may be written to. Nothing writes to it.
        self.vectors: np.ndarray = np.load(store.folder / "vectors.npy", mmap_mode="c")
        longest = 1
        if self.offsets is not None:
            lengths = np.diff(self.offsets)
            if lengths.min() < 1:
                raise StoreError("a shot has no row", where=store.folder, got=store.ids[int(lengths.argmin())])
            longest = int(lengths.max())
        self.max_rows = max(min(block_rows, len(self.vectors)), longest)  # of any block

    def __iter__(self) -> Iterator[Block]:
        shots, first = len(self.store), 0
        while first < shots:
            if self.offsets is None:
                last = min(first + self.max_rows, shots)
                yield Block(first, self.vectors[first:last], None)
            else:
                start = self.offsets[first]
                last = int(np.searchsorted(self.offsets, start + self.max_rows, side="right")) - 1
                yield Block(first, self.vectors[start : self.offsets[last]], self.offsets[first:last] - start)
            first = last
