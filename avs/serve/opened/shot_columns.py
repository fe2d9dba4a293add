"""The shots of a collection as columns, whose rows are the positions that everything in the server counts by.

A shot table of a million rows takes seconds to read as text. Its columns are kept in the cache, in a folder that is
named after the content of the table, and are memory-mapped when the server starts again. The manifest of the folder has
the hashes of its files: columns that were changed are made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from avs.core.artifacts import (
    Manifest,
    atomic_write,
    complete_folder,
    fingerprint_content,
    manifest_path,
    read_manifest,
)
from avs.core.contents import changed_files
from avs.core.errors import FormatError, UnknownIdError, did_you_mean
from avs.core.ids import natural_key, parse_shot_id
from avs.core.shots import ids_fingerprint, read_shot_table

IDS, VIDEOS, ARRAYS = "ids.txt", "videos.txt", ("first", "start_s", "end_s")
FILES = sorted([IDS, VIDEOS, *(f"{name}.npy" for name in ARRAYS)])
PREFIX, LONGEST_NUMBER = "shot", 18  # of a shot id; digits of its number
MANY = 50_000  # shots, for which a table of all ids is made


class ShotColumns:
    """N shots of V videos. The shots of a video are consecutive rows, in the order of the table.

    Args:
        ids: N shot ids; videos: V video ids.
        first: (V+1,) int64; the rows of video v are first[v]:first[v+1].
        start_s, end_s: (N,) float64 seconds; None: there is no shot table, so the times are not known.
    """

    def __init__(
        self,
        ids: Sequence[str],
        videos: Sequence[str],
        first: np.ndarray,
        start_s: np.ndarray | None = None,
        end_s: np.ndarray | None = None,
    ) -> None:
        self.ids, self.videos, self.first = tuple(ids), tuple(videos), np.asarray(first, dtype=np.int64)
        self.start_s, self.end_s = start_s, end_s
        self._video = {video: place for place, video in enumerate(self.videos)}
        self.fingerprint = ids_fingerprint(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, shot: object) -> bool:
        return isinstance(shot, str) and self._place(shot) >= 0

    def _place(self, shot: str) -> int:
        """The row of a shot, -1: there is none. A table of a million ids would take half a second to make.

        The shots of a video mostly are numbered from 1 without gaps; otherwise they are looked through.
        """
        video, _, number = shot[len(PREFIX) :].rpartition("_")
        place = self._video.get(video)
        if place is None:
            return -1
        first, stop = int(self.first[place]), int(self.first[place + 1])
        if number.isdecimal() and len(number) <= LONGEST_NUMBER:
            row = first + int(number) - 1
            if first <= row < stop and self.ids[row] == shot:
                return row
        try:
            return self.ids.index(shot, first, stop)
        except ValueError:
            return -1

    def has_video(self, video: str) -> bool:
        """Whether the collection has a shot of this video."""
        return video in self._video

    def row(self, shot: str) -> int:
        """The row of a shot.

        Raises:
            UnknownIdError: there is no such shot.
        """
        row = self._place(shot)
        if row < 0:
            raise UnknownIdError("no such shot", got=repr(shot[:80]), wanted=f"{self.ids[0]} .. {self.ids[-1]}")
        return row

    def rows(self, shots: Sequence[str]) -> np.ndarray:
        """(len(shots),) int64 rows.

        Raises:
            UnknownIdError: as row.
        """
        return np.fromiter((self.row(shot) for shot in shots), dtype=np.int64, count=len(shots))

    def known_rows(self, shots: Sequence[str]) -> np.ndarray:
        """(len(shots),) int64 rows; -1 of shots that the collection does not have."""
        if len(shots) < MANY:
            return np.fromiter(map(self._place, shots), dtype=np.int64, count=len(shots))
        row = {shot: row for row, shot in enumerate(self.ids)}
        return np.fromiter((row.get(shot, -1) for shot in shots), dtype=np.int64, count=len(shots))

    def rows_of(self, video: str) -> range:
        """The rows of a video.

        Raises:
            UnknownIdError: there is no such video.
        """
        if video not in self._video:
            near = did_you_mean(video, self.videos) if len(self.videos) <= 20_000 and len(video) <= 80 else ""
            raise UnknownIdError(f"no such video{near}", got=repr(video[:80]))
        place = self._video[video]
        return range(int(self.first[place]), int(self.first[place + 1]))

    def video_numbers(self, rows: np.ndarray) -> np.ndarray:
        """(R,) int64 number of the video of each of (R,) rows."""
        numbers: np.ndarray = np.searchsorted(self.first, rows, side="right") - 1
        return numbers

    def video_of(self, row: int) -> str:
        """The video of a shot."""
        return self.videos[int(np.searchsorted(self.first, row, side="right")) - 1]

    def times_s(self, row: int) -> tuple[float | None, float | None]:
        """When a shot starts and ends; None where times are not known."""
        if self.start_s is None or self.end_s is None:
            return None, None
        return float(self.start_s[row]), float(self.end_s[row])

    def without_times(self) -> bool:
        """Whether there was no shot table."""
        return self.start_s is None


def columns_of_ids(ids: Sequence[str]) -> ShotColumns:
    """The columns of shots without times, in natural order if the shots of a video do not follow each other."""
    videos, first = _videos(ids)
    if len(set(videos)) < len(videos):
        parsed = {shot: parse_shot_id(shot) for shot in ids}
        keys = {one.video: natural_key(one.video) for one in parsed.values()}
        ids = sorted(ids, key=lambda shot: (keys[parsed[shot].video], parsed[shot].number))
        videos, first = _videos(ids)
    return ShotColumns(ids, videos, first)


def open_columns(table: Path, cache: Path) -> ShotColumns:
    """The columns of a shot table: from the cache, or from the table, and then they are kept in the cache.

    Raises:
        FormatError: it is no shot table.
    """
    manifest = Manifest("shot-columns", inputs={"shots": fingerprint_content(table)}, paths={"shots": table})
    folder = cache / f"shots-{manifest.inputs['shots'].rpartition(':')[2][:24]}"
    try:
        return _read(folder)
    except (OSError, FormatError):
        pass  # never written, cut short, or changed: it is made again
    shots = read_shot_table(table)
    videos, first = _videos(shots.ids)
    columns = ShotColumns(shots.ids, videos, first, shots.start_s, shots.end_s)
    _write(columns, folder, manifest)
    return columns


def _videos(ids: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The videos of consecutive shots, and (V+1,) the first row of each."""
    videos, first = [], [0]
    for video, shots in groupby(ids, key=lambda shot: shot[4 : shot.rindex("_")]):
        videos.append(video)
        first.append(first[-1] + sum(1 for _ in shots))
    return videos, np.array(first, dtype=np.int64)


def _read(folder: Path) -> ShotColumns:
    """The columns of a folder.

    Raises:
        OSError, FormatError: it is not as it was written.
    """
    manifest = read_manifest(folder)
    if sorted(manifest.get("files") or {}) != FILES or changed_files(folder, manifest):
        raise FormatError("columns of shots that were changed", where=folder)
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
    ids = (folder / IDS).read_text(encoding="utf-8").split()
    videos = (folder / VIDEOS).read_text(encoding="utf-8").split()
    return ShotColumns(ids, videos, np.array(arrays["first"]), arrays["start_s"], arrays["end_s"])


def _write(columns: ShotColumns, folder: Path, manifest: Manifest) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    manifest_path(folder).unlink(missing_ok=True)  # a folder without a manifest is not complete
    for name in ARRAYS:
        with atomic_write(folder / f"{name}.npy", "wb") as file:
            np.save(file, getattr(columns, name), allow_pickle=False)
    for name, words in ((VIDEOS, columns.videos), (IDS, columns.ids)):
        with atomic_write(folder / name) as file:
            file.write("\n".join(words) + "\n")
    complete_folder(folder, manifest)
