"""Borrowed features as VIDEO.npz files, one per video.

A file holds one array of rows, (N, D), and may hold one of these beside it:

    ids      (N,) text: the shot of each row, or <shot>_<frame number>
    pts_s    (N,) seconds of each row from the first frame of the video; at frame level

Without ids, the rows at shot level are the video's shots, all of them, in the order of the shot table; at frame level
each row belongs to the shot in which its second lies.
"""

from __future__ import annotations

import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from avs.core.errors import FormatError, Problems, UnknownIdError
from avs.core.ids import natural_key, some
from avs.core.shots import ShotTable
from avs.core.store import UNREADABLE, Level
from avs.features.borrowed.rows import BorrowedRows, LoadedShard, require_one_shape

IDS, TIMES = "ids", "pts_s"
DAMAGED = (*UNREADABLE, KeyError, zipfile.BadZipFile, zlib.error)


class VideoArrays(NamedTuple):
    """What one file holds: the name of its array of rows, its shape and dtype, and ids or seconds of the rows."""

    array: str
    shape: tuple[int, ...]
    dtype: str
    ids: np.ndarray | None
    pts_s: np.ndarray | None


def read_npz_by_video(folder: Path, table: ShotTable, *, level: Level, array: str | None = None) -> BorrowedRows:
    """The rows of all files, in natural order of the videos.

    Args:
        table: the shots that rows without ids are.
        array: name of the array of rows; None: there is only one.

    Raises:
        FormatError: files of no video, with pickled objects, several arrays, or rows that cannot be shots; all at once.
    """
    problems, found = Problems(f"files of {folder}"), dict[Path, VideoArrays]()
    names, times = list[str](), list[np.ndarray]()
    for path in sorted(folder.glob("*.npz"), key=lambda path: natural_key(path.stem)):
        try:
            held = found[path] = _look(path, array)
            names += _names(path, held, table, level)
            if held.pts_s is not None:
                times.append(held.pts_s)
        except (FormatError, UnknownIdError) as error:
            problems.add(path, error.what + (f": {error.got}" if error.got is not None else ""))
    problems.raise_if_any(FormatError)
    dim, dtype = require_one_shape({p.name: (held.shape, held.dtype) for p, held in found.items()}, where=folder)
    shards = [LoadedShard(held.shape[0], partial(_load, path, held.array)) for path, held in found.items()]
    if times and len(times) < len(found):
        lacking = [path.name for path, held in found.items() if held.pts_s is None]
        raise FormatError(
            f"{len(lacking)} of {len(found)} files have no {TIMES}",
            where=folder,
            got=some(lacking),
            next_step=f"put {TIMES} into all files, or into none and number the frames in {IDS}",
        )
    pts_s = np.concatenate(times) if times else None
    return BorrowedRows(folder, names, shards, dim, dtype, {path.name: path for path in found}, pts_s=pts_s)


def _load(path: Path, name: str) -> np.ndarray:
    """An array of a file.

    Raises:
        FormatError: it is damaged, or holds Python objects, which are never unpickled.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            array: np.ndarray = file[name]
            return array
    except DAMAGED as error:
        raise FormatError("the file cannot be read", got=f"{name}: {error}") from error


def _look(path: Path, name: str | None) -> VideoArrays:
    try:
        with zipfile.ZipFile(path) as file:
            arrays = [one.removesuffix(".npy") for one in file.namelist()]
    except DAMAGED as error:
        raise FormatError("not an npz file", got=error) from error
    rows = [one for one in arrays if one not in (IDS, TIMES)]
    if (len(rows) != 1) if name is None else (name not in rows):
        what = "not one array of rows; --array names it" if name is None else f'no array "{name}"'
        raise FormatError(what, got=some(rows) or "none")
    chosen = name or rows[0]
    array = _load(path, chosen)
    ids = _load(path, IDS) if IDS in arrays else None
    pts_s = _load(path, TIMES) if TIMES in arrays else None
    for what, beside, kinds in ((IDS, ids, "U"), (TIMES, pts_s, "fiu")):
        if beside is not None and (beside.shape != array.shape[:1] or beside.dtype.kind not in kinds):
            raise FormatError(f"{what} do not fit the rows", got=f"{beside.dtype} {beside.shape}, rows {array.shape}")
    return VideoArrays(chosen, array.shape, array.dtype.name, ids, pts_s)


def _names(path: Path, held: VideoArrays, table: ShotTable, level: Level) -> list[str]:
    """The names of the rows of a file.

    Raises:
        UnknownIdError: a video that the table does not have.
        FormatError: rows that are not its shots, or lie in none.
    """
    rows = held.shape[0] if held.shape else 0
    if held.ids is not None:
        return [str(one) for one in held.ids]
    shots = table.of_video(path.stem)
    if level == "shot":
        if rows != len(shots):
            raise FormatError(f"{rows} rows and no ids", got=f"the video has {len(shots)} shots in the table")
        return [shot.id for shot in shots]
    if held.pts_s is None:
        raise FormatError(f"rows of frames need {IDS} or {TIMES} in the file")
    starts, ends = np.array([shot.start_s for shot in shots]), np.array([shot.end_s for shot in shots])
    place = np.searchsorted(starts, held.pts_s, side="right") - 1
    outside = (place < 0) | ~(held.pts_s < ends[place])
    if outside.any():
        raise FormatError(f"{int(outside.sum())} rows lie in no shot", got=f"{some(held.pts_s[outside].tolist())} s")
    return [f"{shots[one].id}_{row}" for row, one in enumerate(place.tolist())]
