"""Frames of many shots to batches of images or clips, the decoding half of extraction.

A batch never crosses a unit (avs.features.units), and a job that was not finished is done again whole. So the content
of every batch, and with it every bit of every vector, is the same whatever the number of workers and processes, the
order in which they finish, and the moment an earlier run was killed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from avs.core.errors import AvsError, DataError
from avs.core.frames import ShotFrames, ViewSource
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
        decode_s: seconds until its frames were there, of all feeds.
    """

    shot: str
    pts_s: np.ndarray
    status: Status
    reason: str
    tally: Mapping[str, int] = field(default_factory=dict)
    decode_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class ImageBatch:
    """Some images or clips of one unit, in order.

    Attributes:
        unit: its number.
        feed: number of the Feed that they are of.
        stores: numbers of the stores of this feed for which this process does the unit's job.
        images: for every geometry a (B, 3, S, S) uint8 array of images, or a (B, F, 3, S, S) array of clips.
        mask: (B, F) bool, true for the frames of clips and false for padding; None for images.
        outcomes: of all shots of the unit, in order, in its last batch of this feed; empty in the others.
        ends_unit: whether it is the last batch of the unit, of all feeds.
        made_s: when it was made, by time.monotonic(), which all processes of a machine share.
        waited_s: seconds for which its maker could not go on, after the batch before it.
    """

    unit: int
    feed: int
    stores: tuple[int, ...]
    images: tuple[np.ndarray | Tensor, ...]
    mask: np.ndarray | None = None
    outcomes: tuple[Outcome, ...] = ()
    ends_unit: bool = False
    made_s: float = 0.0
    waited_s: float = 0.0

    def pin_memory(self) -> ImageBatch:
        """This batch in page-locked memory, for CUDA."""
        return replace(self, images=tuple(torch.as_tensor(images).pin_memory() for images in self.images))


@dataclass(frozen=True, slots=True)
class Feed:
    """What encoders get that read the same frames in the same way.

    Attributes:
        view: number of the view of the source that it takes.
        clip_frames: number of frames in a clip; 0: images.
        geometries: how frames become images, one for every array of a batch.
    """

    view: int
    clip_frames: int
    geometries: tuple[Geometry, ...]


