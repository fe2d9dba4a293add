"""Shots, the unit of retrieval: each is a stretch of a video."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import StringIO
from pathlib import Path

import numpy as np

from avs.core.artifacts import atomic_write
from avs.core.errors import FormatError, Problems, UnknownIdError, did_you_mean
from avs.core.ids import natural_key, parse_shot_id
from avs.core.text_files import read_text

HEADER = "shot\tvideo\tstart_s\tend_s"


@dataclass(frozen=True, slots=True)
class Shot:
    """The stretch `[start_s, end_s)` of a video, in seconds from its first frame.

    Raises:
        FormatError: it starts before 0, or does not start before it ends.
    """

    id: str
    video: str
    start_s: float
    end_s: float

    def __post_init__(self) -> None:
        if not 0 <= self.start_s < self.end_s:
            raise FormatError(
                "a shot must start at or after 0 and before it ends",
                where=self.id,
                got=f"[{self.start_s}, {self.end_s})",
            )


class ShotTable:
    """The shots of a collection as columns, in natural order: by video, then by number.

    Args:
        ids: N shot ids, `shot<video>_<n>`.
        start_s, end_s: (N,) seconds; a shot is `[start_s, end_s)`.

    Raises:
        FormatError: malformed or repeated ids, or empty shots; names all problems at once.
    """

    def __init__(self, ids: Sequence[str], start_s: Sequence[float], end_s: Sequence[float]) -> None:
        starts, ends = np.asarray(start_s, dtype=np.float64), np.asarray(end_s, dtype=np.float64)
        if not len(ids) == len(starts) == len(ends):
            raise FormatError("columns of a shot table differ in length", got=(len(ids), len(starts), len(ends)))
        videos, numbers = _checked(ids, starts, ends)
        video_key = {video: natural_key(video) for video in set(videos)}  # thousands of videos, millions of shots
        order = sorted(range(len(ids)), key=lambda i: (video_key[videos[i]], numbers[i]))
        self.ids: tuple[str, ...] = tuple(ids[i] for i in order)
        self.videos: tuple[str, ...] = tuple(videos[i] for i in order)
        self.start_s, self.end_s = starts[order], ends[order]
        self._row = {shot: row for row, shot in enumerate(self.ids)}
        self._video_rows: dict[str, list[int]] = {}
        for row, video in enumerate(self.videos):
            self._video_rows.setdefault(video, []).append(row)

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, shot: object) -> bool:
        return shot in self._row

    def __iter__(self) -> Iterator[Shot]:
        return (self._shot(row) for row in range(len(self)))

    def _shot(self, row: int) -> Shot:
        return Shot(self.ids[row], self.videos[row], float(self.start_s[row]), float(self.end_s[row]))

    def get(self, shot: str) -> Shot:
        """The shot with this id.

        Raises:
            UnknownIdError: no shot has it.
        """
        if shot not in self._row:
            raise UnknownIdError(f'unknown shot "{shot}"', wanted=f"{self.ids[0]} .. {self.ids[-1]}")
        return self._shot(self._row[shot])

    @property
    def video_ids(self) -> tuple[str, ...]:
        """The videos in natural order, each once."""
        return tuple(self._video_rows)

    def of_video(self, video: str) -> list[Shot]:
        """The shots of one video, in order.

        Raises:
            UnknownIdError: the table has no shot of that video.
        """
        if video not in self._video_rows:
            raise UnknownIdError(f'no shot of video "{video}"{did_you_mean(video, self._video_rows)}')
        return [self._shot(row) for row in self._video_rows[video]]

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the ids in order: two stores fit together when it is the same."""
        return ids_fingerprint(self.ids)


def _checked(ids: Sequence[str], starts: np.ndarray, ends: np.ndarray) -> tuple[list[str], list[int]]:
    """The video and the number of every shot, when all ids and times are valid."""
    problems = Problems("shot table")
    if not ids:
        problems.add("table", "has no shots")
    videos, numbers = [], []
    for shot in ids:
        try:
            video, number = parse_shot_id(shot)
        except FormatError as error:
            problems.add(shot, error.what)
            continue
        videos.append(video)
        numbers.append(number)
    if len(set(ids)) < len(ids):
        for shot, times in Counter(ids).items():
            if times > 1:
                problems.add(shot, f"occurs {times} times")
    good = (starts >= 0) & (starts < ends) & (ends < np.inf)  # NaN compares false, so it is caught too
    for row in np.flatnonzero(~good):
        problems.add(ids[int(row)], f"start {starts[row]} s must be >= 0 and before end {ends[row]} s")
    problems.raise_if_any(FormatError)
    return videos, numbers


def ids_fingerprint(ids: Sequence[str]) -> str:
    """sha256 of ids in order, one per line."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def write_shot_table(table: ShotTable, path: Path) -> None:
    """Write the table as TSV with the header `shot video start_s end_s`, times to the microsecond."""
    with atomic_write(path) as file:
        file.write(HEADER + "\n")
        for shot in table:
            file.write(f"{shot.id}\t{shot.video}\t{shot.start_s:.6f}\t{shot.end_s:.6f}\n")


def read_shot_table(path: Path) -> ShotTable:
    """Read what `write_shot_table` wrote.

    Raises:
        FormatError: a wrong header; lines without four fields or with times that are no numbers, all at once.
    """
    problems = Problems(f"shot table {path}")
    ids: list[str] = []
    starts: list[float] = []
    ends: list[float] = []
    with StringIO(read_text(path), newline=None) as file:
        header = file.readline().rstrip("\r\n")
        if header != HEADER:
            raise FormatError(
                "not a shot table of avs",
                where=f"{path}:1",
                got=repr(header),
                wanted=repr(HEADER),
                next_step="import a master shot table with `avs shots --msb FOLDER -o shots.tsv`",
            )
        for number, line in enumerate(file, start=2):
            fields = line.rstrip("\r\n").split("\t")
            try:
                shot, video, start, end = fields
                start_s, end_s = float(start), float(end)
            except ValueError:
                problems.add(f"{path}:{number}", f"expected {HEADER!r}, got {line.rstrip()!r}")
                continue
            if not shot.startswith(f"shot{video}_"):
                problems.add(f"{path}:{number}", f"shot {shot} is not a shot of video {video}")
                continue
            ids.append(shot)
            starts.append(start_s)
            ends.append(end_s)
    problems.raise_if_any(FormatError)
    return ShotTable(ids, starts, ends)
