"""A part of a store that is being made: the features of consecutive shots, in one file that is whole or absent.

sha256 of all that follows, in 64 hexadecimal digits, and a line feed
a line of JSON: the fields of PartHeader
vectors     (rows, D) in the dtype of the store
pts_s       (rows,) float64
counts      (shots,) int32, the rows of each shot
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avs.core.errors import FormatError
from avs.core.store import Status

DIGITS = 64


@dataclass(frozen=True, slots=True)
class PartHeader:
    """What a part holds.

    Attributes:
        plan: fingerprint of the plan it belongs to.
        first: row of its first shot in the shot table.
        shots: number of its shots.
        kept: number of those that have vectors.
        rows: number of vectors.
        problems: place among the shots, status and reason of each one that is partial or failed.
        tally: what else is counted, of all shots.
    """

    plan: str
    first: int
    shots: int
    kept: int
    rows: int
    problems: tuple[tuple[int, Status, str], ...]
    tally: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class StorePart:
    """The features of consecutive shots of a table.

    Attributes:
        header: what it holds.
        vectors: (rows, D), shot after shot.
        pts_s: (rows,) float64 seconds.
        counts: (shots,) int32, the rows of each shot; 0 of those that failed.
    """

    header: PartHeader
    vectors: np.ndarray
    pts_s: np.ndarray
    counts: np.ndarray


def make_part(
    first: int,
    counts: Sequence[int],
    vectors: np.ndarray,
    pts_s: np.ndarray,
    problems: Sequence[tuple[int, Status, str]],
    tally: Mapping[str, int],
    *,
    plan: str = "",
) -> StorePart:
    """A part of the shots from row `first` of the table on; see PartHeader and StorePart."""
    lengths = np.asarray(counts, dtype=np.int32)
    header = PartHeader(plan, first, len(lengths), int((lengths > 0).sum()), len(vectors), tuple(problems), dict(tally))
    return StorePart(header, vectors, np.asarray(pts_s, dtype=np.float64), lengths)


def write_part(path: Path, part: StorePart, *, by: str) -> None:
    """Write a part, so that it is whole or absent; one that is there already stays.

    Args:
        by: who writes it, for a name that nobody else writes to.

    Raises:
        FileNotFoundError: the folder is no longer there.
        OSError: it cannot be written; names the file.
    """
    if path.exists():
        return
    beside = path.with_name(f".{path.name}.{by}")
    header = (json.dumps(asdict(part.header)) + "\n").encode()
    pieces = [header, *(np.ascontiguousarray(a).tobytes() for a in (part.vectors, part.pts_s, part.counts))]
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    try:
        with open(beside, "wb") as file:
            file.writelines([digest.hexdigest().encode() + b"\n", *pieces])
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        beside.unlink(missing_ok=True)


def read_header(path: Path) -> PartHeader:
    """What a part says that it holds; its bytes are not checked.

    Raises:
        FormatError: it is no part.
    """
    with open(path, "rb") as file:
        file.seek(DIGITS + 1)
        line = file.readline()
    return _header(path, line)


def read_part(path: Path, *, dtype: np.dtype[Any], dim: int) -> StorePart:
    """A part, when all its bytes are as they were written.

    Raises:
        FormatError: they are not; says how.
    """
    data = path.read_bytes()
    rest = memoryview(data)[DIGITS + 1 :]
    if hashlib.sha256(rest).hexdigest().encode() != data[:DIGITS] or data[DIGITS : DIGITS + 1] != b"\n":
        raise FormatError("its bytes are not those of its hash", where=path, got=f"{len(data)} bytes")
    end = data.index(b"\n", DIGITS + 1) + 1
    header = _header(path, data[DIGITS + 1 : end])
    kinds: tuple[np.dtype[Any], ...] = (dtype, np.dtype(np.float64), np.dtype(np.int32))
    sizes = (header.rows * dim, header.rows, header.shots)
    size = sum(count * kind.itemsize for kind, count in zip(kinds, sizes, strict=True))
    if end + size != len(data):
        raise FormatError("its size is not that of its header", where=path, got=len(data) - end, wanted=size)
    arrays = []
    for kind, size in zip(kinds, sizes, strict=True):
        arrays.append(np.frombuffer(data, kind, size, end))
        end += size * kind.itemsize
    vectors, pts_s, counts = arrays
    return StorePart(header, vectors.reshape(header.rows, dim), pts_s, counts)


def _header(path: Path, line: bytes) -> PartHeader:
    try:
        fields = json.loads(line)
        problems = tuple((int(place), status, str(reason)) for place, status, reason in fields.pop("problems"))
        tally = {str(name): int(count) for name, count in fields.pop("tally").items()}
        return PartHeader(**fields, problems=problems, tally=tally)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FormatError("its first lines are not those of a part", where=path, got=repr(line[:60])) from error
