"""Make the shot table of a collection: import master shots, detect hard cuts, or take each file as one shot."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated

import typer

from avs.cli.options import INPUTS, OUTPUT, Debug, Force, Json, MaxFailed, OptionalVideos, Quiet, VideoIds, Workers

EXAMPLES = """
avs shots --videos V3C1/videos --msb V3C1/msb -o shots.tsv
avs shots --videos my-videos -o shots.tsv --workers 8
avs shots --videos clips --per-file --video-ids name -o shots.tsv
"""

Output = Annotated[Path, typer.Option("-o", "--output", help="The shot table, TSV.", rich_help_panel=OUTPUT)]
MasterShots = Annotated[
    Path | None, typer.Option("--msb", help="A master shot table, or a folder of them.", rich_help_panel=INPUTS)
]
Detect = Annotated[
    bool, typer.Option("--detect", help="Find hard cuts; the default without --msb.", rich_help_panel=INPUTS)
]
PerFile = Annotated[bool, typer.Option("--per-file", help="Take each file as one shot.", rich_help_panel=INPUTS)]


def command(
    output: Output,
    videos: OptionalVideos = None,
    msb: MasterShots = None,
    detect: Detect = False,
    per_file: PerFile = False,
    video_ids: VideoIds = "stem",
    workers: Workers = None,
    max_failed: MaxFailed = 0.05,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.errors import typed
    from avs.core.progress import Reporter
    from avs.pipeline.shots import make_shot_table, shot_source

    reporter = Reporter(quiet=quiet or json)
    source = shot_source(videos, msb, detect=detect, per_file=per_file, video_ids=video_ids)
    summary = make_shot_table(source, output, max_failed=max_failed, workers=workers, force=force, reporter=reporter)
    if json:
        print(json_.dumps(summary))
    if "up_to_date" not in summary:
        words = f"{typed(videos or 'VIDEOS')}{' --video-ids name' if video_ids == 'name' else ''}"
        reporter.suggest(
            f"avs extract-features --videos {words} --shots {typed(output)} --model clip-vit-b32 -o features/"
        )
