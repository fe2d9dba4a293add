"""The shot table of a collection: imported from master shot tables, made of hard cuts, or with one shot per file."""

from __future__ import annotations

import json
from collections import UserDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import Any

from avs.core.artifacts import Manifest, as_made_before, atomic_write, is_up_to_date, require_writable, write_artefact
from avs.core.device import available_cores
from avs.core.errors import ConfigError, UnknownIdError
from avs.core.failures import require_few_failures
from avs.core.ids import some
from avs.core.progress import Reporter
from avs.core.shots import ShotTable, write_shot_table
from avs.video.decode import Video
from avs.video.detect import detect_shots, whole_file
from avs.video.find import VideoIds, find_videos
from avs.video.fingerprints import (
    VideoFile,
    contents_fingerprint,
    fingerprint_videos,
    listing_fingerprint,
    sizes_of_shots_table,
    videos_table,
    write_videos,
)
from avs.video.master_shots import find_master_shots, read_master_shots
from avs.video.shots import Span, shots_of_videos

MASTER_SHOTS, HARD_CUTS, WHOLE_FILES = "master shots", "hard cuts", "one per file"


@dataclass(frozen=True, slots=True)
class ShotSource:
    """What shots are made from.

    Args:
        videos: folder of video files; None: master shot tables alone.
        master_shots: a master shot table or a folder of them; None: shots are found in the videos.
        per_file: each file is one shot, instead of hard cuts.
        video_ids: how ids are made of file names.
    """

    videos: Path | None
    master_shots: Path | None = None
    per_file: bool = False
    video_ids: VideoIds = "stem"

    @property
    def method(self) -> str:
        """The name of the method, as manifests record it."""
        return MASTER_SHOTS if self.master_shots else WHOLE_FILES if self.per_file else HARD_CUTS


def shot_source(
    videos: Path | None, master_shots: Path | None, *, detect: bool, per_file: bool, video_ids: VideoIds
) -> ShotSource:
    """The source that some options name.

    Raises:
        ConfigError: several methods, or nothing to read.
    """
    if sum((master_shots is not None, detect, per_file)) > 1 or (master_shots is None and videos is None):
        raise ConfigError(
            "give --videos, and one of --msb, --detect and --per-file",
            next_step="avs shots --videos DIR -o shots.tsv, or avs shots --msb DIR -o shots.tsv",
        )
    return ShotSource(videos, master_shots, per_file, video_ids)


def make_shot_table(
    source: ShotSource,
    output: Path,
    *,
    max_failed: float = 0.05,
    workers: int | None = None,
    force: bool = False,
    reporter: Reporter,
) -> dict[str, Any]:
    """Write the shot table, its manifest, the table of its videos and the list of videos that failed.

    Args:
        max_failed: share of videos that may fail.
        workers: processes that read videos; 0: this one; None: one per core.

    Returns:
        A summary: path, seconds, counts, and the file of problems if there are any; or path and "up_to_date".

    Raises:
        ChangedInputsError: `output` was made from other inputs or settings, and `force` is off.
        TooManyFailuresError: too many videos failed; no table is written.
        AvsError: nothing to read, or files that cannot be read.
    """
    start = perf_counter()
    if force or not output.exists():
        require_writable(output)
    files = find_videos(source.videos, ids=source.video_ids) if source.videos else {}
    hashes = fingerprint_videos(files, source.videos, reporter) if source.videos else []
    tables = find_master_shots(source.master_shots) if source.master_shots else {}
    manifest = _manifest(source, hashes, tables, max_failed)
    older_inputs = {"videos": sizes_of_shots_table(files)} if source.videos else {}
    if is_up_to_date(output, as_made_before(output, manifest, older_inputs), force=force, reporter=reporter):
        return {"path": str(output), "up_to_date": True}
    if source.master_shots:
        table, failed = _import(tables, files, source.videos, reporter)
    else:
        found = FoundShots(output, source.method, {file.video: file.fingerprint for file in hashes})
        table, failed = _find(files, source.method, found, available_cores() if workers is None else workers, reporter)
    problems = _write_problems(failed, output, len(table.video_ids) + len(failed), max_failed)
    counts = {"videos": len(table.video_ids), "shots": len(table), "failed_videos": len(failed)}
    seconds = perf_counter() - start
    if source.videos:
        write_videos(hashes, videos_table(output))
    write_artefact(
        output, replace(manifest, counts=counts, seconds=seconds), lambda path: write_shot_table(table, path)
    )
    found_shots_path(output).unlink(missing_ok=True)
    reporter.say(
        f"wrote {output}: {len(table)} shots of {counts['videos']} videos ({source.method}) in {seconds:.1f} s"
    )
    if failed:
        total = counts["videos"] + len(failed)
        reporter.say(f"{len(failed)} of {total} videos failed (--max-failed {max_failed:g}); reasons in {problems}")
    return {
        "path": str(output),
        "seconds": round(seconds, 3),
        **counts,
        **({"problems": str(problems)} if failed else {}),
    }


