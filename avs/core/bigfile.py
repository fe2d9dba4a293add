"""BigFile, the feature files of RUC's VisualSearch collections: read without copying, rows by id, and written.

    shape.txt     `N D`
    id.txt        N ids, separated by white space
    feature.bin   N x D float32, row after row

Frame features come as rows with ids `<video>_<frame number>`, in any order: a directory listing puts frame 10 before
frame 2. As in RUC's own reader, the frames of a video are those with its name, by their numbers. That reader answers a
request in the order of the file, each id once; here rows come in the order of the request.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from avs.core.artifacts import atomic_write, fingerprint_file
from avs.core.errors import DataError, FormatError, StoreError, UnknownIdError
from avs.core.ids import some
from avs.core.shots import ids_fingerprint
from avs.core.spec import EmbedderSpec
from avs.core.store import Level, Problem
from avs.core.text_files import read_text

UNSAFE = re.compile(r"[/\\\x00-\x08\x0e-\x1b\x7f]")  # path separators, and control characters that are no white space
FRAME_ID = re.compile("(?P<video>.+)_(?P<number>[0-9]{1,18})")
FILES = ("feature.bin", "id.txt", "shape.txt")
BLOCK_ROWS = 4096


class BigFile:
    """A BigFile folder, memory-mapped; it can be used wherever a FeatureStore is read.

    Such features have no text tower. Their spec holds a name, that of the folder, and a dimension. Two folders of the
    same name count as features of one model. The name of `MODEL/shot` and `MODEL/frame`, our stores' layout, is MODEL.

    Args:
        folder: with the three files.
        level: "frame": ids are `<video>_<frame number>`. Videos come in the order in which they first appear. If the
            rows are not by video and frame, they are copied in that order to an unnamed temporary file, which costs
            its size on the disk of temporary files at every opening.

    Attributes:
        ids: of the N shots (or videos).
        vectors: (rows, D) float32.
        offsets: frame level only: (N+1,) int64, the frames of shot i are rows offsets[i]:offsets[i+1].

    Raises:
        StoreError: a file is missing, or they do not fit together.
        FormatError: an id occurs twice or could be a path, a frame id has no number, or the text is not UTF-8.
    """

    def __init__(self, folder: Path, *, level: Level = "shot") -> None:
        self.folder, self.level = Path(folder), level
        missing = [name for name in FILES if not (self.folder / name).is_file()]
        if missing:
            raise StoreError(
                "not a BigFile", where=self.folder, got=f"no {', '.join(missing)}", wanted=", ".join(FILES)
            )
        rows, dim = self._shape()
        names = self._names()
        size = os.path.getsize(self.folder / "feature.bin")
        if len(names) != rows or size != 4 * rows * dim:
            raise StoreError(
                "the BigFile's files do not fit together",
                where=self.folder,
                got=f"{len(names)} ids, {size} bytes",
                wanted=f"{rows} ids, {4 * rows * dim} bytes ({rows} x {dim} float32)",
            )
        self.vectors: np.ndarray = np.memmap(self.folder / "feature.bin", np.float32, "r", shape=(rows, dim))
        self.offsets: np.ndarray | None = None
        self.ids = names if level == "shot" else self._group(names)
        self._row = {name: row for row, name in enumerate(self.ids)}
        if len(self._row) < len(self.ids):
            raise FormatError("ids occur twice", where=self.folder / "id.txt", got=some(_twice(self.ids)))
        place = self.folder.resolve()
        name = place.parent.name if place.name in ("shot", "frame") else place.name
        self.spec = bigfile_spec(name, dim)

    def _shape(self) -> tuple[int, int]:
        words = read_text(self.folder / "shape.txt").split()
        if len(words) != 2 or not all(re.fullmatch("0*[1-9][0-9]{0,17}", word) for word in words):
            raise StoreError(
                "not the shape of a BigFile", where=self.folder / "shape.txt", got=" ".join(words), wanted="N D"
            )
        return int(words[0]), int(words[1])

    def _names(self) -> tuple[str, ...]:
        text = read_text(self.folder / "id.txt")
        names = tuple(text.split())
        if UNSAFE.search(text):
            wrong = [name for name in names if UNSAFE.search(name)]
            raise FormatError(
                f"{len(wrong)} ids hold a path separator or a control character",
                where=self.folder / "id.txt",
                got=some([repr(name) for name in wrong]),
            )
        return names

    def _group(self, names: Sequence[str]) -> tuple[str, ...]:
        """The videos of frame ids; sets `offsets`, and puts `vectors` in order."""
        found = [FRAME_ID.fullmatch(name) for name in names]
        wrong = [name for name, match in zip(names, found, strict=True) if match is None]
        if wrong:
            raise FormatError(
                f"{len(wrong)} ids are not frame ids",
                where=self.folder / "id.txt",
                got=some(wrong),
                wanted="<video>_<frame number>",
            )
        place: dict[str, int] = {}
        video_of = np.array([place.setdefault(match["video"], len(place)) for match in found if match], dtype=np.int64)
        numbers = np.array([int(match["number"]) for match in found if match], dtype=np.int64)
        order = np.lexsort((numbers, video_of))
        same = (np.diff(video_of[order]) == 0) & (np.diff(numbers[order]) == 0)
        if same.any():
            twice = [names[row] for row in order[1:][same].tolist()]
            raise FormatError("frames occur twice", where=self.folder / "id.txt", got=some(twice))
        if (np.diff(order) != 1).any():
            self.vectors = _reordered(self.vectors, order)
        self.offsets = np.searchsorted(video_of[order], np.arange(len(place) + 1))
        return tuple(place)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the ids in order."""
        return ids_fingerprint(self.ids)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What serves as a manifest. Its fingerprint covers the three files (the first and last MiB of a large one)."""
        parts = " ".join([self.level, *(fingerprint_file(self.folder / name) for name in FILES)])
        return {"type": "bigfile", "fingerprint": f"sha256:{hashlib.sha256(parts.encode()).hexdigest()}", "config": {}}

    @property
    def problems(self) -> list[Problem]:
        """None are recorded."""
        return []

    def index(self, ids: Sequence[str]) -> np.ndarray:
        """(len(ids),) int64 positions of `ids`, in their order.

        Raises:
            UnknownIdError: an id is not there.
        """
        missing = [name for name in ids if name not in self._row]
        if missing:
            raise UnknownIdError(
                f"{len(missing)} of {len(ids)} ids are not in the BigFile",
                where=self.folder,
                got=some(missing),
            )
        return np.fromiter((self._row[name] for name in ids), np.int64, len(ids))

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """(len(ids), D) float32 in the order of the request; an id may occur twice.

        Raises:
            UnknownIdError: an id is not there.
            StoreError: this is read at frame level.
        """
        if self.offsets is not None:
            raise StoreError("a frame-level BigFile has several rows a video", where=self.folder)
        return np.asarray(self.vectors[self.index(ids)])


def _reordered(vectors: np.ndarray, order: np.ndarray) -> np.ndarray:
    """(N, D) rows in another order, memory-mapped from a temporary file that is gone when the array is."""
    try:
        with tempfile.TemporaryFile(prefix="avs-frames-") as file:
            for first in range(0, len(order), BLOCK_ROWS):
                file.write(vectors[order[first : first + BLOCK_ROWS]].tobytes())
            file.flush()  # written, not mapped: a full disk is an error here and would kill the process there
            return np.memmap(file, np.float32, "r", shape=vectors.shape)
    except OSError as error:
        wanted = f"{vectors.nbytes} bytes for the frames in order (TMPDIR names another folder)"
        raise OSError(error.errno, f"{error.strerror}; wanted {wanted}", tempfile.gettempdir()) from error


def _twice(ids: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return [name for name in ids if name in seen or seen.add(name)]  # type: ignore[func-returns-value]


def bigfile_spec(name: str, dim: int) -> EmbedderSpec:
    """The spec of the BigFile folder `name`: no encoder is known."""
    return EmbedderSpec(name, "bigfile", dim, 0, (), (), "", "", "", "", False)


def write_bigfile(folder: Path, ids: Sequence[str], blocks: Iterable[np.ndarray]) -> BigFile:
    """Write rows in the order of `ids`, from (B, D) blocks of any float type; shape.txt, written last, completes it.

    Raises:
        FormatError: an id contains white space, a path separator or a control character, or occurs twice.
        DataError: the blocks do not hold one row per id, or differ in dimension.
    """
    folder = Path(folder)
    bad = [name for name in ids if name.split() != [name] or UNSAFE.search(name)]
    if bad or len(set(ids)) < len(ids):
        raise FormatError("ids of a BigFile are words, each once", where=folder, got=some(bad or _twice(ids)))
    rows, dims = 0, set[int]()
    (folder / "shape.txt").unlink(missing_ok=True)
    with atomic_write(folder / "feature.bin", "wb") as file:
        for block in blocks:
            rows += len(block)
            dims.add(block.shape[1])
            file.write(np.ascontiguousarray(block, dtype="<f4").tobytes())
        if rows != len(ids) or len(dims) != 1:
            raise DataError(
                "the rows do not fit the ids",
                where=folder,
                got=f"{rows} rows of dimension {', '.join(map(str, sorted(dims)))}",
                wanted=f"{len(ids)} rows of one dimension",
            )
    with atomic_write(folder / "id.txt") as file:
        file.write(" ".join(ids))
    with atomic_write(folder / "shape.txt") as file:
        file.write(f"{rows} {dims.pop()}")
    return BigFile(folder)
