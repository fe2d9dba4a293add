"""Make clips with captions of narrated videos, as HowTo100M has them, to post-pretrain a model on.

Neighbouring captions are joined to clips of at most --max-words tokens. The output is a shot table and captions, as the
train verbs read them. What cannot be used is counted, and is in problems.tsv with its reason.
"""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated

import typer

from avs.cli.options import INPUTS, MODEL, OUTPUT, Debug, Force, Json, MaxFailed, Quiet, Shots

EXAMPLES = """
avs import-narrations caption.json --shots howto/files.tsv --backbone clip-vit-b32 -o howto/clips
avs import-narrations caption.json --list food.csv --shots howto/files.tsv --backbone clip-vit-b32 -o howto/food
avs import-narrations raw_caption.json --shots files.tsv --backbone mini-clip --max-words 20 --max-failed 0.4 -o raw
"""

Narrations = Annotated[
    Path, typer.Argument(metavar="FILE", help='JSON {"VIDEO": {"start": [..], "end": [..], "text": [..]}, ...}.')
]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for the clips and captions.", rich_help_panel=OUTPUT)
]
VideoList = Annotated[
    Path | None,
    typer.Option(
        "--list",
        help="Videos to take: one per line, or a csv with a column video_id; default: all of --shots.",
        rich_help_panel=INPUTS,
    ),
]
Backbone = Annotated[
    str,
    typer.Option(
        "--backbone", help="CLIP whose tokens count: a name of the catalog, or a folder.", rich_help_panel=MODEL
    ),
]
MaxWords = Annotated[
    int,
    typer.Option(
        "--max-words", min=3, help="Most tokens of a clip's text, with its start and end.", rich_help_panel=MODEL
    ),
]


def command(
    narrations: Narrations,
    shots: Shots,
    backbone: Backbone,
    output: Output,
    list_: VideoList = None,
    max_words: MaxWords = 32,
    max_failed: MaxFailed = 0.05,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.errors import typed
    from avs.core.progress import Reporter
    from avs.pipeline.narrations import NarrationSources, import_narrations

    reporter = Reporter(quiet=quiet or json)
    sources = NarrationSources(narrations, shots, list_, backbone, max_words)
    summary = import_narrations(sources, output, max_failed=max_failed, force=force, reporter=reporter)
    if json:
        print(json_.dumps(summary))
    if "up_to_date" not in summary:
        made = f"--captions {typed(output / 'captions.txt')} --videos VIDEOS --shots {typed(output / 'shots.tsv')}"
        reporter.suggest(f"avs train-clip4clip --backbone {typed(backbone)} --loss mil-nce {made} -o models/narrated")
