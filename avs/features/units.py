"""A shot table cut into units and jobs, which the table and the batch size alone decide.

A unit is what is computed in the same way whoever does it: up to `batch_size` consecutive shots. A job is what one
worker does in one go and what is written as one part: some units.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from avs.core.shots import ShotTable

SHOTS_PER_JOB = 128  # about half a minute of work, which a kill loses
JOBS_WORTH = 64  # jobs that a small collection has at least, where its videos and the batch size allow it


class Units:
    """The units of a table, and the jobs they belong to.

    Units are cut within runs of whole videos, of at least `batch_size` shots each. A job has about SHOTS_PER_JOB shots,
    less in a small table. Short videos share one, and a long one is cut where a unit begins.

    Args:
        table: the shots.
        batch_size: number of shots in a unit, at most.
        uncut: videos that one job must read from end to end.

    Attributes:
        first: (U + 1,) row of each unit's first shot.
        job: (U,) job of each unit.
        first_unit: (J + 1,) first unit of each job.
    """

    def __init__(self, table: ShotTable, batch_size: int, uncut: Collection[str] = ()) -> None:
        videos = np.array(table.videos)
        begins = np.flatnonzero(np.append(True, videos[1:] != videos[:-1]))  # rows at which a video begins
        runs = _bundles(begins, len(table), batch_size)
        self.first = np.append(np.concatenate([np.arange(*run, batch_size) for run in runs]), len(table))
        per_job = max(batch_size, min(SHOTS_PER_JOB, -(-len(table) // JOBS_WORTH)))
        bundles = _bundles(np.array([start for start, _ in runs]), len(table), per_job)
        whole = [video in uncut for video in videos[begins].tolist()]
        uncut_row = np.repeat(whole, np.diff(begins, append=len(table)))
        uncut_row[begins] = False
        begins_job = np.zeros(len(self), dtype=bool)
        for start, end in bundles:
            units = np.arange(*np.searchsorted(self.first, [start, end]))
            pieces = max(1, round((end - start) / per_job))
            middle = (self.first[units] + self.first[units + 1]) / 2
            piece = (middle - start) * pieces // (end - start)
            cut = units[np.flatnonzero(np.diff(piece, prepend=-1))]
            begins_job[cut[~uncut_row[self.first[cut]]]] = True
        self.job = np.cumsum(begins_job) - 1
        self.first_unit = np.append(np.flatnonzero(begins_job), len(self))

    def __len__(self) -> int:
        return len(self.first) - 1

    @property
    def jobs(self) -> int:
        """Number of jobs."""
        return len(self.first_unit) - 1

    @property
    def first_of_job(self) -> np.ndarray:
        """(J + 1,) row of each job's first shot."""
        rows: np.ndarray = self.first[self.first_unit]
        return rows

    def rows(self, unit: int) -> range:
        """The rows of the table that are in `unit`."""
        return range(int(self.first[unit]), int(self.first[unit + 1]))

    def of_job(self, job: int) -> range:
        """The units of a job."""
        return range(int(self.first_unit[job]), int(self.first_unit[job + 1]))


def _bundles(begins: np.ndarray, end: int, least: int) -> list[tuple[int, int]]:
    """Consecutive stretches [start, end) that begin at some of `begins`, with `least` rows; the last may be short."""
    starts = [0]
    for row in begins.tolist():
        if row - starts[-1] >= least:
            starts.append(row)
    return list(zip(starts, [*starts[1:], end], strict=True))
