"""The rows of any number of feature stores in blocks of the same shots, read, converted and moved once."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Collection, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from avs.core.artifacts import EDGE_BYTES
from avs.core.bigfile import BigFile
from avs.core.columns import row_positions
from avs.core.contents import content_fingerprint
from avs.core.device import require_device
from avs.core.errors import ConfigError, DataError, StoreError
from avs.core.ids import natural_key, parse_shot_id
from avs.core.shots import ids_fingerprint
from avs.core.store import FeatureStore

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DTYPES = ("float32", "bfloat16")
CPU_BLOCK_ROWS = 2048  # as float32 of 512 dimensions: 4 MB, which the last-level cache holds
CUDA_BLOCK_ROWS = 16384
TILE_ROWS = 64


class Rows(Protocol):
    """A source of rows, such as a FeatureStore.

    Attributes:
        ids: of N shots.
        vectors: (rows, D) of any float type, possibly memory-mapped.
        offsets: (N+1,) int64, the rows of shot i being offsets[i]:offsets[i+1]; None when a shot is one row.
    """

    @property
    def ids(self) -> tuple[str, ...]: ...
    @property
    def vectors(self) -> np.ndarray: ...
    @property
    def offsets(self) -> np.ndarray | None: ...


@dataclass(frozen=True, eq=False)
class BlockFeature:
    """One feature of the shots of a block. Valid until the next block is asked for.

    Attributes:
        stored: (R, D) rows of the present shots as the store has them, one shot after another; None: they are in the
            room already.
        room: (>= R, D) on the device, in the dtype of the pass: where `buffer` has them.
        count: R.
        starts: (P,) int64 where the rows of each present shot begin; None when a shot is one row.
        present: (count of the block,) bool, of which P are true; None when all shots are there.
    """

    stored: Tensor | None
    room: Tensor
    count: int
    starts: np.ndarray | None
    present: np.ndarray | None

    @cached_property
    def buffer(self) -> Tensor:
        """(>= R, D) the rows in the dtype of the pass, followed by whatever an earlier block left.

        They are converted when somebody first asks. The height is the same in every block, so a product with all of it
        takes every row through the same instructions, whichever block the row came in.
        """
        if self.stored is not None:
            self.room[: self.count].copy_(self.stored)
        return self.room

    @property
    def rows(self) -> Tensor:
        """(R, D)."""
        return self.buffer[: self.count]


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive shots `first` to `first + count` of a source, with their features by name."""

    first: int
    count: int
    features: Mapping[str, BlockFeature]


