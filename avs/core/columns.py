"""Columns: one feature of many videos or texts, of which any rows can be taken as a batch.

The CLIP vector of a video, the bag of words of a sentence, the frames of a shot and the words of a sentence are all
columns, so that the code that makes batches need not know which it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


class Column(Protocol):
    """N rows of one feature."""

    def __len__(self) -> int: ...

    @property
    def dim(self) -> int:
        """Length of a vector; of tokens 1."""
        ...

    def take(self, rows: np.ndarray) -> Any:
        """The rows asked for, as a batch: (B, D) float32; or of sequences (B, L, D) or (B, L) and (B,) lengths."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class VectorColumn:
    """One vector per row.

    Attributes:
        values: (N, D) of any float type, possibly memory-mapped.
    """

    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    @property
    def dim(self) -> int:
        return int(self.values.shape[1])

    def take(self, rows: np.ndarray) -> np.ndarray:
        """(B, D) float32."""
        taken: np.ndarray = self.values[rows].astype(np.float32)
        return taken


@dataclass(frozen=True, slots=True, eq=False)
class SparseColumn:
    """One vector per row, most of whose values are zero: a CSR matrix.

    Attributes:
        offsets: (N+1,) int64; the values of row i are at offsets[i]:offsets[i+1].
        indices: (M,) int64 position of each value in its row.
        values: (M,) float32.
        dim: length of a vector.
    """

    offsets: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    dim: int

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, rows: np.ndarray) -> np.ndarray:
        """(B, D) float32, dense."""
        where, lengths = row_positions(self.offsets, rows)
        dense = np.zeros((len(rows), self.dim), dtype=np.float32)
        dense[np.repeat(np.arange(len(rows)), lengths), self.indices[where]] = self.values[where]
        return dense


@dataclass(frozen=True, slots=True, eq=False)
class SequenceColumn:
    """One sequence per row: the frames of a shot, or the words of a sentence.

    Attributes:
        values: (M, D) float vectors, or (M,) integer tokens, possibly memory-mapped.
        offsets: (N+1,) int64; row i is values[offsets[i]:offsets[i+1]], never empty.
    """

    values: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def dim(self) -> int:
        """Length of a vector; of tokens 1."""
        return int(self.values.shape[1]) if self.values.ndim == 2 else 1

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, L, D) float32 or (B, L) int64, zero after a row's end, and (B,) int64 lengths; L is the longest."""
        where, lengths = row_positions(self.offsets, rows)
        kind = np.float32 if self.values.ndim == 2 else np.int64
        padded = np.zeros((len(rows), int(lengths.max(initial=0)), *self.values.shape[1:]), dtype=kind)
        padded[np.arange(padded.shape[1]) < lengths[:, None]] = self.values[where]
        return padded, lengths


@dataclass(frozen=True, slots=True, eq=False)
class ChainColumn:
    """The rows of several columns of one kind, one column after another: a feature of several collections."""

    parts: tuple[Column, ...]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def dim(self) -> int:
        return self.parts[0].dim

    def take(self, rows: np.ndarray) -> Any:
        """What its columns give for `rows`, counted through all of them."""
        starts = np.cumsum([0, *(len(part) for part in self.parts)])
        part_of = np.searchsorted(starts, rows, side="right") - 1
        numbers = np.unique(part_of).tolist()
        taken = [self.parts[n].take(rows[part_of == n] - starts[n]) for n in numbers]
        places = np.argsort(np.concatenate([np.flatnonzero(part_of == n) for n in numbers]))
        if not isinstance(taken[0], tuple):
            return np.concatenate(taken)[places]
        longest = max(values.shape[1] for values, _ in taken)
        padded = [
            np.pad(values, [(0, 0), (0, longest - values.shape[1])] + [(0, 0)] * (values.ndim - 2))
            for values, _ in taken
        ]
        return np.concatenate(padded)[places], np.concatenate([lengths for _, lengths in taken])[places]


def spaced_places(count: int, most: int) -> np.ndarray:
    """(most,) int64 places among `count`, evenly spaced, first and last included: int(linspace(0, count - 1, most)).

    Source: CLIP4Clip's "uniform", computed in floating point as there. One place is the first.
    """
    return np.linspace(0, count - 1, most).astype(np.int64)


def row_positions(offsets: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(L,) int64 positions of the values of `rows`, row after row, and the (B,) lengths, whose sum is L.

    Args:
        offsets: (N+1,) int64; row i is offsets[i]:offsets[i+1].
        rows: (B,) of N.
    """
    starts = offsets[rows]
    lengths = offsets[np.asarray(rows) + 1] - starts
    ends = np.cumsum(lengths)
    within = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - lengths, lengths)
    return np.repeat(starts, lengths) + within, lengths
