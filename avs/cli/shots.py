"""Make the shot table of a collection: import master shots, detect hard cuts, or take each file as one shot."""

from __future__ import annotations

import json as json_
import os
from collections.abc import Mapping
from dataclasses import replace
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from avs.cli.options import RUNTIME, Debug, Force, Json, Quiet

if TYPE_CHECKING:
    from avs.core.progress import Reporter
    from avs.core.shots import ShotTable

EXAMPLES = """
avs shots --videos V3C1/videos --msb V3C1/msb -o shots.tsv
avs shots --videos my-videos -o shots.tsv --workers 8
avs shots --videos clips --per-file --video-ids name -o shots.tsv
"""

INPUTS, OUTPUT = "Inputs", "Output"


def command(
    output: Annotated[Path, typer.Option("-o", "--output", help="The shot table, TSV.", rich_help_panel=OUTPUT)],
    videos: Annotated[
        Path | None,
        typer.Option("--videos", help="Folder of video files; V3C tables need none.", rich_help_panel=INPUTS),
    ] = None,
    msb: Annotated[
        Path | None,
        typer.Option("--msb", help="Master shot tables: a file or a folder of them.", rich_help_panel=INPUTS),
    ] = None,
    detect: Annotated[
        bool, typer.Option("--detect", help="Find hard cuts (what happens without --msb).", rich_help_panel=INPUTS)
    ] = False,
    per_file: Annotated[bool, typer.Option("--per-file", help="One shot per file.", rich_help_panel=INPUTS)] = False,
    video_ids: Annotated[
        Literal["stem", "name"],
        typer.Option(
            "--video-ids", help="Id of 00123.mp4: its stem 00123, or its name 00123-mp4.", rich_help_panel=INPUTS
        ),
    ] = "stem",
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, help="Processes; default: one a core.", show_default=False, rich_help_panel=RUNTIME
        ),
    ] = None,
    max_failed: Annotated[
        float,
        typer.Option(
            "--max-failed", min=0, max=1, help="Share of videos that may fail before exit 1.", rich_help_panel=RUNTIME
        ),
    ] = 0.05,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.artifacts import Manifest, as_made_before, is_up_to_date, write_artefact
    from avs.core.errors import ConfigError
    from avs.core.progress import Reporter
    from avs.core.shots import write_shot_table
    from avs.video.find import find_videos
    from avs.video.fingerprints import (
        fingerprint_videos,
        listing_fingerprint,
        sizes_of_shots_table,
        videos_table,
        write_videos,
    )

    start = perf_counter()
    reporter = Reporter(quiet=quiet or json)
    if sum((msb is not None, detect, per_file)) > 1 or (msb is None and videos is None):
        raise ConfigError(
            "give --videos, and one of --msb, --detect and --per-file",
            next_step="avs shots --videos DIR -o shots.tsv, or avs shots --msb DIR -o shots.tsv",
        )
    how = "master shots" if msb else "one per file" if per_file else "hard cuts"
    files = find_videos(videos, ids=video_ids) if videos else {}
    hashed = fingerprint_videos(files, videos, reporter) if videos else []
    inputs = {"videos": listing_fingerprint(hashed)} if videos else {}
    tables = _tables(msb, inputs) if msb else {}
    paths = {name: path for name, path in (("videos", videos), ("msb", msb)) if path}
    config = {"shots": how, "video_ids": video_ids, "max_failed": max_failed}
    manifest = Manifest("shot-table", config, inputs, paths=paths)
    before = as_made_before(output, manifest, {"videos": sizes_of_shots_table(files)} if videos else {})
    if is_up_to_date(output, before, force=force, reporter=reporter):
        if json:
            print(json_.dumps({"path": str(output), "up_to_date": True}))
        return

    if msb:
        table, failed = _imported(tables, files, videos, reporter)
    else:
        table, failed = _found(files, how, workers or _cores(), reporter)
    total = len(table.video_ids) + len(failed)
    problems = _write_problems(failed, output, total, max_failed)
    counts: dict[str, Any] = {"videos": len(table.video_ids), "shots": len(table), "failed_videos": len(failed)}
    seconds = perf_counter() - start
    manifest = replace(manifest, counts=counts, seconds=seconds)
    if videos:
        write_videos(hashed, videos_table(output))
    write_artefact(output, manifest, lambda path: write_shot_table(table, path))
    reporter.say(f"wrote {output}: {len(table)} shots of {len(table.video_ids)} videos ({how}) in {seconds:.1f} s")
    if failed:
        share = f"{len(failed)} of {total} videos failed, {max_failed:.0%} may (--max-failed)"
        reporter.say(f"{share}; reasons in {problems}")
    source = f"{videos or 'VIDEOS'}{' --video-ids name' if video_ids == 'name' else ''}"
    reporter.say(f"next: avs extract-features --videos {source} --shots {output} --model clip-vit-b32 -o features/")
    if json:
        reasons = {"problems": str(problems)} if failed else {}
        print(json_.dumps({"path": str(output), "seconds": round(seconds, 3), **counts, **reasons}))


