"""The encoding half of extraction: batches of images or clips to the parts of jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from avs.core.progress import Reporter, Stage
from avs.core.shots import ShotTable
from avs.core.store_parts import SharedWriter, StoreParts
from avs.core.store_writer import ShotFeatures, part_of, stored
from avs.features.batches import Feed, ImageBatch
from avs.features.decoders import JobAgain
from avs.features.device_queue import EncodingQueue
from avs.features.embedder import ClipEmbedder, ImageEmbedder
from avs.features.figures import Figures, UnitWork, unit_work
from avs.features.preprocess import Geometry
from avs.features.shot_features import ShotVectors, mean_vectors, unit_features
from avs.features.units import Units


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """An encoder, and the stores it fills: one per level.

    Attributes:
        view: number of the view of the source that it encodes.
        shot_vectors: gives the (S, D) vectors of S shots from the (F, D) vectors of each one's frames or clips, which
            are in order of time, F >= 1.
    """

    embedder: ImageEmbedder | ClipEmbedder
    writers: Sequence[SharedWriter]
    shot_vectors: ShotVectors = mean_vectors
    view: int = 0

    @property
    def clip_frames(self) -> int:
        """Number of frames in its clips; 0: it encodes images."""
        return self.embedder.clip_frames if isinstance(self.embedder, ClipEmbedder) else 0


@dataclass(slots=True, eq=False)
class _UnitVectors:
    """What has come of a unit for some stores.

    Attributes:
        vectors: number of a target -> vectors of its batches, in order.
        awaited: number of vectors that have still to come.
        last: the last batch; None until it is there.
    """

    vectors: dict[int, list[np.ndarray]] = field(default_factory=dict)
    awaited: int = 0
    last: ImageBatch | None = None


class Encoding:
    """The vectors of the units under way, and the features of the jobs under way."""

    def __init__(
        self,
        shots: ShotTable,
        targets: Sequence[Target],
        stores: Sequence[StoreParts],
        units: Units,
        figures: Figures,
        queues: Sequence[EncodingQueue],
    ) -> None:
        self.shots, self.targets, self.stores, self.units, self.figures = shots, targets, stores, units, figures
        target_of_store = np.repeat(range(len(targets)), [len(target.writers) for target in targets])
        self._of_target: list[int] = target_of_store.tolist()
        self.feeds, feed_of_target = _feeds(targets)
        self.feed_of_store = [feed_of_target[target] for target in self._of_target]
        self._queues = queues
        figures.encoding_s = lambda: sum(queue.busy_s for queue in queues)
        # Two workers may do one job for different stores:
        self._under_way: dict[tuple[int, tuple[int, ...]], _UnitVectors] = {}
        self._features: dict[tuple[int, int], dict[int, list[ShotFeatures]]] = {}  # job and store -> unit -> shots
        self._ended: list[ImageBatch] = []

    def take(self, batch: ImageBatch) -> list[ImageBatch]:
        """Have a batch encoded for the stores that get it; when all vectors of a job have come, write its parts.

        Returns:
            The last batches of units that have ended now. On a GPU they are earlier ones.
        """
        unit, job = self._under_way.setdefault((batch.unit, batch.stores), _UnitVectors()), self.job_of(batch)
        unit.awaited += 1  # until all encoders have the batch
        for number in dict.fromkeys(self._of_target[store] for store in batch.stores):
            embedder, vectors = self.targets[number].embedder, unit.vectors.setdefault(number, [])
            images = batch.images[self.feeds[batch.feed].geometries.index(embedder.preprocessing.geometry)]
            if len(images):
                count = len(images) if batch.mask is None else int(batch.mask.sum())
                self.figures.encoded(job, [store for store in batch.stores if self._of_target[store] == number], count)
                unit.awaited += 1
                arrays = [images] if batch.mask is None else [images, batch.mask]
                self._queues[number].put(arrays, partial(self._came, unit, vectors))
        if batch.outcomes:
            unit.last = replace(batch, images=(), mask=None)  # its images need not stay in memory
        self._settle(unit)
        ended, self._ended = self._ended, []
        return ended

    def flush(self) -> list[ImageBatch]:
        """Have all vectors come that are under way. Returns what `take` does."""
        for queue in self._queues:
            queue.flush()
        assert not self._under_way, "all batches have come, and units lack vectors"
        ended, self._ended = self._ended, []
        return ended

    def _came(self, unit: _UnitVectors, of_target: list[np.ndarray], vectors: np.ndarray) -> None:
        of_target.append(vectors)
        self._settle(unit)

    def _settle(self, unit: _UnitVectors) -> None:
        """One thing less is awaited; after the last one the unit ends, unless its job was lost in the meantime."""
        unit.awaited -= 1
        if unit.last is None or unit.awaited:
            return
        key = unit.last.unit, unit.last.stores
        if self._under_way.get(key) is unit:
            del self._under_way[key]
            self._end_unit(unit.last, unit.vectors)
            self._ended.append(unit.last)

    def without_lost(
        self, loaded: Iterable[ImageBatch | JobAgain], stage: Stage, reporter: Reporter
    ) -> Iterator[ImageBatch]:
        """The batches that are loaded; what came of a job that is decoded again is forgotten, and the user told why."""
        for item in loaded:
            if isinstance(item, ImageBatch):
                yield item
                continue
            reporter.say(item.why)
            units = self.units.of_job(item.job)
            for key in [key for key in self._under_way if key[0] in units and {*key[1]} <= {*item.stores}]:
                del self._under_way[key]
            self.figures.job_lost(item.job, item.stores)
            lost = {store: self._features.pop((item.job, store), {}) for store in item.stores}
            ending = max(item.stores, key=lambda store: self.feed_of_store[store])  # a unit counts when it ends
            shots = [shot for unit in lost[ending].values() for shot in unit]
            stage.advance(-len(shots), failed=-sum(shot.status == "failed" for shot in shots))

    def job_of(self, batch: ImageBatch) -> int:
        """The job that a batch belongs to."""
        return int(self.units.job[batch.unit])

    def _end_unit(self, batch: ImageBatch, vectors: Mapping[int, Sequence[np.ndarray]]) -> None:
        job = self.job_of(batch)
        self.figures.unit_ended(job, batch.unit, batch.stores, self._work(batch))
        for store in batch.stores:
            parts, number = self.stores[store], self._of_target[store]
            shot_vectors = self.targets[number].shot_vectors
            features = unit_features(parts.store, batch.outcomes, vectors[number], shot_vectors)
            of_job = self._features.setdefault((job, store), {})
            spec, dtype = parts.store.spec, np.dtype(parts.store.dtype)
            of_job[batch.unit] = [stored(one, spec, dtype) for one in features]
            if len(of_job) == len(self.units.of_job(job)):
                in_order = [one for unit in sorted(of_job) for one in of_job[unit]]
                self.figures.job_ended(job, store)  # before its part: whoever finds all parts finds all logs too
                parts.write(job, part_of(int(parts.plan.first[job]), in_order))
                del self._features[job, store]

    def _work(self, batch: ImageBatch) -> UnitWork:
        """What the shots of a unit that has ended took."""
        table, rows, outcomes = self.shots, slice(*self.units.first[batch.unit : batch.unit + 2]), batch.outcomes
        shots_s: list[float] = (table.end_s[rows] - table.start_s[rows]).tolist()
        failed = sum(outcome.status == "failed" for outcome in outcomes)
        return unit_work(table.videos[rows], shots_s, [outcome.decode_s for outcome in outcomes], failed=failed)


def _feeds(targets: Sequence[Target]) -> tuple[list[Feed], list[int]]:
    """What the targets need of workers, and the number of each one's: those that see the same share a feed."""
    geometries: dict[tuple[int, int], dict[Geometry, None]] = {}
    for target in targets:
        geometries.setdefault((target.view, target.clip_frames), {})[target.embedder.preprocessing.geometry] = None
    feeds = [Feed(view, clip_frames, tuple(of)) for (view, clip_frames), of in geometries.items()]
    keys = list(geometries)
    return feeds, [keys.index((target.view, target.clip_frames)) for target in targets]
