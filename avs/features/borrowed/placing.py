"""Which shot each borrowed row belongs to, and in what order a store has them.

A row's name is that of a shot of the table; or of a video that has one shot there, which is then meant. At frame level
the name is followed by "_" and the number of the frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from avs.core.bigfile import FRAME_ID
from avs.core.errors import FormatError, Problems
from avs.core.ids import some
from avs.core.shots import ShotTable
from avs.core.store import Level
from avs.features.borrowed.rows import BorrowedRows

Begin = Literal["shot", "video"]


@dataclass(frozen=True, slots=True)
class FrameNumbers:
    """What the numbers of frames mean.

    Attributes:
        per_s: numbers a second.
        begin: whether number 0 is the first frame of the shot or of the video.
    """

    per_s: float
    begin: Begin = "shot"


@dataclass(frozen=True, slots=True, eq=False)
class PlacedRows:
    """Rows in the order of a store.

    Attributes:
        order: (R,) int64 positions of the rows, shot after shot of the table, in time.
        counts: (S,) int32 rows of each of the S shots of the table; 0: there are none.
        pts_s: (R,) seconds of the rows from the first frame of the video; at shot level the middle of the shot.
        videos: number of rows that were named after a video.
    """

    order: np.ndarray
    counts: np.ndarray
    pts_s: np.ndarray
    videos: int

    @property
    def in_order(self) -> bool:
        """Whether all rows stand in that order already."""
        return bool((self.order == np.arange(len(self.order))).all())


def place_rows(
    rows: BorrowedRows, table: ShotTable, *, level: Level, numbers: FrameNumbers | None = None, allow_missing: bool
) -> PlacedRows:
    """Find the shot of every row.

    Args:
        numbers: what frame numbers mean; None: the rows come with seconds, or are of shots.
        allow_missing: whether shots of the table may have no row.

    Raises:
        FormatError: names that the table does not have, that occur twice, that name no frame, frames that lie outside
            their shot, shots without a row; all at once.
    """
    problems = Problems(f"the features of {rows.folder} do not fit the shot table")
    shots, frames = (rows.names, None) if level == "shot" else _frames(rows.names, problems)
    shot_row, videos = _rows_of(shots, table)
    unknown = [name for name, row in zip(rows.names, shot_row.tolist(), strict=True) if row < 0]
    if unknown:
        problems.add("ids", f"{len(unknown)} of {len(rows)} ids are not in the table: {some(unknown)}")
    counts = np.bincount(shot_row[shot_row >= 0], minlength=len(table)).astype(np.int32)
    _add_repeated(rows.names, shot_row, frames, problems)
    missing = [table.ids[row] for row in np.flatnonzero(counts == 0).tolist()]
    if missing and not allow_missing:
        problems.add("shots", f"{len(missing)} of {len(table)} shots have no features: {some(missing)}")
    if level == "shot":
        pts_s = (table.start_s[shot_row] + table.end_s[shot_row]) / 2
    else:
        pts_s = _seconds(rows, table, shot_row, frames, numbers)
        _add_outside(rows.names, table, shot_row, pts_s, numbers, problems)
    problems.raise_if_any(FormatError, next_step=_next_step(unknown, missing, level, table))
    order = np.lexsort((pts_s, shot_row))
    return PlacedRows(order, counts, pts_s[order], videos)


def _frames(names: Sequence[str], problems: Problems) -> tuple[list[str], np.ndarray]:
    """The shot and the number of every frame; "" and -1 of names without one."""
    found = [FRAME_ID.fullmatch(name) for name in names]
    wrong = [name for name, match in zip(names, found, strict=True) if match is None]
    if wrong:
        problems.add("ids", f"{len(wrong)} are not <shot>_<frame number>: {some(wrong)}")
    numbers = np.array([int(match["number"]) if match else -1 for match in found], dtype=np.int64)
    return [match["video"] if match else "" for match in found], numbers


def _rows_of(shots: Sequence[str], table: ShotTable) -> tuple[np.ndarray, int]:
    """(N,) the row of each shot in the table, -1 of an unknown one; and how many are named after a video."""
    row = {shot: place for place, shot in enumerate(table.ids)}
    shots_of = Counter(table.videos)
    single = {video: place for place, video in enumerate(table.videos) if shots_of[video] == 1}
    found = np.fromiter((row.get(shot, single.get(shot, -1)) for shot in shots), np.int64, len(shots))
    return found, sum(shot not in row and shot in single for shot in shots)


def _add_repeated(names: Sequence[str], shot_row: np.ndarray, frames: np.ndarray | None, problems: Problems) -> None:
    numbers = np.zeros(len(shot_row), np.int64) if frames is None else frames
    order = np.lexsort((numbers, shot_row))
    same = (np.diff(shot_row[order]) == 0) & (np.diff(numbers[order]) == 0) & (shot_row[order][1:] >= 0)
    twice = [names[row] for row in order[1:][same & (numbers[order][1:] >= 0)].tolist()]
    if twice:
        problems.add("ids", f"{len(twice)} occur more than once: {some(twice)}")


def _seconds(
    rows: BorrowedRows, table: ShotTable, shot_row: np.ndarray, frames: np.ndarray | None, numbers: FrameNumbers | None
) -> np.ndarray:
    if rows.pts_s is not None:
        return rows.pts_s.astype(np.float64)
    assert frames is not None and numbers is not None
    first_s = table.start_s[shot_row] if numbers.begin == "shot" else 0.0
    seconds: np.ndarray = first_s + frames / numbers.per_s
    return seconds


def _add_outside(
    names: Sequence[str],
    table: ShotTable,
    shot_row: np.ndarray,
    pts_s: np.ndarray,
    numbers: FrameNumbers | None,
    problems: Problems,
) -> None:
    slack_s = 1 / numbers.per_s if numbers else 0.0  # a last frame may be cut at the end of its shot
    inside = (table.start_s[shot_row] - slack_s <= pts_s) & (pts_s <= table.end_s[shot_row] + slack_s)
    outside = np.flatnonzero(~inside & (shot_row >= 0)).tolist()
    if outside:
        told = [f"{names[row]} at {pts_s[row]:.6g} s" for row in outside[:5]]
        cause = "; other numbers a second (--fps), or --numbers-from video or shot?" if numbers else ""
        problems.add("frames", f"{len(outside)} of {len(names)} lie outside their shot: {', '.join(told)}{cause}")


def _next_step(unknown: Sequence[str], missing: Sequence[str], level: Level, table: ShotTable) -> str | None:
    matches = [FRAME_ID.fullmatch(name) for name in unknown[:100]] if level == "shot" else []
    if any(match and match["video"] in table for match in matches):
        return "the ids look like frames of shots: --level frame --fps N"
    if unknown:
        return f"the table has {table.ids[0]} .. {table.ids[-1]}; is it that of this collection?"
    return "--allow-missing makes each such shot a row of problems.tsv" if missing else None
