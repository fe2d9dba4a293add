"""Extraction: the shots of a table to feature stores. Every frame is decoded once and encoded by several encoders.

The vector of a frame or clip has length 1, or, if the spec says so, the length that the tower gives it. The vector of a
shot is the mean of unit vectors, scaled to length 1 again, or what a trained model makes of its frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import get_args

import numpy as np

from avs.core.artifacts import Manifest
from avs.core.errors import ConfigError, DataError, TooManyFailuresError
from avs.core.frames import ViewSource
from avs.core.leases import Owner
from avs.core.progress import Reporter, Stage
from avs.core.shots import ShotTable
from avs.core.spec import EmbedderSpec
from avs.core.store import STORE_TYPE, FeatureStore, Status
from avs.core.store_parts import PARTS, SharedWriter, StoreParts, UnfinishedStore
from avs.core.store_plan import WorkPlan
from avs.core.store_writer import ShotFeatures, part_of, stored
from avs.features.account import ACCOUNT, write_account
from avs.features.batches import Feed, ImageBatch, ImageBatches, Outcome, rows_of_batch
from avs.features.claims import LeasedClaims, Shard, ShardClaims
from avs.features.decoders import JobAgain, load_batches, timeout_of
from avs.features.device_queue import EncodingQueue
from avs.features.embedder import ClipEmbedder, ImageEmbedder
from avs.features.figures import Figures, UnitWork, unit_work
from avs.features.levels import StoreLevel, farthest_apart
from avs.features.others import WorkOfOthers
from avs.features.preprocess import Geometry
from avs.features.units import Units
from avs.features.work_log import WorkingProcess, WorkLog

KEPT_FRAMES = "farthest first by cosine, from the one nearest the mean"
SHOT_VECTOR = "l2(mean of the frames' l2 vectors)"
SHOT_VECTOR_OF_CLIPS = "l2(mean of the clips' l2 vectors)"


def shot_vector(frames: np.ndarray) -> np.ndarray:
    """(D,) unit-length mean of (F, D) unit-length vectors; zero when they cancel."""
    mean = frames.mean(axis=0)
    length = float(np.linalg.norm(mean))
    vector: np.ndarray = mean / length if length > 0 else mean
    return vector


def mean_vectors(shots: Sequence[np.ndarray]) -> np.ndarray:
    """(S, D) shot_vector of each of S shots."""
    return np.stack([shot_vector(frames) for frames in shots])


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
    shot_vectors: Callable[[Sequence[np.ndarray]], np.ndarray] = mean_vectors
    view: int = 0

    @property
    def clip_frames(self) -> int:
        """Number of frames in its clips; 0: it encodes images."""
        return self.embedder.clip_frames if isinstance(self.embedder, ClipEmbedder) else 0


def store_manifest(
    spec: EmbedderSpec,
    level: StoreLevel,
    *,
    sampling: Mapping[str, object],
    inputs: Mapping[str, str],
    compute_dtype: str = "float32",
    store_dtype: str = "float16",
    clip_frames: int = 0,
) -> Manifest:
    """The manifest of a store before it is made: everything that decides its content.

    Args:
        spec: spec of the encoder.
        level: which rows a shot has.
        sampling: how frames are chosen, such as {"policy": "interval", "interval_s": 0.5}, and what decodes them.
        inputs: name -> fingerprint, of the shot table and of the videos.
        compute_dtype, store_dtype: of the towers, and of the stored vectors.
        clip_frames: number of frames in a clip, for an encoder of clips; 0: it encodes images.

    Raises:
        ConfigError: at shot level, several vectors per frame, whose mean is not worth storing, or vectors of any
            length; some of the frames, with several vectors per frame.
    """
    if spec.pooling == "queries" and level.keep:
        raise ConfigError(
            'pooling "queries" has several vectors per frame, so frames cannot be told apart by theirs',
            got=f"--level keep:{level.keep}",
            next_step='use --level frame, or the pooling "query-mean"',
        )
    if spec.pooling == "queries" and level.kind == "shot":
        raise ConfigError(
            'pooling "queries" keeps several vectors per frame, which a shot-level store cannot hold',
            next_step='use --level frame, or the pooling "query-mean"',
        )
    if not spec.normalised and level.kind == "shot":
        raise ConfigError(
            "vectors of raw length are for frames, and a shot-level store holds a mean of unit vectors",
            got=f"{spec.name} with --raw-length at level shot",
            next_step="use --level frame, or leave --raw-length out",
        )
    config: dict[str, object] = {
        "level": level.kind,
        "sampling": dict(sampling),
        "compute_dtype": compute_dtype,
        "store_dtype": store_dtype,
    }
    if clip_frames:
        config["clip_frames"] = clip_frames
    if level.keep:
        config |= {"keep": level.keep, "kept_frames": KEPT_FRAMES}
    if level.kind == "shot":
        config["shot_vector"] = SHOT_VECTOR_OF_CLIPS if clip_frames else SHOT_VECTOR
    return Manifest(type=STORE_TYPE, config=config, inputs=dict(inputs), spec=spec.to_json())


def extract(
    shots: ShotTable,
    source: ViewSource,
    targets: Sequence[Target],
    *,
    batch_size: int = 32,
    workers: int = 0,
    video_timeout_s: float | None = None,
    shard: Shard | None = None,
    device: str = "cpu",
    compiled: bool = False,
    reporter: Reporter | None = None,
) -> list[FeatureStore | UnfinishedStore]:
    """The stores of all writers of `targets`, in order, each with the shots in the table's order.

    Any number of processes may do this at the same time with the same arguments and one folder. Each takes the jobs
    that are free; the one that finds all parts there puts a store together, and the others get an UnfinishedStore. Jobs
    that were done before are not decoded again. A shot that cannot be decoded is told in problems.tsv, with its reason.

    Args:
        shots: the shots to extract.
        source: gives the frames; it must be picklable when there are workers.
        targets: encoders and writers.
        batch_size: number of images encoded together; it decides the units, and so the last bits of vectors.
        workers: number of processes that decode; 0: this process decodes.
        video_timeout_s: how long a decoder may give nothing before its video fails; 0: forever; None: 600 in workers.
        shard: the share of the jobs that is this process's; None: those that are free, by leases.
        device, compiled: where the encoders are, and whether to compile them. For CUDA, images are page-locked.
        reporter: of progress.

    Raises:
        ConfigError: a batch size, number of workers or timeout out of range; an encoder that cannot be compiled.
        ChangedInputsError: parts of other inputs, settings, versions or batches are in the way.
        DataError: features that are not finite, or zero; names the shot. What was finished before is kept.
        StoreError: all shots failed, or parts were damaged.
    """
    start, reporter = time.monotonic(), reporter or Reporter()
    _require_counts(batch_size, workers)
    timeout_s, pin = timeout_of(video_timeout_s, workers), device.startswith("cuda")
    units = Units(shots, batch_size, [video for video in shots.video_ids if not source.begins_anywhere(video)])
    plan = WorkPlan(shots.fingerprint, batch_size, units.first_of_job)
    with Owner() as owner:
        writers = [_telling(writer, plan) for target in targets for writer in target.writers]
        stores = [writer.join(plan, owner, leased=shard is None) for writer in writers]
        lacking = ~np.array([store.done() for store in stores])  # (stores, jobs)
        workers = min(workers, int(lacking.any(axis=0).sum()))
        claims = ShardClaims(lacking, shard) if shard else LeasedClaims(lacking, [store.leases for store in stores])
        figures = _figures(owner, stores, device, batch_size, workers)
        queues = _queues(targets, batch_size, compiled=compiled and bool(lacking.any()))
        extraction = _Extraction(shots, targets, stores, units, figures, queues)
        batches = ImageBatches(shots, source, units, claims, extraction.feeds, extraction.feed_of_store, batch_size)
        name, left = "extract " + ", ".join(of.embedder.spec.name for of in targets), _shots_left(plan, lacking, shard)
        loaded = load_batches(batches, workers=workers, pin=device.startswith("cuda"), timeout_s=timeout_s)
        others = WorkOfOthers(stores, lacking & (shard is None))
        with reporter.stage(name, left, "shots") as stage, others, closing(loaded):
            _encode_all(extraction.without_lost(loaded, stage, reporter), extraction, figures, others, stage)
        for error in figures.log_errors:
            reporter.say(f"{ACCOUNT} will not tell all that this process did: {error}")
        return [store.finish(shots.ids, seconds=time.monotonic() - start) for store in stores]


def _queues(targets: Sequence[Target], batch_size: int, *, compiled: bool) -> list[EncodingQueue]:
    """A queue for each encoder."""
    rows = [rows_of_batch(batch_size, target.clip_frames) for target in targets]
    return [EncodingQueue(one.embedder, count, compiled=compiled) for one, count in zip(targets, rows, strict=True)]


def _figures(owner: Owner, stores: Sequence[StoreParts], device: str, batch_size: int, workers: int) -> Figures:
    """Figures of this process, which begins now."""
    one, began_s = owner.process, time.time()
    process = WorkingProcess(owner.name, one.host, one.pid, device, batch_size, workers, len(stores), began_s)
    return Figures(workers, [WorkLog(store.folder, process) for store in stores])


def _telling(writer: SharedWriter, plan: WorkPlan) -> SharedWriter:
    """A writer whose store tells how it was made."""
    parts, versions = writer.folder / PARTS, writer.manifest.versions
    tell = partial(write_account, parts=parts, jobs=plan.jobs, versions=versions)
    return replace(writer, telling_files={**writer.telling_files, ACCOUNT: tell})


def _encode_all(
    batches: Iterable[ImageBatch], extraction: _Extraction, figures: Figures, others: WorkOfOthers, stage: Stage
) -> None:
    """Encode all batches, and say how it goes."""

    def advance(ended: Sequence[ImageBatch]) -> None:
        outcomes = [outcome for batch in ended if batch.ends_unit for outcome in batch.outcomes]
        if outcomes:
            failed = sum(outcome.status == "failed" for outcome in outcomes)
            stage.advance(len(outcomes), failed=failed, elsewhere=others.new_shots(), note=figures.note)

    for batch in figures.watch(batches):
        others.begun(extraction.job_of(batch))
        advance(extraction.take(batch))
    advance(extraction.flush())
    others.look()
    stage.advance(0, elsewhere=others.new_shots(), note=figures.note)


def _shots_left(plan: WorkPlan, lacking: np.ndarray, shard: Shard | None) -> int:
    """Number of shots of the jobs that some store lacks, and of its shard if a process has one."""
    left = lacking.any(axis=0)
    if shard is not None:
        left &= np.arange(plan.jobs) % shard.count == shard.number
    return int(np.diff(plan.first)[left].sum())


def require_runtime(device: str, dtype: str, *, batch_size: int, workers: int) -> None:
    """Check how extraction is to run, before anything is read.

    Args:
        device, dtype: as for load_embedder.
        batch_size, workers: as for extract.

    Raises:
        ConfigError: an unknown device or dtype, or a number out of range.
        MissingDependencyError: a CUDA device that this machine does not have.
    """
    from avs.features.encoders import resolve_device

    _require_counts(batch_size, workers)
    resolve_device(device, dtype)


def _require_counts(batch_size: int, workers: int) -> None:
    if batch_size < 1 or workers < 0:
        raise ConfigError(
            "the batch size must be at least 1 and the workers at least 0", got=f"{batch_size} and {workers}"
        )


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


class _Extraction:
    """The encoding half: the vectors of the units under way, and the features of the jobs under way."""

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
            features = _features(self.targets[number], parts.store, batch.outcomes, vectors[number])
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


def _features(
    target: Target, store: SharedWriter, outcomes: Sequence[Outcome], batches: Sequence[np.ndarray]
) -> list[ShotFeatures]:
    """Features of a unit's shots for one store; `batches` are the vectors of the unit's frames or clips.

    Raises:
        DataError: there are not as many vectors as frames or clips.
    """
    vectors = np.concatenate(batches) if batches else np.empty((0, target.embedder.spec.dim), dtype=np.float32)
    ends = np.cumsum([len(outcome.pts_s) for outcome in outcomes])
    if len(vectors) != ends[-1]:
        raise DataError(
            "frames and vectors differ in number",
            where=f"{outcomes[0].shot} to {outcomes[-1].shot}",
            got=f"{len(vectors)} vectors",
            wanted=f"{ends[-1]} of {target.embedder.spec.name}",
        )
    frames = np.split(vectors, ends[:-1])
    found = _of_frames(outcomes, frames) if store.level == "frame" else _of_shots(outcomes, frames, target)
    if store.keep:
        found = [_kept(one, store.keep) for one in found]
    return [replace(one, tally=outcome.tally) for one, outcome in zip(found, outcomes, strict=True)]


def _kept(shot: ShotFeatures, count: int) -> ShotFeatures:
    """The rows of a shot that are farthest apart; of vectors that cannot be compared all, which are refused later."""
    if not np.linalg.norm(shot.vectors, axis=1).all():
        return shot
    places = farthest_apart(shot.vectors, count)
    return replace(shot, vectors=shot.vectors[places], pts_s=shot.pts_s[places])


def _of_frames(outcomes: Sequence[Outcome], frames: Sequence[np.ndarray]) -> list[ShotFeatures]:
    """Features at frame level from the vectors of each shot's frames or clips: (F, D), or (F, Q, D) with Q a frame."""
    return [
        ShotFeatures(
            outcome.shot,
            vectors.reshape(-1, vectors.shape[-1]),
            np.repeat(outcome.pts_s, vectors.shape[1] if vectors.ndim == 3 else 1),
            outcome.status,
            outcome.reason,
        )
        for outcome, vectors in zip(outcomes, frames, strict=True)
    ]


