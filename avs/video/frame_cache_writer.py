"""Writes a frame cache: a shard per job, in several processes, and the index when all shards are there.

A job is some consecutive videos of the shot table. It depends on the table and the settings alone, so the shards are
the same whatever the number of processes, and a job that was broken off is done again whole.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from avs.core.artifacts import Manifest, atomic_write, complete_folder, read_manifest, write_manifest
from avs.core.errors import ChangedInputsError, StoreError, VideoError
from avs.core.frames import FrameSource, ShotFrames
from avs.core.ids import some
from avs.core.processes import in_processes
from avs.core.progress import Stage
from avs.core.shots import Shot, ShotTable, ids_fingerprint
from avs.video.folder import VideoFolder
from avs.video.frame_cache import CacheSettings, FrameCache
from avs.video.sampling import Sampling
from avs.video.squares import square, to_jpeg

JOB_FRAMES = 2048  # about 30 MB of squares of 224
UNFINISHED = "unfinished"  # what is known of each finished shard, until all are
SAMPLED_VIDEOS = 8  # for the estimate of the size


def jobs_of(table: ShotTable, settings: CacheSettings) -> list[list[Shot]]:
    """The shots of a table, cut where a video ends and at least JOB_FRAMES frames are together."""
    jobs: list[list[Shot]] = []
    shots: list[Shot] = []
    frames = 0
    for video in table.video_ids:
        of_video = table.of_video(video)
        shots += of_video
        frames += sum(map(settings.count, of_video))
        if frames >= JOB_FRAMES:
            jobs.append(shots)
            shots, frames = [], 0
    return [*jobs, shots] if shots else jobs


def estimated_bytes(table: ShotTable, paths: Mapping[str, Path], settings: CacheSettings) -> int | None:
    """About the size of the cache, from a picture of each of some videos; None if none of these can be read."""
    videos = [video for video in table.video_ids if video in paths]
    places = np.linspace(0, max(len(videos) - 1, 0), min(SAMPLED_VIDEOS, len(videos))).astype(int).tolist()
    source, lengths = VideoFolder(paths, Sampling("middle")), []
    for video in (videos[place] for place in places):
        for frames in source.read(video, table.of_video(video)[:1]):
            lengths += [len(to_jpeg(square(picture, settings.size), settings.quality)) for picture in frames.data]
    return round(float(np.mean(lengths)) * sum(map(settings.count, table))) if lengths else None


class FrameCacheWriter:
    """Writes the shards of a cache, those that an earlier run did not finish, and then completes it.

    Args:
        folder: where the cache is written.
        manifest: config, inputs and type that decide the content; shards of another are refused.
        table: of the shots.
        settings: of the pictures.

    Raises:
        ChangedInputsError: `folder` has shards that were made from other inputs or settings.
    """

    def __init__(self, folder: Path, manifest: Manifest, table: ShotTable, settings: CacheSettings) -> None:
        self.folder, self.manifest, self.table, self.settings = Path(folder), manifest, table, settings
        self.parts = self.folder / UNFINISHED
        self.jobs = jobs_of(table, settings)
        if (self.parts / "manifest.json").is_file():
            if read_manifest(self.parts)["fingerprint"] != manifest.fingerprint:
                raise ChangedInputsError(
                    "shards of a frame cache with other inputs or settings are in the way",
                    where=self.folder,
                    next_step="choose another folder, or start over with force",
                )
        else:
            self.parts.mkdir(parents=True, exist_ok=True)
            write_manifest(self.parts, manifest)

    def _done(self, job: int) -> bool:
        """Whether the shard of a job is there; an avs that divides the table otherwise may have begun."""
        path = self.parts / f"{job:06d}.npz"
        if not path.is_file():
            return False
        with np.load(path) as part:
            return str(part["shots"]) == _fingerprint(self.jobs[job])

    def write(self, paths: Mapping[str, Path], *, workers: int, stage: Stage) -> None:
        """Write the shards that are missing.

        Args:
            paths: video id -> file; the shots of a video without a file fail.
            workers: number of processes; below 2, this one does all.
            stage: advanced by the shots of each shard.

        Raises:
            VideoError: a process died.
        """
        arguments = {}
        for job, shots in enumerate(self.jobs):
            if self._done(job):
                stage.advance(len(shots))
                continue
            of_job = {shot.video: paths[shot.video] for shot in shots if shot.video in paths}
            source = VideoFolder(of_job, self.settings.sampling)
            arguments[job] = (self.folder, job, source, shots, self.settings)
        for job, failed in _answers(arguments, min(workers, len(arguments))):
            stage.advance(len(self.jobs[job]), failed=failed)

    def commit(self, *, seconds: float = 0.0) -> FrameCache:
        """Write the index and the manifest, forget what was unfinished, and open the cache.

        Raises:
            StoreError: no shot has a frame.
        """
        columns: dict[str, list[Any]] = {name: [] for name in ("counts", "lengths", "pts_s", "status", "reason")}
        hashes = {}
        for job in range(len(self.jobs)):
            with np.load(self.parts / f"{job:06d}.npz") as part:
                for name, values in columns.items():
                    values.append(part[name])
                hashes[f"shards/{job:06d}.jpegs"] = str(part["sha256"])
        counts, lengths, pts_s, status, reason = (np.concatenate(values) for values in columns.values())
        ids = [shot.id for shots in self.jobs for shot in shots]
        kept = counts > 0
        if not kept.any():
            reasons = sorted(set(reason.tolist()))
            raise StoreError(f"all {len(ids)} shots failed", where=self.folder, got=some(reasons, shown=3))
        for path in sorted((self.folder / "shards").glob("*.jpegs"))[len(self.jobs) :]:
            path.unlink()  # of an avs that divides the table otherwise
        self._write_index(_offsets(lengths), _offsets(counts[kept]), pts_s)
        with atomic_write(self.folder / "ids.txt") as file:
            file.writelines(f"{shot}\n" for shot, has_frames in zip(ids, kept, strict=True) if has_frames)
        with atomic_write(self.folder / "problems.tsv") as file:
            rows = zip(ids, status.tolist(), reason.tolist(), strict=True)
            file.writelines(f"{shot}\t{st}\t{why}\n" for shot, st, why in rows if st != "ok")
        number = {f"{st}": int((status == st).sum()) for st in ("ok", "partial", "failed")}
        number |= {"frames": int(counts.sum()), "bytes": int(lengths.sum())}
        complete_folder(
            self.folder, replace(self.manifest, counts=number, seconds=seconds), hashes, folders=("shards",)
        )
        shutil.rmtree(self.parts)
        return FrameCache(self.folder)

    def _write_index(self, starts: np.ndarray, offsets: np.ndarray, pts_s: np.ndarray) -> None:
        for name, values in (("bytes", starts), ("offsets", offsets), ("pts_s", pts_s)):
            with atomic_write(self.folder / f"{name}.npy", "wb") as file:
                np.save(file, values)


def discard(folder: Path) -> None:
    """Make a cache incomplete and forget its shards; its other files are replaced when the new one is complete."""
    (folder / "manifest.json").unlink(missing_ok=True)
    for name in (UNFINISHED, "shards"):
        with suppress(FileNotFoundError):
            shutil.rmtree(folder / name)


def write_shard(folder: Path, job: int, source: FrameSource, shots: Sequence[Shot], settings: CacheSettings) -> int:
    """Write the JPEGs of a job, and then what is in them, which completes the shard.

    Returns:
        Number of shots without a frame.
    """
    lengths: list[int] = []
    pts_s: list[float] = []
    read: list[tuple[int, str, str]] = []
    digest = hashlib.sha256()
    with atomic_write(folder / f"shards/{job:06d}.jpegs", "wb") as file:
        for pieces in _by_shot(source, shots, settings):
            before = len(lengths)
            for frames in pieces:
                for picture, time_s in zip(frames.data, frames.pts_s.tolist(), strict=True):
                    if len(lengths) > before and time_s <= pts_s[-1]:
                        continue  # a frame that stays on screen from one piece to the next is taken once
                    lengths.append(_append(file, digest, to_jpeg(square(picture, settings.size), settings.quality)))
                    pts_s.append(time_s)
            read.append((len(lengths) - before, *_status(pieces.seen)))
    counts, status, reason = zip(*read, strict=True)
    with atomic_write(folder / UNFINISHED / f"{job:06d}.npz", "wb") as file:
        np.savez(
            file,
            shots=np.array(_fingerprint(shots)),
            counts=np.array(counts, dtype=np.int64),
            lengths=np.array(lengths, dtype=np.int64),
            pts_s=np.array(pts_s, dtype=np.float64),
            status=np.array(status),
            reason=np.array([" ".join(why.split()) for why in reason]),
            sha256=np.array(f"sha256:{digest.hexdigest()}"),
        )
    return status.count("failed")


def _append(file: IO[bytes], digest: Any, coded: bytes) -> int:
    file.write(coded)
    digest.update(coded)
    return len(coded)


class _Pieces:
    """The pieces of one shot as they are read, and what became of each.

    Attributes:
        seen: status and reason of every piece that was read.
    """

    def __init__(self, frames: Iterator[ShotFrames], count: int) -> None:
        self.frames, self.count = frames, count
        self.seen: list[tuple[str, str]] = []

    def __iter__(self) -> Iterator[ShotFrames]:
        for _ in range(self.count):
            frames = next(self.frames)
            self.seen.append((frames.status, frames.reason))
            yield frames


def _by_shot(source: FrameSource, shots: Sequence[Shot], settings: CacheSettings) -> Iterator[_Pieces]:
    """The pieces of every shot, in order; each video is read in one pass."""
    for video in dict.fromkeys(shot.video for shot in shots):
        pieces = [settings.pieces(shot) for shot in shots if shot.video == video]
        frames = iter(source.read(video, [piece for of_shot in pieces for piece in of_shot]))
        yield from map(partial(_Pieces, frames), map(len, pieces))


def _status(seen: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """What became of a shot whose pieces became this."""
    bad = [(number, reason) for number, (status, reason) in enumerate(seen, start=1) if status != "ok"]
    if not bad:
        return "ok", ""
    status = "failed" if all(status == "failed" for status, _ in seen) else "partial"
    number, reason = bad[0]
    return status, reason if len(seen) == 1 else f"{len(bad)} of {len(seen)} parts; part {number}: {reason}"


def _answers(arguments: Mapping[int, tuple[Any, ...]], workers: int) -> Iterator[tuple[int, int]]:
    """The number of every job and of its failed shots, in the order in which jobs end."""
    if workers < 2:
        for job, each in arguments.items():
            yield job, write_shard(*each)
        return
    try:
        yield from in_processes(write_shard, arguments, workers=workers)
    except BrokenProcessPool as error:
        raise VideoError(
            "a process died while it read videos", next_step="use 0 workers to see at which file"
        ) from error


def _fingerprint(shots: Sequence[Shot]) -> str:
    return ids_fingerprint([shot.id for shot in shots])


def _offsets(lengths: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
