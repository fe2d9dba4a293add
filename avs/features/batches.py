"""Frames of many shots to batches of images, in worker processes: the decoding half of extraction.

The table is cut into units of `batch_size` consecutive shots. A batch never crosses a unit, and a unit that was not
finished is done again whole. So the content of every batch, and with it every bit of every vector, is the same
whatever the number of workers, the order they finish in, and where an earlier run was killed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from avs.core.errors import AvsError, DataError
from avs.core.frames import FrameSource, ShotFrames
from avs.core.shots import Shot, ShotTable
from avs.core.store import Status
from avs.features.preprocess import Geometry

BATCHES_AHEAD = 2  # a worker; memory is workers * BATCHES_AHEAD * batch_size images


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of one shot: the times of its (F,) frames, and why any are missing."""

    shot: str
    pts_s: np.ndarray
    status: Status
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some images of one unit, in order.

    Attributes:
        unit: its number.
        images: one (B, 3, S, S) uint8 array for every geometry.
        outcomes: of all shots of the unit, in order, in its last batch; empty before.
    """

    unit: int
    images: tuple[np.ndarray | Tensor, ...]
    outcomes: tuple[Outcome, ...] = ()

    def pin_memory(self) -> Batch:
        """This batch in page-locked memory; called by the DataLoader for CUDA."""
        return replace(self, images=tuple(torch.as_tensor(images).pin_memory() for images in self.images))


class Units:
    """A shot table cut into units of consecutive shots, and the units into jobs that end where a video ends.

    A job is what one worker reads in one go, so a video is decoded in one pass; short videos share a job.

    Attributes:
        first: (U + 1,) row of each unit's first shot.
        job: (U,) job of each unit.
    """

    def __init__(self, table: ShotTable, shots_per_unit: int) -> None:
        first, job, number, start = [], [], 0, 0
        ends = [
            row + 1 for row in range(len(table)) if row + 1 == len(table) or table.videos[row] != table.videos[row + 1]
        ]
        for end in ends:
            if end - start < shots_per_unit and end != len(table):
                continue
            rows = range(start, end, shots_per_unit)
            first += rows
            job += [number] * len(rows)
            number, start = number + 1, end
        self.first = np.array([*first, len(table)], dtype=np.int64)
        self.job = np.array(job, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.job)

    def rows(self, unit: int) -> range:
        """The rows of the table that are in `unit`."""
        return range(int(self.first[unit]), int(self.first[unit + 1]))


class Batches(IterableDataset[Batch]):
    """The batches of the units to do; each worker process gives those of its own jobs.

    Errors of avs come out as items, since a DataLoader would bury them in a traceback of its own.
    """

    def __init__(
        self,
        table: ShotTable,
        source: FrameSource,
        units: Units,
        todo: np.ndarray,
        geometries: Sequence[Geometry],
        batch_size: int,
    ) -> None:
        self.source, self.units, self.todo = source, units, todo
        self.geometries, self.batch_size = tuple(geometries), batch_size
        # Columns, not Shot objects: a worker gets a copy, and collections hold a million shots.
        self.ids, self.videos = np.array(table.ids, dtype=np.bytes_), np.array(table.videos, dtype=np.bytes_)
        self.start_s, self.end_s = table.start_s, table.end_s

    def __iter__(self) -> Iterator[Batch | AvsError]:  # type: ignore[override]
        worker = get_worker_info()
        number, count = (worker.id, worker.num_workers) if worker else (0, 1)
        try:
            for job, units in groupby(np.flatnonzero(self.todo).tolist(), key=lambda unit: int(self.units.job[unit])):
                if job % count == number:
                    yield from self._job(list(units))
        except AvsError as error:
            yield error

    def _job(self, units: Sequence[int]) -> Iterator[Batch]:
        frames = self._frames([row for unit in units for row in self.units.rows(unit)])
        for unit in units:
            yield from self._unit(unit, frames)

    def _frames(self, rows: Sequence[int]) -> Iterator[ShotFrames]:
        for video, group in groupby(rows, key=lambda row: self.videos[row]):
            shots = [self._shot(row) for row in group]
            answered = iter(self.source.read(video.decode(), shots))
            for shot in shots:
                frames = next(answered, None)
                if frames is None or frames.shot != shot.id:
                    raise DataError(
                        "the frame source left out a shot", where=shot.id, got=frames.shot if frames else "its end"
                    )
                yield frames

    def _shot(self, row: int) -> Shot:
        start_s, end_s = float(self.start_s[row]), float(self.end_s[row])
        return Shot(self.ids[row].decode(), self.videos[row].decode(), start_s, end_s)

    def _unit(self, unit: int, frames: Iterator[ShotFrames]) -> Iterator[Batch]:
        waiting = [tuple(np.empty((0, 3, g.size, g.size), dtype=np.uint8) for g in self.geometries)]
        count, outcomes = 0, []
        for _ in self.units.rows(unit):
            shot = next(frames)
            outcomes.append(Outcome(shot.shot, shot.pts_s, shot.status, shot.reason))
            for start in range(0, len(shot.data), self.batch_size):
                piece = shot.data[start : start + self.batch_size]
                waiting.append(tuple(geometry.apply(piece) for geometry in self.geometries))
                count += len(piece)
                if count >= self.batch_size:
                    images = _join(waiting)
                    yield Batch(unit, tuple(each[: self.batch_size] for each in images))
                    waiting, count = [tuple(each[self.batch_size :] for each in images)], count - self.batch_size
        yield Batch(unit, _join(waiting), tuple(outcomes))


def _join(pieces: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    """The pieces' images as one array for each geometry."""
    return tuple(np.concatenate(images) for images in zip(*pieces, strict=True))


def load_batches(batches: Batches, *, workers: int, pin: bool) -> Iterator[Batch]:
    """The batches as they become ready, decoded in `workers` processes (0: in this one).

    Workers are spawned: this process may hold threads and a CUDA context, which a fork would copy half of, and a
    forkserver's workers would outlive this process when it is killed.

    Raises:
        AvsError: what a worker met.
    """
    if workers == 0:
        loader: DataLoader[Batch] = DataLoader(batches, batch_size=None, pin_memory=pin)
    else:
        loader = DataLoader(
            batches,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=BATCHES_AHEAD,
            multiprocessing_context="spawn",
            in_order=False,
            pin_memory=pin,
        )
    for item in loader:
        if isinstance(item, AvsError):
            raise item
        yield item
