"""Write a feature store as a BigFile, which the code of RUC's models reads.

Rows are float32, in the order of the store. Ids are its shots; at frame level SHOT_NUMBER, where the frames of a shot
count from 0. The name of the folder is the name of the feature there.
"""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated, Literal

import typer

from avs.cli.options import OUTPUT, Debug, Force, Json, Quiet

EXAMPLES = """
avs export-features features/clip-vit-b32/shot --format bigfile -o VisualSearch/v3c2/FeatureData/clip-vit-b32
avs export-features features/clip-vit-b32/frame --format bigfile -o VisualSearch/v3c2/FeatureData/frame/clip-vit-b32
avs export-features features/wsl/shot --format bigfile --dots-to - -o VisualSearch/web/FeatureData/wsl
"""

StoreFolder = Annotated[Path, typer.Argument(metavar="STORE", help="Feature store.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the BigFile.", rich_help_panel=OUTPUT)]
Format = Annotated[Literal["bigfile"], typer.Option("--format", help="What is written.", rich_help_panel=OUTPUT)]
DotsTo = Annotated[
    str | None,
    typer.Option(
        "--dots-to",
        metavar="TEXT",
        help='What every "." of an id becomes; without it such ids are refused.',
        rich_help_panel=OUTPUT,
    ),
]


def command(
    store: StoreFolder,
    output: Output,
    format_: Format = "bigfile",
    dots_to: DotsTo = None,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.progress import Reporter
    from avs.pipeline.export_features import export_features

    summary = export_features(store, output, dots_to=dots_to, force=force, reporter=Reporter(quiet=quiet or json))
    if json:
        print(json_.dumps(summary))
