"""The vectors of a list's candidates; only their rows are read, never a whole store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from avs.core.columns import row_positions
from avs.core.errors import DataError
from avs.core.spec import EmbedderSpec


class Vectors(Protocol):
    """A store of vectors, at shot or frame level, such as a FeatureStore.

    Attributes:
        folder: where it is.
        spec: its encoder.
        vectors: (rows, D) float.
        offsets: (N+1,) int64 at frame level, where the rows of shot i are offsets[i]:offsets[i+1]; None at shot level.
    """

    folder: Path
    spec: EmbedderSpec
    vectors: np.ndarray
    offsets: np.ndarray | None

    def index(self, ids: Sequence[str]) -> np.ndarray: ...


def candidate_cosines(store: Vectors, shots: Sequence[str], queries: np.ndarray) -> np.ndarray:
    """(Q, N) float32 cosines of each query with each of `shots`; the largest over the frames of the shot.

    Args:
        store: vectors of the shots.
        shots: N ids.
        queries: (Q, D) float.

    Raises:
        UnknownIdError: a shot has no vector in the store.
        DataError: a vector is zero or not finite.
    """
    rows, starts = _rows(store, shots)
    cosines = _unit(queries, "the queries") @ rows.T
    best: np.ndarray = np.maximum.reduceat(cosines, starts, axis=1)
    return best


def shot_vectors(store: Vectors, shots: Sequence[str]) -> np.ndarray:
    """(N, D) float32 vectors of length 1; for a shot with frames, the mean of their directions.

    Raises:
        UnknownIdError: a shot has no vector in the store.
        DataError: a vector is zero or not finite.
    """
    rows, starts = _rows(store, shots)
    return _unit(np.add.reduceat(rows, starts, axis=0), str(store.folder))


def _rows(store: Vectors, shots: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(R, D) float32 rows of length 1, one shot after the other, and (N,) the first row of each shot."""
    positions = store.index(shots)
    if store.offsets is None:
        return _unit(store.vectors[positions], str(store.folder)), np.arange(len(positions))
    wanted, counts = row_positions(store.offsets, positions)
    return _unit(store.vectors[wanted], str(store.folder)), np.cumsum(counts) - counts


def _unit(vectors: np.ndarray, where: str) -> np.ndarray:
    rows = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(lengths[:, 0]) | (lengths[:, 0] == 0))
    if len(bad):
        raise DataError("vectors that are zero or not finite", where=where, got=f"{len(bad)} of {len(rows)}")
    unit: np.ndarray = rows / lengths
    return unit
