"""The files of a store, written in one pass over its parts. Memory does not grow with the number of shots.

Every byte is hashed while it is written, so nothing is read again.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from avs.core.artifacts import Manifest, atomic_write
from avs.core.errors import StoreError
from avs.core.ids import some
from avs.core.store import Level
from avs.core.store_part import PartHeader, StorePart


@dataclass(slots=True)
class WrittenFiles:
    """What was written.

    Attributes:
        hashes: name of a file -> its hash.
        counts: number of shots that are ok, partial and failed, and what else their makers counted.
    """

    hashes: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: {"ok": 0, "partial": 0, "failed": 0})


def write_store_files(
    folder: Path,
    parts: Iterable[StorePart],
    ids: Sequence[str],
    *,
    level: Level,
    dtype: np.dtype[Any],
    shape: tuple[int, int],
    kept: int,
    linked: bool = False,
) -> WrittenFiles:
    """Write all files of a store but its manifest.

    Args:
        parts: all shots of `ids`, in their order.
        shape: (rows, D) of the vectors of all parts.
        kept: number of shots that have vectors.
        linked: whether the vectors of the parts are in a file already, so that they are not written.

    Raises:
        StoreError: the parts do not follow each other, or do not hold what they should; files may have been written.
    """
    done, next_shot, rows = WrittenFiles(), 0, 0
    with ExitStack() as stack:

        def opened(name: str) -> _HashedFile:
            return _HashedFile(stack.enter_context(atomic_write(folder / name, "wb")))

        files = {"ids.txt": opened("ids.txt"), "problems.tsv": opened("problems.tsv")}
        if level == "frame":
            files["offsets.npy"] = opened("offsets.npy")
            files["offsets.npy"].put_header(np.dtype(np.int64), (kept + 1,))
            files["offsets.npy"].put(bytes(8))  # the first shot begins at row 0
            files["pts_s.npy"] = opened("pts_s.npy")
            files["pts_s.npy"].put_header(np.dtype(np.float64), shape[:1])
        if not linked:
            files["vectors.npy"] = opened("vectors.npy")
            files["vectors.npy"].put_header(dtype, shape)
        for part in parts:
            if part.header.first != next_shot:
                raise StoreError("the parts do not follow each other", got=part.header.first, wanted=next_shot)
            _put(files, part, ids, rows)
            for _, status, _ in part.header.problems:
                done.counts[status] += 1
            for name, count in part.header.tally.items():
                done.counts[name] = done.counts.get(name, 0) + count
            next_shot, rows = next_shot + part.header.shots, rows + len(part.vectors)
        done.counts["ok"] = len(ids) - done.counts["partial"] - done.counts["failed"]
        found, wanted = (next_shot, rows, len(ids) - done.counts["failed"]), (len(ids), shape[0], kept)
        if found != wanted:
            raise StoreError("shots, rows and shots with vectors are not those of the parts", got=found, wanted=wanted)
        done.hashes = {name: file.hash() for name, file in files.items()}
    return done


def all_failed(parts: Iterable[PartHeader], *, where: Path) -> StoreError:
    """The error that says that no shot has vectors, with some reasons."""
    shots, reasons = 0, set()
    for part in parts:
        shots += part.shots
        reasons |= {reason for _, _, reason in part.problems}
    return StoreError(f"all {shots} shots failed", where=where, got=some(sorted(reasons), shown=3))


def finished_manifest(manifest: Manifest, written: WrittenFiles, seconds: float) -> Manifest:
    """The manifest of a store whose files were written."""
    m = manifest
    return Manifest(m.type, m.config, m.inputs, m.spec, written.counts, seconds, m.command, paths=m.paths)


def _put(files: dict[str, _HashedFile], part: StorePart, ids: Sequence[str], rows: int) -> None:
    """Append a part to the files, which have `rows` rows already."""
    first = part.header.first
    if "vectors.npy" in files:
        files["vectors.npy"].put(np.ascontiguousarray(part.vectors).data)
    seen = np.flatnonzero(part.counts)
    files["ids.txt"].put("".join(f"{ids[first + place]}\n" for place in seen.tolist()).encode())
    lines = [f"{ids[first + place]}\t{status}\t{reason}\n" for place, status, reason in part.header.problems]
    files["problems.tsv"].put("".join(lines).encode())
    if "pts_s.npy" in files:
        files["pts_s.npy"].put(np.ascontiguousarray(part.pts_s).data)
        files["offsets.npy"].put((rows + np.cumsum(part.counts[seen], dtype=np.int64)).data)


class _HashedFile:
    """A file that is written from its beginning to its end, and hashed on the way."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.content = hashlib.sha256()

    def put(self, data: bytes | memoryview) -> None:
        """Append bytes, or the bytes of an array."""
        self.file.write(data)
        self.content.update(data)

    def put_header(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """Append the header of an .npy file, as np.save writes it."""
        description = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, description)
        self.put(header.getvalue())

    def hash(self) -> str:
        """The hash of what was written."""
        return f"sha256:{self.content.hexdigest()}"
