"""Feature stores: vectors of shots on disk, and the writer that makes them resumably.

A committed store is a folder:

    vectors.npy     (N, D) float16 or float32: one row per shot, or per frame
    ids.txt         N shot ids, in the shot table's order
    offsets.npy     frame level only: (N+1,) int64, frames of shot i are rows offsets[i]:offsets[i+1]
    pts_s.npy       frame level only: (rows,) float64 seconds
    problems.tsv    shot, status (partial or failed), reason; failed shots have no row in vectors.npy
    videos.tsv      the videos it was made from and their hashes (avs.video.fingerprints)
    manifest.json   written last: without it the store is not complete
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from avs.core.artifacts import read_manifest
from avs.core.errors import StoreError, UnknownIdError
from avs.core.ids import some
from avs.core.shots import ids_fingerprint
from avs.core.spec import EmbedderSpec

Level = Literal["shot", "frame"]
Status = Literal["ok", "partial", "failed"]
STORE_TYPE = "feature-store"


@dataclass(frozen=True, slots=True)
class Problem:
    """A shot that was not extracted whole, and why."""

    shot: str
    status: Status
    reason: str


class FeatureStore:
    """A complete store, memory-mapped.

    Args:
        folder: its folder.

    Raises:
        StoreError: the folder is no store, or its making was interrupted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise StoreError("no such feature store", where=self.folder)
        if not (self.folder / "manifest.json").is_file():
            raise StoreError(
                "the store is not complete",
                where=self.folder,
                got="no manifest.json" + (" but parts of one" if (self.folder / "parts").is_dir() else ""),
                next_step="run the `avs extract-features` that makes it again; it resumes",
            )
        self.manifest: dict[str, Any] = read_manifest(self.folder)
        if self.manifest["type"] != STORE_TYPE:
            raise StoreError("not a feature store", where=self.folder, got=self.manifest["type"])
        self.spec = EmbedderSpec.from_json(self.manifest["spec"])
        self.level: Level = self.manifest["config"]["level"]
        self.vectors: np.ndarray = np.load(self.folder / "vectors.npy", mmap_mode="r")
        self.ids: tuple[str, ...] = tuple((self.folder / "ids.txt").read_text(encoding="utf-8").split())
        self.offsets: np.ndarray | None = None
        self.pts_s: np.ndarray | None = None
        if self.level == "frame":
            self.offsets = np.load(self.folder / "offsets.npy")
            self.pts_s = np.load(self.folder / "pts_s.npy", mmap_mode="r")
        self._row: dict[str, int] | None = None
        self._check()

    def _check(self) -> None:
        rows = len(self.ids) if self.offsets is None else int(self.offsets[-1])
        ids = len(self.ids) if self.offsets is None else len(self.offsets) - 1
        if self.vectors.shape != (rows, self.spec.dim) or ids != len(self.ids):
            raise StoreError(
                "the store's files do not fit together",
                where=self.folder,
                got=f"vectors {self.vectors.shape}, {len(self.ids)} ids",
                wanted=f"({rows}, {self.spec.dim})",
            )

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the ids in order."""
        return ids_fingerprint(self.ids)

    @cached_property
    def problems(self) -> list[Problem]:
        """Shots that are partial or failed."""
        lines = (self.folder / "problems.tsv").read_text(encoding="utf-8").splitlines()
        return [Problem(*line.split("\t", 2)) for line in lines]  # type: ignore[arg-type]

    def index(self, ids: Sequence[str]) -> np.ndarray:
        """(len(ids),) int64 positions of `ids` in the store, in their order.

        Raises:
            UnknownIdError: an id has no vector here; says which failed in extraction.
        """
        if self._row is None:
            self._row = {shot: row for row, shot in enumerate(self.ids)}
        missing = [shot for shot in ids if shot not in self._row]
        if missing:
            failed = {p.shot: p.reason for p in self.problems if p.status == "failed"}
            reasons = [f"{shot} (failed: {failed[shot]})" if shot in failed else shot for shot in missing]
            raise UnknownIdError(
                f"{len(missing)} of {len(ids)} shots have no vector in the store", where=self.folder, got=some(reasons)
            )
        return np.fromiter((self._row[shot] for shot in ids), dtype=np.int64, count=len(ids))

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """(len(ids), D) vectors of shots in the order of `ids`, in the stored dtype (shot-level stores).

        Raises:
            UnknownIdError: an id has no vector here.
            StoreError: this is a frame-level store.
        """
        if self.offsets is not None:
            raise StoreError("a frame-level store has several rows per shot", where=self.folder, wanted="frames(shot)")
        rows: np.ndarray = self.vectors[self.index(ids)]
        return rows

    def frames(self, shot: str) -> np.ndarray:
        """(F, D) vectors of one shot, in time order: its frames, or its one row at shot level."""
        row = int(self.index([shot])[0])
        if self.offsets is None:
            return self.vectors[row : row + 1]
        return self.vectors[self.offsets[row] : self.offsets[row + 1]]


def sync(path: Path) -> None:
    """Have the disk hold what was written to `path`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
