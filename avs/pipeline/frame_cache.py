"""The frame cache of a collection: from a folder of videos and a shot table."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import perf_counter

from avs.core.artifacts import Manifest, fingerprint_input, is_up_to_date, require_path, require_place
from avs.core.device import available_cores
from avs.core.errors import UnknownIdError
from avs.core.failures import require_few_failures
from avs.core.ids import some
from avs.core.lock import require_no_writer, sole_writer
from avs.core.progress import Reporter
from avs.core.shots import ShotTable, read_shot_table
from avs.video.find import VideoIds, find_videos
from avs.video.fingerprints import VIDEOS_FILE, VideoFile, fingerprint_videos, listing_fingerprint, write_videos
from avs.video.frame_cache import CACHE_TYPE, CacheSettings, FrameCache
from avs.video.frame_cache_writer import UNFINISHED, FrameCacheWriter, discard, estimated_bytes


@dataclass(frozen=True, eq=False)
class ShotVideos:
    """The shots of a table, and the video files that hold them.

    Attributes:
        videos, shots: the folder of video files, and the shot table.
        table: the shots.
        paths: id and file of the videos of the table that are in the folder.
        reporter: of their hashing.
    """

    videos: Path
    shots: Path
    table: ShotTable
    paths: Mapping[str, Path]
    reporter: Reporter | None = None

    @property
    def ids(self) -> Sequence[str]:
        """N shot ids."""
        return self.table.ids

    @cached_property
    def files(self) -> Sequence[VideoFile]:
        """The files, with what tells their content. The first call reads them all, so ask after all quick checks."""
        return fingerprint_videos(self.paths, self.videos, self.reporter)

    @property
    def inputs(self) -> dict[str, str]:
        """Fingerprints, for a manifest."""
        return {"shots": fingerprint_input(self.shots), "videos": listing_fingerprint(self.files)}

    @property
    def places(self) -> dict[str, Path]:
        """Paths, by the names of `inputs`."""
        return {"shots": self.shots, "videos": self.videos}


def find_shot_videos(
    videos: Path, shots: Path, *, video_ids: VideoIds = "stem", reporter: Reporter | None = None
) -> ShotVideos:
    """The shots of a table with their video files, which are not read yet.

    Args:
        videos: folder of video files.
        shots: shot table; `avs shots --per-file` makes one with a shot per file.
        video_ids: how ids are made of file names.

    Raises:
        UnknownIdError: the folder has none of the videos of the shot table.
        AvsError: there is no such folder or table, or it cannot be read.
    """
    table = read_shot_table(require_path(shots, what="shot table"))
    paths = find_videos(videos, ids=video_ids)
    used = {video: paths[video] for video in table.video_ids if video in paths}
    if not used:
        raise UnknownIdError(
            "no video of the shot table is in the folder",
            where=videos,
            got=some(paths, shown=3),
            wanted=some(table.video_ids, shown=3),
            next_step="check that the table and the folder are of one collection, or try other video ids",
        )
    return ShotVideos(videos, shots, table, used, reporter)


def make_frame_cache(
    source: ShotVideos,
    folder: Path,
    settings: CacheSettings,
    *,
    max_failed: float = 0.05,
    workers: int | None = None,
    force: bool = False,
    reporter: Reporter,
) -> FrameCache:
    """The frame cache of shots; one that is complete is kept, one that was interrupted goes on.

    Args:
        folder: of the cache.
        max_failed: share of shots that may have no frame.
        workers: processes that decode; 0: this one; None: one per core. They do not change what comes out.
        force: make the cache anew.

    Raises:
        ChangedInputsError: the folder has a cache of other videos, shots or settings, and `force` is off.
        ConfigError: something else is in the folder, or it cannot be written.
        StoreError: another process is writing the cache, or no shot has a frame.
        TooManyFailuresError: more shots failed than may; the cache has the others.
    """
    start = perf_counter()
    _require_free(folder)
    manifest = Manifest(CACHE_TYPE, settings.config, source.inputs, paths=source.places)
    if is_up_to_date(folder, manifest, force=force, reporter=reporter):
        cache = FrameCache(folder)
    else:
        with sole_writer(folder):
            if force:
                discard(folder)
            writer = FrameCacheWriter(folder, manifest, source.table, settings)
            write_videos(source.files, folder / VIDEOS_FILE)
            size = estimated_bytes(source.table, source.paths, settings)
            _say_size(size, sum(map(settings.count, source.table)), folder, reporter)
            cores = min(available_cores(), len(source.paths)) if workers is None else workers
            with reporter.stage("frame cache", len(source.table), "shots") as stage:
                writer.write(source.paths, workers=cores, stage=stage)
            cache = writer.commit(seconds=perf_counter() - start)
            _say_written(cache, perf_counter() - start, reporter)
    _require_few_failures(cache, max_failed, reporter)
    return cache


def _require_free(folder: Path) -> None:
    """Check that nobody writes to the folder, and that it holds a cache, finished or not, or nothing."""
    require_no_writer(folder)
    if folder.is_dir() and not all(path.name.startswith(".") for path in folder.iterdir()):  # a lock is nobody's
        require_place(folder, CACHE_TYPE, sign=f"{UNFINISHED}/manifest.json")


def _say_size(size: int | None, frames: int, folder: Path, reporter: Reporter) -> None:
    """Say how much is about to be written, and how much room there is."""
    free = shutil.disk_usage(folder).free
    about = "of a size that no video tells" if size is None else f"about {size / 1e9:.2f} GB"
    reporter.say(f"frame cache {folder}: {frames:,} frames, {about}; {free / 1e9:.1f} GB are free")
    if size is not None and size > free:
        reporter.say("this is more than there is room for; a smaller size, quality or fps needs less")


def _say_written(cache: FrameCache, seconds: float, reporter: Reporter) -> None:
    frames, size = (cache.manifest["counts"][name] for name in ("frames", "bytes"))
    reporter.say(
        f"wrote {cache.folder}: {frames:,} frames of {len(cache)} shots, {size / 1e9:.2f} GB, in {seconds:.1f} s"
    )


def _require_few_failures(cache: FrameCache, max_failed: float, reporter: Reporter) -> None:
    """Say which shots are left out, and refuse a cache in which these are too many."""
    failed = {shot: reason for shot, status, reason in cache.problems if status == "failed"}
    if not failed:
        return
    total, path = len(cache) + len(failed), cache.folder / "problems.tsv"
    reporter.say(f"{len(failed)} of {total} shots have no frame and are left out: {some(failed)}; reasons in {path}")
    require_few_failures(
        failed,
        total,
        max_failed,
        what="shots failed",
        where=path,
        next_step="remove or repair those videos, or allow them with a max_failed of",
    )