def _manifest(
    source: ShotSource, hashes: Sequence[VideoFile], tables: Mapping[str, Path], max_failed: float
) -> Manifest:
    config = {"shots": source.method, "video_ids": source.video_ids, "max_failed": max_failed}
    inputs, paths = {}, {}
    if source.videos:
        inputs["videos"], paths["videos"] = listing_fingerprint(hashes), source.videos
    if source.master_shots:
        inputs["msb"], paths["msb"] = contents_fingerprint(tables), source.master_shots
    return Manifest("shot-table", config, inputs, paths=paths)


def _import(
    tables: Mapping[str, Path], files: Mapping[str, Path], videos: Path | None, reporter: Reporter
) -> tuple[ShotTable, dict[str, str]]:
    """The shots of the tables, and the videos without a table; with video files, only tables of these are read."""

    def fps_of(video: str) -> Fraction | None:
        if video not in files:
            return None
        with Video(files[video]) as opened:
            return opened.fps

    if videos is None:
        return read_master_shots(tables, fps_of=fps_of), {}
    used = {video: table for video, table in tables.items() if video in files}
    if not used:
        raise UnknownIdError(
            "no video has a master shot table",
            where=videos,
            got=f"videos {some(files)}; tables of {some(tables)}",
            next_step="a table is named after its video: 00123.tsv for 00123.mp4",
        )
    if len(tables) > len(used):
        reporter.say(f"left out {len(tables) - len(used)} master shot tables, whose videos are not in {videos}")
    without = {video: "no master shot table" for video in files if video not in tables}
    return read_master_shots(used, fps_of=fps_of), without


def found_shots_path(output: Path) -> Path:
    """The file that keeps the shots of finished videos until the table is written."""
    return output.with_name(f".{output.name}.found")


class FoundShots(UserDict[str, list[Span]]):
    """Video id -> spans. What is added is kept beside the output, for the run that goes on after an interruption.

    Args:
        output: the shot table.
        method: how the shots are found.
        fingerprints: video id -> hash of its file. Spans of another file, or found by another version, are not used.
    """

    def __init__(self, output: Path, method: str, fingerprints: Mapping[str, str]) -> None:
        from avs import __version__

        super().__init__()
        self.path = found_shots_path(output)
        self.origin = {video: f"{method}, {__version__}, {content}" for video, content in fingerprints.items()}
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else ():
            with suppress(ValueError):  # the last line may be cut off
                video, origin, spans_s = json.loads(line)
                if self.origin.get(video) == origin:
                    self.data[video] = [(start_s, end_s) for start_s, end_s in spans_s]

    def __setitem__(self, video: str, spans_s: list[Span]) -> None:
        super().__setitem__(video, spans_s)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps([video, self.origin[video], spans_s])}")


def _find(
    files: Mapping[str, Path], method: str, found: FoundShots, workers: int, reporter: Reporter
) -> tuple[ShotTable, dict[str, str]]:
    find = whole_file if method == WHOLE_FILES else detect_shots
    with reporter.stage(f"shots ({method})", len(files), "videos") as stage:
        return shots_of_videos(files, find, workers=workers, stage=stage, found=found)


def _write_problems(failed: Mapping[str, str], output: Path, total: int, max_failed: float) -> Path:
    """Write the videos that failed and why, or remove the list of an earlier run.

    Raises:
        TooManyFailuresError: more failed than may; no shot table is written then.
    """
    path = output.with_name(f"{output.stem}.problems.tsv")
    if not failed:
        path.unlink(missing_ok=True)
        return path
    with atomic_write(path) as file:
        file.writelines(f"{video}\tfailed\t{reason}\n" for video, reason in failed.items())
    require_few_failures(
        failed,
        total,
        max_failed,
        what="videos failed; no shot table was written",
        where=path,
        next_step="remove or repair those files, or allow them with --max-failed",
    )
    return path
