"""The writer of feature stores: it writes parts while extraction runs, and one matrix in the table's order at the end.

A part is one file, renamed into place when it is complete, so a kill loses at most what was not flushed.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from avs.core.artifacts import Manifest, atomic_write, complete_folder, read_manifest, write_manifest
from avs.core.errors import ChangedInputsError, DataError, StoreError
from avs.core.ids import some
from avs.core.spec import EmbedderSpec
from avs.core.store import STORE_TYPE, FeatureStore, Level, Status, length_tolerance, off_unit_length


@dataclass(frozen=True, slots=True, eq=False)
class ShotFeatures:
    """The features of one shot.

    Attributes:
        shot: its id.
        vectors: (F, D) float, a row per frame or clip; F = 1 at shot level, F = 0 when the shot failed.
        pts_s: (F,) seconds of the rows; at shot level one value, the middle.
        status, reason: "ok"; or "partial" or "failed", and why.
        tally: what else is counted; the manifest's counts have the sums.
    """

    shot: str
    vectors: np.ndarray
    pts_s: np.ndarray
    status: Status = "ok"
    reason: str = ""
    tally: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    path: Path
    shots: list[str]
    status: list[str]
    reason: list[str]
    tally: dict[str, int]  # of all shots
    offsets: np.ndarray  # (n+1,) rows of each shot within the part


class FeatureWriter:
    """Collects features of shots in any order and commits them as a FeatureStore.

    Args:
        folder: where the store is written.
        manifest: config (with "level"), inputs and spec that decide the content; parts of another are refused.
        dtype: of the stored vectors.

    Raises:
        ChangedInputsError: `folder` has parts that were made from other inputs or settings.
    """

    def __init__(self, folder: Path, manifest: Manifest, *, dtype: str = "float16") -> None:
        self.folder, self.manifest, self.dtype = Path(folder), manifest, np.dtype(dtype)
        if manifest.spec is None or manifest.type != STORE_TYPE:
            raise StoreError("a feature store's manifest needs a spec", got=manifest.type, wanted=STORE_TYPE)
        self.spec = EmbedderSpec.from_json(dict(manifest.spec))
        self.level: Level = manifest.config["level"]
        self.parts = self.folder / "parts"
        self._pending: list[ShotFeatures] = []
        self._open_parts()
        self.done: set[str] = {shot for part in self._parts() for shot in part.shots}

    def _open_parts(self) -> None:
        if self.parts.is_dir() and (self.parts / "manifest.json").is_file():
            if read_manifest(self.parts)["fingerprint"] != self.manifest.fingerprint:
                raise ChangedInputsError(
                    "parts of a store with other inputs or settings are in the way",
                    where=self.parts,
                    next_step="choose another -o, or start over with --force",
                )
            return
        self.parts.mkdir(parents=True, exist_ok=True)
        write_manifest(self.parts, self.manifest)

    def add(self, features: ShotFeatures) -> None:
        """Add one shot; it is safe on disk after the next flush.

        Raises:
            DataError: a vector of the wrong dimension, not finite, all zero, or not of length 1 where the spec says so;
                a status that does not fit.
        """
        self._check(features)
        self._pending.append(features)
        self.done.add(features.shot)

    def _check(self, features: ShotFeatures) -> None:
        vectors = features.vectors
        if features.shot in self.done:
            raise DataError("a shot was extracted twice", where=features.shot)
        if (features.status == "failed") != (len(vectors) == 0) or (features.status == "ok") != (not features.reason):
            raise DataError(
                "status, reason and vectors do not fit together",
                where=features.shot,
                got=(features.status, features.reason, vectors.shape),
            )
        if len(vectors) and vectors.shape[1:] != (self.spec.dim,):
            raise DataError(
                "a vector of the wrong dimension", where=features.shot, got=vectors.shape, wanted=self.spec.dim
            )
        stored = vectors.astype(self.dtype)
        if not np.isfinite(stored).all():
            raise DataError(
                f"features that are not finite in {self.dtype}",
                where=features.shot,
                got=f"largest magnitude {np.abs(vectors).max()}",
                next_step="check the weights, or use --compute-dtype float32 and --store-dtype float32",
            )
        if len(stored) and not stored.any(axis=1).all():
            raise DataError("a feature vector is all zero", where=features.shot)
        if self.spec.normalised and (off := off_unit_length(stored)).any():
            lengths = np.linalg.norm(stored[off].astype(np.float32), axis=1)
            raise DataError(
                "a feature vector has not the length 1 that the spec of its encoder says",
                where=features.shot,
                got=f"length {lengths[0]:.6g}" + (f", and {len(lengths) - 1} more" if len(lengths) > 1 else ""),
                wanted=f"1, to {length_tolerance(self.dtype):g}",
                next_step="divide the vectors by their lengths in the encoder's family, or say normalised=False there",
            )

    def flush(self) -> None:
        """Write the pending shots as one part."""
        if not self._pending:
            return
        lengths = [len(f.vectors) for f in self._pending]
        vectors = [f.vectors.astype(self.dtype).reshape(-1, self.spec.dim) for f in self._pending]
        number = 1 + max((int(p.stem) for p in self.parts.glob("*.npz")), default=-1)
        with atomic_write(self.parts / f"{number:06d}.npz", "wb") as file:
            np.savez(
                file,
                vectors=np.concatenate(vectors),
                pts_s=np.concatenate([np.asarray(f.pts_s, dtype=np.float64) for f in self._pending]),
                offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
                shots=np.array([f.shot for f in self._pending]),
                status=np.array([f.status for f in self._pending]),
                reason=np.array([f.reason.replace("\n", " ").replace("\t", " ") for f in self._pending]),
                tally=np.array(json.dumps(_sum(f.tally for f in self._pending))),
            )
        self._pending.clear()

    def _parts(self) -> Iterator[_Part]:
        for path in sorted(self.parts.glob("*.npz")):
            with np.load(path) as part:
                columns = {name: part[name].tolist() for name in ("shots", "status", "reason")}
                tally = json.loads(str(part["tally"])) if "tally" in part else {}  # of an older avs
                yield _Part(path, columns["shots"], columns["status"], columns["reason"], tally, part["offsets"])

    def commit(self, order: Sequence[str], *, seconds: float = 0.0) -> FeatureStore:
        """Put the parts together in `order`, write the manifest, remove the parts, and open the store.

        Raises:
            StoreError: a shot of `order` was never added, or all of them failed.
        """
        self.flush()
        parts = list(self._parts())
        length = {
            shot: int(part.offsets[i + 1] - part.offsets[i]) for part in parts for i, shot in enumerate(part.shots)
        }
        missing = [shot for shot in order if shot not in length]
        if missing:
            raise StoreError(f"{len(missing)} shots were not extracted", where=self.folder, got=some(missing))
        kept = [shot for shot in order if length[shot]]
        notes = {s: (st, r) for p in parts for s, st, r in zip(p.shots, p.status, p.reason, strict=True) if st != "ok"}
        if not kept:
            reasons = sorted({reason for _, reason in notes.values()})
            raise StoreError(f"all {len(order)} shots failed", where=self.folder, got=some(reasons, shown=3))
        hashes = self._write_matrix(parts, kept, length)
        with atomic_write(self.folder / "problems.tsv") as file:
            file.writelines(f"{s}\t{notes[s][0]}\t{notes[s][1]}\n" for s in order if s in notes)
        with atomic_write(self.folder / "ids.txt") as file:
            file.writelines(f"{shot}\n" for shot in kept)
        tally = _sum(part.tally for part in parts)
        complete_folder(self.folder, self._final_manifest(order, kept, notes, tally, seconds), hashes)
        shutil.rmtree(self.parts)
        return FeatureStore(self.folder)

    def _final_manifest(
        self,
        order: Sequence[str],
        kept: Sequence[str],
        notes: dict[str, tuple[str, str]],
        tally: dict[str, int],
        seconds: float,
    ) -> Manifest:
        partial = sum(status == "partial" for status, _ in notes.values())
        counts = {"ok": len(kept) - partial, "partial": partial, "failed": len(order) - len(kept), **tally}
        m = self.manifest
        return Manifest(m.type, m.config, m.inputs, m.spec, counts, seconds, m.command, paths=m.paths)

    def _write_matrix(self, parts: list[_Part], kept: list[str], length: dict[str, int]) -> dict[str, str]:
        """Write the arrays in the order of `kept`.

        Returns:
            The hash of vectors.npy.
        """
        offsets = np.concatenate([[0], np.cumsum([length[shot] for shot in kept])]).astype(np.int64)
        start = dict(zip(kept, offsets[:-1].tolist(), strict=True))
        rows = int(offsets[-1])
        pts_s = np.empty(rows)
        with atomic_write(self.folder / "vectors.npy", "w+b") as file:
            matrix = _Matrix(file, self.dtype, (rows, self.spec.dim))
            for part in parts:
                with np.load(part.path) as data:
                    part_vectors, part_pts = data["vectors"], data["pts_s"]
                for i, shot in enumerate(part.shots):
                    if shot in start:
                        source = slice(part.offsets[i], part.offsets[i + 1])
                        matrix.put(start[shot], part_vectors[source])
                        pts_s[start[shot] : start[shot] + length[shot]] = part_pts[source]
            content = matrix.hash()
        if self.level == "frame":
            for name, values in (("pts_s.npy", pts_s), ("offsets.npy", offsets)):
                with atomic_write(self.folder / name, "wb") as file:
                    np.save(file, values)
        return {"vectors.npy": content}


def _sum(tallies: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Name -> sum over all tallies; the names in the order of the alphabet."""
    total: Counter[str] = Counter()
    for tally in tallies:
        total.update(tally)
    return dict(sorted(total.items()))


class _Matrix:
    """An .npy file under way. Rows that come in order are hashed as they are written, and are not read again.

    Args:
        file: empty, open for writing and reading.
        dtype, shape: of the array, (rows, D).
    """

    def __init__(self, file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, int]) -> None:
        self.file = file
        description = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, description)
        file.write(header.getvalue())
        self.content = hashlib.sha256(header.getvalue())
        self.first, self.row_bytes = header.tell(), shape[1] * dtype.itemsize
        self.at = self.hashed = self.first  # the next byte to be written, and to be hashed

    def put(self, row: int, vectors: np.ndarray) -> None:
        """Write (n, D) vectors as the rows from `row` on."""
        data, place = np.ascontiguousarray(vectors).tobytes(), self.first + row * self.row_bytes
        if place != self.at:
            self.file.seek(place)
        self.file.write(data)
        self.at = place + len(data)
        if place == self.hashed:
            self.content.update(data)
            self.hashed = self.at

    def hash(self) -> str:
        """The hash of the whole file; reads what did not come in order."""
        self.file.seek(self.hashed)
        while block := self.file.read(2**20):
            self.content.update(block)
        return f"sha256:{self.content.hexdigest()}"