def _of_shots(outcomes: Sequence[Outcome], frames: Sequence[np.ndarray], target: Target) -> list[ShotFeatures]:
    """Features at shot level. All shots of the unit go together, so that a run that goes on computes the same bits."""
    seen = [vectors for vectors in frames if len(vectors)]
    rows = iter(target.shot_vectors(seen) if seen else ())
    return [
        ShotFeatures(
            outcome.shot, next(rows)[None], outcome.pts_s[[0, -1]].mean(keepdims=True), outcome.status, outcome.reason
        )
        if len(vectors)
        else ShotFeatures(outcome.shot, vectors, outcome.pts_s, outcome.status, outcome.reason)
        for outcome, vectors in zip(outcomes, frames, strict=True)
    ]


def require_few_failures(stores: Sequence[FeatureStore | UnfinishedStore], max_failed: float) -> None:
    """Check that no more than the share `max_failed` of a finished store's shots failed.

    Raises:
        TooManyFailuresError: more did; the stores are complete all the same.
    """
    for store in stores:
        if isinstance(store, UnfinishedStore):
            continue  # the process that puts it together says it
        counts = store.manifest["counts"]
        failed, total = counts["failed"], sum(counts[status] for status in get_args(Status))
        if failed > max_failed * total:
            raise TooManyFailuresError(
                f"{failed} of {total} shots failed",
                where=store.folder / "problems.tsv",
                got=f"{failed / total:.1%}",
                wanted=f"at most {max_failed:.1%}",
                next_step="the store has the other shots and can be used; repair the videos and extract again with "
                "--force, or allow more with --max-failed",
            )