def rows_of_batch(batch_size: int, clip_frames: int) -> int:
    """Number of clips in a batch of `batch_size` images; of images where `clip_frames` is 0."""
    return max(1, batch_size // clip_frames) if clip_frames else batch_size


class ImageBatches:
    """The batches of the jobs that are claimed. Errors of avs come out as items.

    Args:
        table: the shots.
        source: of their frames.
        units: of the table.
        claims: gives a job, and the numbers of the stores that get it, when this process or worker may begin it.
        feeds: of the encoders.
        feed_of_store: number of the feed that each store needs.
        batch_size: number of images in a batch; also of the images in the clips of a batch.
    """

    def __init__(
        self,
        table: ShotTable,
        source: ViewSource,
        units: Units,
        claims: Iterable[tuple[int, tuple[int, ...]]],
        feeds: Sequence[Feed],
        feed_of_store: Sequence[int],
        batch_size: int,
    ) -> None:
        self.source, self.units, self.claims = source, units, claims
        self.feeds, self.feed_of_store, self.batch_size = tuple(feeds), tuple(feed_of_store), batch_size
        # Columns, not Shot objects: a worker gets a copy, and a collection may have a million shots.
        self.ids, self.videos = np.array(table.ids, dtype=np.bytes_), np.array(table.videos, dtype=np.bytes_)
        self.start_s, self.end_s = table.start_s, table.end_s

    def __iter__(self) -> Iterator[ImageBatch | AvsError]:
        waited_s = 0.0
        try:
            for batch in self._batches():
                made_s = time.monotonic()
                yield replace(batch, made_s=made_s, waited_s=waited_s)
                waited_s = time.monotonic() - made_s  # until it was taken, and the next one was asked for
        except AvsError as error:
            yield error

    def _batches(self) -> Iterator[ImageBatch]:
        for job, stores in self.claims:
            units = self.units.of_job(job)
            shots = self._shots([row for unit in units for row in self.units.rows(unit)])
            for unit in units:
                yield from self._unit(unit, stores, shots)

    def _shots(self, rows: Sequence[int]) -> Iterator[tuple[float, tuple[ShotFrames, ...]]]:
        """The seconds that each shot took to decode, and its views."""
        for video, group in groupby(rows, key=lambda row: self.videos[row]):
            shots = [self._shot(row) for row in group]
            answers = iter(self.source.read(video.decode(), shots))
            for shot in shots:
                began_s = time.perf_counter()
                views = next(answers, ())
                decode_s = time.perf_counter() - began_s
                if not views or any(frames.shot != shot.id for frames in views):
                    got = [frames.shot for frames in views] or "its end"
                    raise DataError("the frame source left out a shot", where=shot.id, got=got)
                yield decode_s, views

    def _shot(self, row: int) -> Shot:
        start_s, end_s = float(self.start_s[row]), float(self.end_s[row])
        return Shot(self.ids[row].decode(), self.videos[row].decode(), start_s, end_s)

    def _unit(
        self, unit: int, stores: Sequence[int], shots: Iterator[tuple[float, tuple[ShotFrames, ...]]]
    ) -> Iterator[ImageBatch]:
        """The batches of a unit, of each feed that a store needs; `shots` gives its shots next."""
        of_feed: dict[int, list[int]] = {}
        for store in stores:
            of_feed.setdefault(self.feed_of_store[store], []).append(store)
        gatherings = [
            _Gathering(ImageBatch(unit, feed, tuple(of), ()), self.feeds[feed], self.batch_size)
            for feed, of in sorted(of_feed.items())
        ]
        for _ in self.units.rows(unit):
            decode_s, views = next(shots)
            for gathering in gatherings:
                yield from gathering.add(views[gathering.feed.view], decode_s)
        for gathering in gatherings:
            yield replace(gathering.last(), ends_unit=gathering is gatherings[-1])


class _Gathering:
    """Gathers the images or clips of a unit until they make a batch.

    Args:
        empty: a batch without images.
    """

    def __init__(self, empty: ImageBatch, feed: Feed, batch_size: int) -> None:
        self.empty, self.feed = empty, feed
        self.batch_size = rows_of_batch(batch_size, feed.clip_frames)
        self.outcomes: list[Outcome] = []
        self._begin()

    def add(self, shot: ShotFrames, decode_s: float) -> Iterator[ImageBatch]:
        """The batches that are full with the images or clips of one more shot."""
        clips = _clips_of(shot, self.feed.clip_frames) if self.feed.clip_frames else None
        times_s = shot.pts_s if clips is None else np.array([shot.pts_s[clip[clip >= 0]].mean() for clip in clips])
        self.outcomes.append(Outcome(shot.shot, times_s, shot.status, shot.reason, shot.tally, decode_s))
        if clips is None:
            yield from self._add_images(shot.data)
        elif len(clips):
            yield from self._add_clips([geometry.apply(shot.data) for geometry in self.feed.geometries], clips)

    def last(self) -> ImageBatch:
        """What is left, and what became of the shots."""
        return replace(self._gathered(), outcomes=tuple(self.outcomes))

    def _begin(self) -> None:
        """Begin a batch."""
        frames = [self.feed.clip_frames] if self.feed.clip_frames else []
        new = np.zeros if frames else np.empty  # the padding of clips is black
        shapes = [(self.batch_size, *frames, *geometry.shape) for geometry in self.feed.geometries]
        self._count = 0
        self._arrays = [new(shape, dtype=np.uint8) for shape in shapes]
        self._mask = np.zeros((self.batch_size, *frames), dtype=bool) if frames else None

    def _add_images(self, frames: np.ndarray) -> Iterator[ImageBatch]:
        """Put frames as images of every geometry where they belong in a batch."""
        while len(frames):
            rows = slice(self._count, min(self._count + len(frames), self.batch_size))
            now, frames = np.split(frames, [rows.stop - rows.start])
            for geometry, array in zip(self.feed.geometries, self._arrays, strict=True):
                geometry.apply(now, into=array[rows])
            yield from self._counted(len(now))

    def _add_clips(self, images: Sequence[np.ndarray], clips: np.ndarray) -> Iterator[ImageBatch]:
        """Put clips, (C, F) positions in the images of every geometry and -1 for padding, where they belong."""
        assert self._mask is not None
        for clip in clips:
            mask = clip >= 0
            for array, one in zip(self._arrays, images, strict=True):
                array[self._count, mask] = one[clip[mask]]
            self._mask[self._count] = mask
            yield from self._counted(1)

    def _counted(self, rows: int) -> Iterator[ImageBatch]:
        """The batch, if it is full with so many more rows."""
        self._count += rows
        if self._count == self.batch_size:
            yield self._gathered()
            self._begin()

    def _gathered(self) -> ImageBatch:
        mask = None if self._mask is None else self._mask[: self._count]
        return replace(self.empty, images=tuple(array[: self._count] for array in self._arrays), mask=mask)


def _clips_of(shot: ShotFrames, size: int) -> np.ndarray:
    """(C, size) positions of the frames of each clip, -1 for padding: those of the source, or one after the other.

    Raises:
        DataError: the source cut clips of another length.
    """
    if shot.clips is None:
        count = -(-len(shot.data) // size)
        places = np.arange(count * size).reshape(count, size)
        return np.where(places < len(shot.data), places, -1)
    if shot.clips.shape[1] != size:
        raise DataError(
            "clips have another length than the encoder's", where=shot.shot, got=shot.clips.shape[1], wanted=size
        )
    return shot.clips