class BlockSource:
    """The blocks of stores, in the order of the stores where they hold the same shots, else in natural order.

    Args:
        stores: feature name -> store, of either level.
        device: "cpu", "cuda" or "cuda:N": where the rows are needed.
        dtype: "float32" or "bfloat16": the dtype of the rows.
        block_rows: rows of a block in any one feature; None: 2,048 on the CPU, 16,384 on CUDA. Only a shot that has
            more makes a longer one.
        shots: ids to read; None: all. Those that no store holds are left out.

    Attributes:
        ids: ids of the shots that are in at least one store, and among `shots`.
        split: what reads it by several threads (avs.ranking.split), kept for the next pass.

    Raises:
        ConfigError: unknown device or dtype; `block_rows` below 1.
        StoreError: a shot of a frame-level store has no row.
        MissingDependencyError: there is no such CUDA device.
    """

    def __init__(
        self,
        stores: Mapping[str, Rows],
        *,
        device: str = "cpu",
        dtype: str = "float32",
        block_rows: int | None = None,
        shots: Collection[str] | None = None,
    ) -> None:
        import torch

        if dtype not in DTYPES:
            raise ConfigError("unknown dtype of scores", got=dtype, wanted=", ".join(DTYPES))
        self.device = torch.device(require_device(device, cuda_devices=torch.cuda.device_count))
        self.dtype = getattr(torch, dtype)
        self.block_rows = block_rows or (CPU_BLOCK_ROWS if self.device.type == "cpu" else CUDA_BLOCK_ROWS)
        if block_rows is not None and block_rows < 1:
            raise ConfigError("a block must have at least 1 row", got=f"block_rows={block_rows}")
        if not stores:
            raise ConfigError("there is no store to read blocks from")
        self.ids = _union([store.ids for store in stores.values()])
        if shots is not None:
            chosen = set(shots)
            self.ids = tuple(shot for shot in self.ids if shot in chosen)
        self._readers = {name: _Reader(name, store, self.ids, self) for name, store in stores.items()}
        self.split: object = None

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features of its blocks."""
        return tuple(self._readers)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the shots, the stores (first and last MiB of their vectors) and how they are read."""
        parts: list[object] = [ids_fingerprint(self.ids), str(self.dtype), self.device.type, self.block_rows]
        parts += [(name, reader.fingerprint) for name, reader in self._readers.items()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def __len__(self) -> int:
        """The number of shots."""
        return len(self.ids)

    def twin(self) -> BlockSource:
        """The same blocks in buffers of its own, so that another thread can read at the same time."""
        made = copy(self)
        made.split = None
        made._readers = {name: reader.twin() for name, reader in self._readers.items()}
        return made

    def borders(self) -> list[int]:
        """The positions where blocks begin, in order, and the number of shots. Nothing is read.

        Blocks from one border to another are the same, whoever reads them, and so are the bits of their scores.
        """
        found = [0]
        while found[-1] < len(self):
            found.append(self._end_of_block(found[-1]))
        return found

    def _end_of_block(self, first: int) -> int:
        return min(reader.end_of_block(first) for reader in self._readers.values())

    def blocks(self, first: int = 0, stop: int | None = None) -> Iterator[Block]:
        """The blocks from the shot at position `first` on.

        Args:
            stop: the border before which they end; None: the last.
        """
        turn = 0
        while first < (len(self) if stop is None else stop):
            last = self._end_of_block(first)
            features = {name: reader.read(first, last, turn) for name, reader in self._readers.items()}
            yield Block(first, last - first, features)
            first, turn = last, 1 - turn

    def placed(self, name: str, shots: np.ndarray, places: np.ndarray) -> Iterator[tuple[np.ndarray, Block]]:
        """Chosen shots of a feature that has one row a shot, each at the place of the buffer that it has in its block.

        So a product takes their rows through the instructions that it takes them through in their blocks.

        Args:
            shots: (S,) positions in the source.
            places: (S,) of their rows. Shots of the same place come one after another.

        Yields:
            The (P,) indices of some of the shots, and a block of their rows, which is valid until the next.
        """
        order = np.argsort(places, kind="stable")
        turns = np.empty(len(places), dtype=np.int64)  # how many shots of the same place come before
        turns[order] = np.arange(len(places)) - np.searchsorted(places[order], places[order])
        for turn in range(int(turns.max(initial=-1)) + 1):
            chosen = np.flatnonzero(turns == turn)
            feature = self._readers[name].placed(shots[chosen], places[chosen])
            yield chosen, Block(0, feature.count, {name: feature})


class _Reader:
    """One store of a source.

    The rows of a block lie together in the file when the store has its shots in the source's order, with or without
    gaps; otherwise they are gathered.
    """

    def __init__(self, name: str, store: Rows, ids: tuple[str, ...], source: BlockSource) -> None:
        self.offsets, self._store = store.offsets, store
        if self.offsets is not None and np.diff(self.offsets).min(initial=1) < 1:
            raise StoreError("a shot has no row", where=name, got=store.ids[int(np.diff(self.offsets).argmin())])
        self.positions = None if store.ids == ids else _positions(store.ids, ids)  # (N,) in the store, -1 if absent
        self.ends = self._ends()
        self.vectors, self.rows = _as_tensor(store.vectors), len(store.vectors)
        longest = 1 if self.offsets is None else int(np.diff(self.offsets).max())
        self.block_rows = max(source.block_rows, longest)
        rows = -(-min(self.block_rows, len(self.vectors)) // TILE_ROWS) * TILE_ROWS
        self._make_buffers(rows, source.device, source.dtype)

    def twin(self) -> _Reader:
        """The same rows, with buffers of its own."""
        made = copy(self)
        made._make_buffers(len(self.buffers[0]), self.buffers[0].device, self.buffers[0].dtype)
        return made

    @cached_property
    def fingerprint(self) -> str:
        values = self.vectors.numpy()
        edge = max(EDGE_BYTES // max(values[:1].nbytes, 1), 1)  # rows
        digest = hashlib.sha256(f"{values.shape} {values.dtype} ".encode())
        for part in (values[:edge], values[-edge:], self.offsets):
            digest.update(b"" if part is None else part.tobytes())
        if isinstance(self._store, FeatureStore | BigFile):  # the edges say nothing of the rows between them
            digest.update(content_fingerprint(self._store.manifest).encode())
        return digest.hexdigest()

    def _ends(self) -> np.ndarray | None:
        """(N+1,) int64 rows before each shot of the source; None when a shot is one row, always present."""
        if self.positions is None:
            return self.offsets
        present = self.positions >= 0
        lengths = present.astype(np.int64)
        if self.offsets is not None:
            lengths[present] = np.diff(self.offsets)[self.positions[present]]
        return np.concatenate([[0], np.cumsum(lengths)])

    def _make_buffers(self, rows: int, device: torch.device, dtype: torch.dtype) -> None:
        import torch

        shape = (rows, self.vectors.shape[1])
        self.buffers = [torch.zeros(shape, dtype=dtype, device=device)]
        self.staging: list[Tensor] = []
        if device.type == "cuda":  # a block is read while the one before is scored
            self.buffers.append(torch.zeros_like(self.buffers[0]))
            self.staging = [torch.empty(shape, dtype=self.vectors.dtype, pin_memory=True) for _ in range(2)]

    def end_of_block(self, first: int) -> int:
        """The position after the last shot of the longest block that begins at `first`."""
        if self.ends is None:
            return min(first + self.block_rows, self.rows)
        return int(np.searchsorted(self.ends, self.ends[first] + self.block_rows, side="right")) - 1

    def read(self, first: int, last: int, turn: int) -> BlockFeature:
        """The rows of shots `first` to `last`; on CUDA the buffers take turns."""
        rows = self._stored(first, last)
        stored: Tensor | None = rows
        room = self.buffers[turn % len(self.buffers)]
        if self.staging:
            room[: len(rows)].copy_(self.staging[turn][: len(rows)].copy_(rows), non_blocking=True)
            stored = None
        present = None
        if self.positions is not None:
            present = self.positions[first:last] >= 0
            present = None if present.all() else present
        starts = None
        if self.offsets is not None:
            assert self.ends is not None  # a frame-level store has them
            starts = self.ends[first:last] - self.ends[first]
            starts = starts if present is None else starts[present]
        return BlockFeature(stored, room, len(rows), starts, present)

    def placed(self, shots: np.ndarray, places: np.ndarray) -> BlockFeature:
        """The rows of shots of one row each, at given places of the room."""
        import torch

        rows, room = shots if self.positions is None else self.positions[shots], self.buffers[0]
        room[torch.from_numpy(places)] = self.vectors[torch.from_numpy(rows)].to(room)
        return BlockFeature(None, room, len(room), None, None)

    def _stored(self, first: int, last: int) -> Tensor:
        """(R, D) as stored."""
        if self.positions is None:
            ends = (first, last) if self.ends is None else (self.ends[first], self.ends[last])
            return self.vectors[ends[0] : ends[1]]
        shots = self.positions[first:last]
        shots = shots[shots >= 0]
        starts, stops = (shots, shots + 1) if self.offsets is None else (self.offsets[shots], self.offsets[shots + 1])
        if (starts[1:] == stops[:-1]).all():
            return self.vectors[starts[0] : stops[-1]] if len(shots) else self.vectors[:0]
        return self.vectors[shots if self.offsets is None else row_positions(self.offsets, shots)[0]]


def _union(lists: list[tuple[str, ...]]) -> tuple[str, ...]:
    """All ids, in natural order unless all lists are the same."""
    if all(ids == lists[0] for ids in lists):
        return lists[0]
    videos: dict[str, object] = {}  # thousands of videos, millions of shots
    keys = {}
    for shot in set().union(*lists):
        video, number = parse_shot_id(shot)
        if video not in videos:
            videos[video] = natural_key(video)
        keys[shot] = (videos[video], number)
    return tuple(sorted(keys, key=keys.__getitem__))


def _positions(store_ids: tuple[str, ...], ids: tuple[str, ...]) -> np.ndarray:
    at = {shot: row for row, shot in enumerate(store_ids)}
    if len(at) < len(store_ids):
        raise DataError("a shot occurs twice in a store", got=max(store_ids, key=store_ids.count))
    return np.fromiter((at.get(shot, -1) for shot in ids), dtype=np.int64, count=len(ids))


def _as_tensor(vectors: np.ndarray) -> Tensor:
    import torch

    with warnings.catch_warnings():  # torch wants memory that may be written to; nothing writes to it
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(vectors)
