"""Extraction: the shots of a table to feature stores. Every frame is decoded once and encoded by several encoders."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import get_args

import numpy as np

from avs.core import failures
from avs.core.artifacts import Manifest
from avs.core.errors import ConfigError
from avs.core.frames import ViewSource
from avs.core.leases import Owner
from avs.core.progress import Reporter, Stage
from avs.core.shots import ShotTable
from avs.core.spec import EmbedderSpec
from avs.core.store import STORE_TYPE, FeatureStore, Status
from avs.core.store_parts import PARTS, SharedWriter, StoreParts, UnfinishedStore
from avs.core.store_plan import WorkPlan
from avs.features.account import ACCOUNT, write_account
from avs.features.batches import ImageBatch, ImageBatches, rows_of_batch
from avs.features.claims import LeasedClaims, Shard, ShardClaims
from avs.features.decoders import load_batches, timeout_of
from avs.features.device_queue import EncodingQueue
from avs.features.encoding import Encoding, Target
from avs.features.figures import Figures
from avs.features.levels import StoreLevel
from avs.features.others import WorkOfOthers
from avs.features.units import Units
from avs.features.work_log import WorkingProcess, WorkLog

KEPT_FRAMES = "farthest first by cosine, from the one nearest the mean"
SHOT_VECTOR = "l2(mean of the frames' l2 vectors)"
SHOT_VECTOR_OF_CLIPS = "l2(mean of the clips' l2 vectors)"


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
    timeout_s = timeout_of(video_timeout_s, workers)
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
        encoding = Encoding(shots, targets, stores, units, figures, queues)
        batches = ImageBatches(shots, source, units, claims, encoding.feeds, encoding.feed_of_store, batch_size)
        name, left = "extract " + ", ".join(of.embedder.spec.name for of in targets), _shots_left(plan, lacking, shard)
        loaded = load_batches(batches, workers=workers, pin=device.startswith("cuda"), timeout_s=timeout_s)
        others = WorkOfOthers(stores, lacking & (shard is None))
        with reporter.stage(name, left, "shots") as stage, others, closing(loaded):
            _encode_all(encoding.without_lost(loaded, stage, reporter), encoding, figures, others, stage)
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
    batches: Iterable[ImageBatch], encoding: Encoding, figures: Figures, others: WorkOfOthers, stage: Stage
) -> None:
    """Encode all batches, and say how it goes."""

    def advance(ended: Sequence[ImageBatch]) -> None:
        outcomes = [outcome for batch in ended if batch.ends_unit for outcome in batch.outcomes]
        if outcomes:
            failed = sum(outcome.status == "failed" for outcome in outcomes)
            stage.advance(len(outcomes), failed=failed, elsewhere=others.new_shots(), note=figures.note)

    for batch in figures.watch(batches):
        others.begun(encoding.job_of(batch))
        advance(encoding.take(batch))
    advance(encoding.flush())
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


def require_few_failures(stores: Sequence[FeatureStore | UnfinishedStore], max_failed: float) -> None:
    """Check that no more than the share `max_failed` of a finished store's shots failed.

    Raises:
        TooManyFailuresError: more did; the stores are complete all the same.
    """
    for store in stores:
        if isinstance(store, UnfinishedStore):
            continue  # the process that puts it together says it
        counts = store.manifest["counts"]
        failures.require_few_failures(
            {problem.shot: problem.reason for problem in store.problems if problem.status == "failed"},
            sum(counts[status] for status in get_args(Status)),
            max_failed,
            what="shots failed",
            where=store.folder / "problems.tsv",
            next_step="the store has the other shots and can be used; repair the videos and extract again with "
            "--force, or allow more: --max-failed",
        )