def _cores() -> int:
    """Cores this process may use; on systems that cannot say, all there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _tables(msb: Path, inputs: dict[str, str]) -> Mapping[str, Path]:
    from avs.video.fingerprints import contents_fingerprint
    from avs.video.master_shots import find_master_shots

    tables = find_master_shots(msb)
    inputs["msb"] = contents_fingerprint(tables)
    return tables


def _imported(
    tables: Mapping[str, Path], files: Mapping[str, Path], videos: Path | None, reporter: Reporter
) -> tuple[ShotTable, dict[str, str]]:
    """The shots of the tables; with video files, of those that have a file."""
    from fractions import Fraction

    from avs.core.errors import UnknownIdError
    from avs.video.master_shots import read_master_shots

    def fps_of(video: str) -> Fraction | None:
        from avs.video.decode import Video

        if video not in files:
            return None
        with Video(files[video]) as opened:
            return opened.fps

    if videos is None:
        return read_master_shots(tables, fps_of=fps_of), {}
    wanted = {video: table for video, table in tables.items() if video in files}
    if not wanted:
        raise UnknownIdError(
            "no video has a master shot table",
            where=videos,
            got=f"videos {', '.join(list(files)[:5])}; tables of {', '.join(list(tables)[:5])}",
            next_step="tables are named after their video, as 00123.tsv after 00123.mp4",
        )
    if len(tables) > len(wanted):
        reporter.say(f"left out {len(tables) - len(wanted)} master shot tables, whose videos are not in {videos}")
    return read_master_shots(wanted, fps_of=fps_of), {
        video: "no master shot table" for video in files if video not in tables
    }


def _found(files: Mapping[str, Path], how: str, workers: int, reporter: Reporter) -> tuple[ShotTable, dict[str, str]]:
    from avs.video.detect import detect_shots, whole_file
    from avs.video.shots import shots_of_videos

    find = whole_file if how == "one per file" else detect_shots
    with reporter.stage(f"shots ({how})", len(files), "videos") as stage:
        return shots_of_videos(files, find, workers=workers, stage=stage)


def _write_problems(failed: Mapping[str, str], output: Path, total: int, max_failed: float) -> Path:
    """Write the videos that failed and why, or remove the list of an earlier run.

    Raises:
        TooManyFailuresError: more failed than may; no shot table is written then.
    """
    from avs.core.artifacts import atomic_write
    from avs.core.errors import TooManyFailuresError

    path = output.with_name(f"{output.stem}.problems.tsv")
    if not failed:
        path.unlink(missing_ok=True)
        return path
    with atomic_write(path) as file:
        file.writelines(f"{video}\tfailed\t{reason}\n" for video, reason in failed.items())
    if len(failed) > max_failed * total:
        video, reason = next(iter(failed.items()))
        enough = ceil(100 * len(failed) / total) / 100
        raise TooManyFailuresError(
            f"{len(failed)} of {total} videos failed; no shot table was written",
            where=path,
            got=f"{video}: {reason}" + (" ..." if len(failed) > 1 else ""),
            wanted=f"at most {max_failed:.0%}",
            next_step=f"remove or mend those files, or allow them with --max-failed {enough}",
        )
    return path
