"""Rows of features that others computed, where they lie: named, counted, and read in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from avs.core.errors import DataError, FormatError, Problems
from avs.core.ids import some
from avs.core.store import length_tolerance

BLOCK_ROWS = 16_384
FLOATS = ("float16", "float32", "float64")


class RowShard(Protocol):
    """Rows of one file."""

    def __len__(self) -> int: ...

    def take(self, rows: np.ndarray) -> np.ndarray:
        """(n, D) rows at (n,) positions."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ArrayShard:
    """Rows of a memory-mapped (N, D) array."""

    array: np.ndarray

    def __len__(self) -> int:
        return len(self.array)

    def take(self, rows: np.ndarray) -> np.ndarray:
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            return self.array[rows[0] : rows[-1] + 1]  # a view: nothing is copied
        return np.asarray(self.array[rows])


@dataclass(frozen=True, slots=True, eq=False)
class LoadedShard:
    """Rows of an array that is read whole each time, since its file is packed.

    Attributes:
        rows: their number.
        load: reads the (rows, D) array.
    """

    rows: int
    load: Callable[[], np.ndarray]

    def __len__(self) -> int:
        return self.rows

    def take(self, rows: np.ndarray) -> np.ndarray:
        taken: np.ndarray = self.load()[rows]
        return taken


@dataclass(frozen=True, slots=True)
class LinkableFile:
    """A file whose bytes are those of a store's file, if all its rows are taken in their order.

    Attributes:
        path: of the file.
        name: of the store's file.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class BorrowedRows:
    """The rows of a folder of features.

    Attributes:
        folder: where they lie.
        names: (N,) the name of every row: a shot, or a video; at frame level followed by "_" and a frame number.
        shards: the files that hold them, in order.
        dim: length D of a row.
        source_dtype: in which they are kept, "float16", "float32" or "float64".
        files: name -> every file that decides what is read.
        pts_s: (N,) seconds of the rows in their videos, where the files say them.
        linkable: the one file that holds them all as a store would; None: there is no such file.
    """

    folder: Path
    names: Sequence[str]
    shards: Sequence[RowShard]
    dim: int
    source_dtype: str
    files: Mapping[str, Path]
    pts_s: np.ndarray | None = None
    linkable: LinkableFile | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """In which a store keeps them: float64 becomes float32."""
        return np.dtype("float16" if self.source_dtype == "float16" else "float32")

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum([len(shard) for shard in self.shards])

    def take(self, rows: np.ndarray) -> np.ndarray:
        """(n, D) rows at (n,) int64 positions, in their order, in `dtype`."""
        holder = np.searchsorted(self._ends, rows, side="right")
        parts = np.unique(holder)
        with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, which count_off_unit_length tells
            if len(parts) == 1:
                return np.asarray(self._of(int(parts[0]), rows), dtype=self.dtype)
            taken = np.empty((len(rows), self.dim), self.dtype)
            for one in parts.tolist():
                here = holder == one
                taken[here] = self._of(one, rows[here])
        return taken

    def _of(self, shard: int, rows: np.ndarray) -> np.ndarray:
        first = int(self._ends[shard]) - len(self.shards[shard])
        return self.shards[shard].take(rows - first)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """The position of the first row of a block, and the (B, D) block, in the order of the files."""
        for first in range(0, len(self), BLOCK_ROWS):
            yield first, self.take(np.arange(first, min(first + BLOCK_ROWS, len(self))))


def count_off_unit_length(rows: BorrowedRows) -> int:
    """How many rows have not length 1, as a store would keep them.

    Raises:
        DataError: rows are not finite or all zero; names some of each.
    """
    off, wrong = 0, {"not finite": list[str](), "all zero": list[str]()}
    for first, block in rows.blocks():
        values = block.astype(np.float32, copy=False)
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.sqrt(np.einsum("ij,ij->i", values, values))  # one pass, and most rows need no other
        odd = np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))  # or of numbers whose squares leave float32
        finite, some_value = np.isfinite(values[odd]).all(axis=1), values[odd].any(axis=1)
        wrong["not finite"] += [rows.names[first + row] for row in odd[~finite].tolist()]
        wrong["all zero"] += [rows.names[first + row] for row in odd[~some_value].tolist()]
        off += int((~(np.abs(lengths - 1) <= length_tolerance(rows.dtype))).sum())
    problems = Problems("borrowed features that cannot be used")
    for what, names in wrong.items():
        if names:
            problems.add(rows.folder, f"{len(names)} of {len(rows)} rows are {what}: {some(names)}")
    problems.raise_if_any(DataError, next_step="leave these rows out of the folder, and import it with --allow-missing")
    return off


def require_one_shape(shapes: Mapping[str, tuple[tuple[int, ...], str]], *, where: Path) -> tuple[int, str]:
    """The dimension of the rows of several arrays, and the widest of their dtypes.

    Args:
        shapes: name of an array -> its shape and its dtype.

    Raises:
        FormatError: arrays that are no rows of real numbers, or of several dimensions; names them all.
    """
    problems = Problems(f"arrays of {where}")
    dims: dict[int, str] = {}
    for name, (shape, dtype) in shapes.items():
        if len(shape) != 2 or dtype not in FLOATS or not shape[1]:
            problems.add(name, f"is {dtype}, shape {shape}, and not rows of {', '.join(FLOATS)}")
        else:
            dims.setdefault(shape[1], name)
    if len(dims) > 1:
        told = ", ".join(f"{dim} ({name})" for dim, name in dims.items())
        problems.add(where, f"the arrays have rows of {len(dims)} dimensions: {told}")
    if not any(shape[0] for shape, _ in shapes.values() if shape):
        problems.add(where, "there are no rows")
    problems.raise_if_any(FormatError)
    return next(iter(dims)), max((dtype for _, dtype in shapes.values()), key=FLOATS.index)
