"""Frames of many shots to batches of images or clips, the decoding half of extraction.

A batch never crosses a unit (avs.features.units), and a job that was not finished is done again whole. So the content
of every batch, and with it every bit of every vector, is the same whatever the number of workers and processes, the
order in which they finish, and the moment an earlier run was killed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from avs.core.errors import AvsError, DataError
from avs.core.frames import FrameSource, ShotFrames
from avs.core.shots import Shot, ShotTable
from avs.core.store import Status
from avs.features.preprocess import Geometry
from avs.features.units import Units


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of one shot.

    Attributes:
        shot: its id.
        pts_s: (F,) seconds of its frames; of its C clips, (C,) mean times.
        status, reason, tally: as in ShotFrames.
    """

    shot: str
    pts_s: np.ndarray
    status: Status
    reason: str
    tally: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class ImageBatch:
    """Some images or clips of one unit, in order.

    Attributes:
        unit: its number.
        stores: numbers of the stores for which this process does the unit's job.
        images: for every geometry a (B, 3, S, S) uint8 array of images, or a (B, F, 3, S, S) array of clips.
        mask: (B, F) bool, true for the frames of clips and false for padding; None for images.
        outcomes: of all shots of the unit, in order, in its last batch; empty in the others.
    """

    unit: int
    stores: tuple[int, ...]
    images: tuple[np.ndarray | Tensor, ...]
    mask: np.ndarray | None = None
    outcomes: tuple[Outcome, ...] = ()

    def pin_memory(self) -> ImageBatch:
        """This batch in page-locked memory, for CUDA."""
        return replace(self, images=tuple(torch.as_tensor(images).pin_memory() for images in self.images))


class ImageBatches:
    """The batches of the jobs that are claimed. Errors of avs come out as items.

    Args:
        table: the shots.
        source: of their frames.
        units: of the table.
        claims: gives a job, and the numbers of the stores that get it, when this process or worker may begin it.
        geometries: how frames become images, one for every array of a batch.
        batch_size: number of images in a batch; also of the images in the clips of a batch.
        clip_frames: number of frames in a clip; 0: batches of images.
    """

    def __init__(
        self,
        table: ShotTable,
        source: FrameSource,
        units: Units,
        claims: Iterable[tuple[int, tuple[int, ...]]],
        geometries: Sequence[Geometry],
        batch_size: int,
        *,
        clip_frames: int = 0,
    ) -> None:
        self.source, self.units, self.claims = source, units, claims
        self.geometries, self.clip_frames = tuple(geometries), clip_frames
        self.frames_at_once = clip_frames or batch_size
        self.batch_size = max(1, batch_size // clip_frames) if clip_frames else batch_size
        # Columns, not Shot objects: a worker gets a copy, and a collection may have a million shots.
        self.ids, self.videos = np.array(table.ids, dtype=np.bytes_), np.array(table.videos, dtype=np.bytes_)
        self.start_s, self.end_s = table.start_s, table.end_s

    def __iter__(self) -> Iterator[ImageBatch | AvsError]:
        try:
            for job, stores in self.claims:
                units = self.units.of_job(job)
                frames = self._frames([row for unit in units for row in self.units.rows(unit)])
                for unit in units:
                    for batch in self._unit(unit, frames):
                        yield replace(batch, stores=stores)
        except AvsError as error:
            yield error

    def _frames(self, rows: Sequence[int]) -> Iterator[ShotFrames]:
        for video, group in groupby(rows, key=lambda row: self.videos[row]):
            shots = [self._shot(row) for row in group]
            answers = iter(self.source.read(video.decode(), shots))
            for shot in shots:
                frames = next(answers, None)
                if frames is None or frames.shot != shot.id:
                    raise DataError(
                        "the frame source left out a shot", where=shot.id, got=frames.shot if frames else "its end"
                    )
                yield frames

    def _shot(self, row: int) -> Shot:
        start_s, end_s = float(self.start_s[row]), float(self.end_s[row])
        return Shot(self.ids[row].decode(), self.videos[row].decode(), start_s, end_s)

    def _unit(self, unit: int, frames: Iterator[ShotFrames]) -> Iterator[ImageBatch]:
        pieces, count, outcomes = [self._piece(np.empty((0, 1, 1, 3), dtype=np.uint8))], 0, []
        for _ in self.units.rows(unit):
            shot = next(frames)
            starts = range(0, len(shot.data), self.frames_at_once)
            outcomes.append(Outcome(shot.shot, self._times(shot.pts_s, starts), shot.status, shot.reason, shot.tally))
            for start in starts:
                pieces.append(self._piece(shot.data[start : start + self.frames_at_once]))
                count += len(pieces[-1][0])
                if count >= self.batch_size:
                    arrays = _join(pieces)
                    yield self._batch(unit, [each[: self.batch_size] for each in arrays])
                    pieces, count = [tuple(each[self.batch_size :] for each in arrays)], count - self.batch_size
        yield self._batch(unit, _join(pieces), tuple(outcomes))

    def _times(self, pts_s: np.ndarray, starts: range) -> np.ndarray:
        """The times of the frames, or the mean time of each clip."""
        if not self.clip_frames:
            return pts_s
        return np.array([pts_s[start : start + self.clip_frames].mean() for start in starts])

    def _piece(self, frames: np.ndarray) -> tuple[np.ndarray, ...]:
        """The frames as images of every geometry; or as one padded clip of every geometry, and its mask.

        No frames make no clip.
        """
        images = [geometry.apply(frames) for geometry in self.geometries]
        if not self.clip_frames:
            return tuple(images)
        clips, size = min(len(frames), 1), self.clip_frames
        padded = [np.zeros((clips, size, *one.shape[1:]), dtype=np.uint8) for one in images]
        for clip, one in zip(padded, images, strict=True):
            clip[:, : len(one)] = one
        return *padded, np.broadcast_to(np.arange(size) < len(frames), (clips, size))

    def _batch(self, unit: int, arrays: Sequence[np.ndarray], outcomes: tuple[Outcome, ...] = ()) -> ImageBatch:
        if self.clip_frames:
            return ImageBatch(unit, (), tuple(arrays[:-1]), arrays[-1], outcomes)
        return ImageBatch(unit, (), tuple(arrays), None, outcomes)


def _join(pieces: Sequence[tuple[np.ndarray, ...]]) -> list[np.ndarray]:
    """The arrays of all pieces as one array each."""
    return [np.concatenate(arrays) for arrays in zip(*pieces, strict=True)]
