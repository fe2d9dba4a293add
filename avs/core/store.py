"""Feature stores: vectors of shots on disk, and the writer that makes them resumably.

A committed store is a folder:

    vectors.npy     (N, D) float16 or float32: one row per shot, or per frame
    vectors.bin     in its place where rows were borrowed by link: (N, D) float32, little-endian, without a header
    ids.txt         N shot ids, in the shot table's order
    offsets.npy     frame level only: (N+1,) int64, frames of shot i are rows offsets[i]:offsets[i+1]
    pts_s.npy       frame level only: (rows,) float64 seconds
    problems.tsv    shot, status (partial or failed), reason; failed shots have no row in vectors.npy
    videos.tsv      the videos it was made from and their hashes (avs.video.fingerprints)
    manifest.json   written last, with the hash of every file: without it the store is not complete
    extraction.json what making it took, without a hash (avs.features.account)
    .seen.json      size and time of each file when it was hashed last (avs.core.contents)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tokenize import TokenError
from typing import Any, Literal

import numpy as np

from avs.core.artifacts import read_manifest
from avs.core.contents import require_unchanged
from avs.core.errors import StoreError, UnknownIdError
from avs.core.ids import not_shot_ids, some
from avs.core.shots import ids_fingerprint
from avs.core.spec import EmbedderSpec
from avs.core.text_files import read_text

Level = Literal["shot", "frame"]
Status = Literal["ok", "partial", "failed"]
STORE_TYPE = "feature-store"
RAW_VECTORS = "vectors.bin"
AGAIN = "make the store again: avs extract-features ... --force"
# what NumPy raises of a damaged file
UNREADABLE = (EOFError, OSError, OverflowError, RecursionError, SyntaxError, TokenError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Problem:
    """A shot that was not extracted whole, and why."""

    shot: str
    status: Status
    reason: str


def length_tolerance(dtype: np.dtype[Any]) -> float:
    """How far the length of a unit vector may be off 1, in the dtype in which it is stored.

    float16 rounds every component by up to 2^-11 of it. float32 keeps what the arithmetic of an encoder leaves.
    """
    return 2e-3 if dtype.itemsize == 2 else 1e-4


def off_unit_length(vectors: np.ndarray) -> np.ndarray:
    """(rows,) bool: the rows of (rows, D) vectors that have not length 1."""
    lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
    off: np.ndarray = ~(np.abs(lengths - 1) <= length_tolerance(vectors.dtype))
    return off


class FeatureStore:
    """A complete store, memory-mapped.

    Args:
        folder: its folder.

    Raises:
        StoreError: the folder is no store, its making was interrupted, or its files are not as they were written.
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
        require_unchanged(self.folder, self.manifest, next_step=AGAIN, cls=StoreError)
        self.spec, self.level = self._made_by()
        raw = not (self.folder / "vectors.npy").is_file() and (self.folder / RAW_VECTORS).is_file()
        self.vectors: np.ndarray = self._raw() if raw else self._array("vectors.npy", kind="f", dimensions=2)
        self.ids: tuple[str, ...] = tuple(self._shot_ids().split())
        self.offsets: np.ndarray | None = None
        self.pts_s: np.ndarray | None = None
        if self.level == "frame":
            self.offsets = np.array(self._array("offsets.npy", kind="i", dimensions=1))
            self.pts_s = self._array("pts_s.npy", kind="f", dimensions=1)
        self._row: dict[str, int] | None = None
        self._check()

    def _made_by(self) -> tuple[EmbedderSpec, Level]:
        """The encoder and the level that the manifest names."""
        try:
            spec, level = EmbedderSpec.from_json(self.manifest["spec"]), self.manifest["config"]["level"]
        except (KeyError, TypeError, ValueError) as error:
            spec, level = None, f"{type(error).__name__}: {error}"
        if spec is None or level not in ("shot", "frame"):
            raise StoreError(
                "the manifest does not say what made the store",
                where=self.folder / "manifest.json",
                got=level,
                wanted='a spec with the fields of an encoder, and the config "level": "shot" or "frame"',
                next_step=f"put the file back, or {AGAIN}",
            )
        return spec, level

    def _array(self, name: str, *, kind: str, dimensions: int) -> np.ndarray:
        """The array of a file, memory-mapped."""
        path = self.folder / name
        try:
            array: np.ndarray = np.lib.format.open_memmap(path, mode="r")
            if (array.dtype.kind, array.ndim) == (kind, dimensions):
                return array
            got = f"{array.dtype}, shape {array.shape}"
        except UNREADABLE as error:
            got = f"{path.stat().st_size} bytes: {error}" if path.is_file() else "no such file"
        raise StoreError(
            "not an array of the store",
            where=path,
            got=got,
            wanted=f"a NumPy file of {'real' if kind == 'f' else 'whole'} numbers in {dimensions} dimensions",
            next_step=f"put the file back, or {AGAIN}",
        )

    def _raw(self) -> np.ndarray:
        """The array of a file without a header, memory-mapped."""
        path, row = self.folder / RAW_VECTORS, 4 * self.spec.dim
        size = path.stat().st_size
        if not size or size % row:
            raise StoreError(
                "not rows of the store",
                where=path,
                got=f"{size} bytes",
                wanted=f"a multiple of {row}: rows of {self.spec.dim} float32",
                next_step=f"put the file back, or {AGAIN}",
            )
        return np.memmap(path, "<f4", "r", shape=(size // row, self.spec.dim))

    def _shot_ids(self) -> str:
        """The text of ids.txt; every word of it is a shot id."""
        path = self.folder / "ids.txt"
        text = read_text(path, next_step=f"put the file back, or {AGAIN}")
        wrong = not_shot_ids(text)
        if wrong:
            raise StoreError(
                f"{len(wrong)} ids of the store are not shot ids",
                where=path,
                got=some([repr(one) for one in wrong]),
                wanted='shot<video>_<n> with n from 1, such as "shot00123_45"',
                next_step=f"put the file back, or {AGAIN}",
            )
        return text

    def _check(self) -> None:
        rows, ids, times = len(self.ids), len(self.ids), None
        if self.offsets is not None and self.pts_s is not None:
            ascend = len(self.offsets) > 0 and self.offsets[0] == 0 and bool((np.diff(self.offsets) > 0).all())
            rows, ids, times = int(self.offsets[-1]) if ascend else -1, len(self.offsets) - 1, len(self.pts_s)
        if self.vectors.shape != (rows, self.spec.dim) or ids != len(self.ids) or times not in (None, rows):
            frames = "" if self.offsets is None else f", offsets of {ids} shots and {rows} rows, {times} times"
            raise StoreError(
                "the store's files do not fit together",
                where=self.folder,
                got=f"vectors {self.vectors.shape}, {len(self.ids)} ids{frames}",
                wanted=f"({rows}, {self.spec.dim})",
                next_step=f"put the files back, or {AGAIN}",
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
        path = self.folder / "problems.tsv"
        lines = read_text(path, next_step=f"put the file back, or {AGAIN}").splitlines()
        rows = [line.split("\t", 2) for line in lines]
        wrong = [n for n, row in enumerate(rows, start=1) if len(row) < 3 or row[1] not in ("partial", "failed")]
        if wrong:
            raise StoreError(
                f"{len(wrong)} lines are not problems of shots",
                where=f"{path}:{wrong[0]}",
                got=repr(lines[wrong[0] - 1]),
                wanted="shot, partial or failed, and the reason, with tabs between them",
                next_step=f"put the file back, or {AGAIN}",
            )
        return [Problem(*row) for row in rows]  # type: ignore[arg-type]

    def index(self, ids: Sequence[str]) -> np.ndarray:
        """(len(ids),) int64 positions of `ids` in the store, in their order.

        Raises:
            UnknownIdError: an id has no vector here; says which failed in extraction.
            StoreError: a shot of the store occurs twice.
        """
        if self._row is None:
            self._row = {shot: row for row, shot in enumerate(self.ids)}
            if len(self._row) < len(self.ids):
                twice = [shot for shot, count in Counter(self.ids).items() if count > 1]
                raise StoreError("shots occur twice in the store", where=self.folder / "ids.txt", got=some(twice))
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
