"""Make a feature store of features that others computed, checked against a shot table.

FOLDER is a BigFile of RUC (feature.bin, id.txt, shape.txt), what clip-retrieval writes (img_emb/, metadata/; needs
pyarrow), or npz files named after videos. Ids are shots of the table, or videos that have one shot there; at frame
level followed by _ and a frame number.

Rows are linked rather than copied where the bytes allow.
"""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated, Literal

import typer

from avs.cli.options import INPUTS, MODEL, OUTPUT, Debug, Force, Json, Quiet, Shots

EXAMPLES = """
avs import-features FeatureData/wsl --shots msrvtt.tsv --model wsl -o msrvtt/wsl/shot
avs import-features FeatureData/frame/wsl --shots V3C2.tsv --level frame --fps 25 --model wsl -o V3C2/wsl/frame
avs import-features clip-out --shots V3C2.tsv --level frame --fps 2 --as clip-vit-b32 --weights clip-b32 -o V3C2/clip-vit-b32/frame
avs import-features s3d/ --format npz --shots howto.tsv --level frame --array features --model s3d -o howto/s3d/frame
"""  # noqa: E501  # a command to copy is one line

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="BigFile, clip-retrieval's output, or VIDEO.npz files.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the store.", rich_help_panel=OUTPUT)]
Format = Annotated[
    str | None,
    typer.Option(
        "--format", help="bigfile, clip-retrieval or npz; default: what the files show.", rich_help_panel=INPUTS
    ),
]
LevelOption = Annotated[
    Literal["shot", "frame"],
    typer.Option("--level", help="Whether a row is of a shot or of a frame.", rich_help_panel=INPUTS),
]
Fps = Annotated[
    float | None,
    typer.Option(
        "--fps", help="How many frame numbers a second has; at frame level, if files do not say seconds.",
        rich_help_panel=INPUTS,
    ),
]  # fmt: skip
NumbersFrom = Annotated[
    Literal["shot", "video"],
    typer.Option("--numbers-from", help="Whether frame number 0 begins the shot or the video.", rich_help_panel=INPUTS),
]
IdColumn = Annotated[
    str,
    typer.Option("--id-column", help="clip-retrieval: column that names the rows.", rich_help_panel=INPUTS),
]
ArrayName = Annotated[
    str | None,
    typer.Option("--array", help="npz: the array of rows, where files hold several.", rich_help_panel=INPUTS),
]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="Name of the feature; default: the folder's.", rich_help_panel=MODEL),
]
Revision = Annotated[str, typer.Option("--revision", help="Which weights made them: any word.", rich_help_panel=MODEL)]
ImageSize = Annotated[
    int, typer.Option("--image-size", min=0, help="Pixels of their images; 0: not known.", rich_help_panel=MODEL)
]
As = Annotated[
    str | None,
    typer.Option(
        "--as", help="Encoder of the catalog that made them; searches then encode topics.", rich_help_panel=MODEL
    ),
]
EncoderWeights = Annotated[
    str | None,
    typer.Option("--weights", help="Its weights: a folder or a Hub name.", rich_help_panel=MODEL),
]
EncoderPooling = Annotated[
    str | None, typer.Option("--pooling", help="Its pooling; default: its family's first.", rich_help_panel=MODEL)
]
AllowMissing = Annotated[
    bool,
    typer.Option(
        "--allow-missing", help="Shots of the table without features become rows of problems.tsv.",
        rich_help_panel=OUTPUT,
    ),
]  # fmt: skip
Copy = Annotated[bool, typer.Option("--copy", help="Copy the rows where a link would do.", rich_help_panel=OUTPUT)]


def command(
    folder: Folder,
    shots: Shots,
    output: Output,
    format_: Format = None,
    level: LevelOption = "shot",
    fps: Fps = None,
    numbers_from: NumbersFrom = "shot",
    id_column: IdColumn = "image_path",
    array: ArrayName = None,
    model: ModelName = None,
    revision: Revision = "borrowed",
    image_size: ImageSize = 0,
    as_: As = None,
    weights: EncoderWeights = None,
    pooling: EncoderPooling = None,
    allow_missing: AllowMissing = False,
    copy: Copy = False,
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    from avs.core.errors import ConfigError, typed
    from avs.core.progress import Reporter
    from avs.features.borrowed.placing import FrameNumbers
    from avs.pipeline.import_features import BorrowedModel, FeatureSources, import_features

    if fps is None and numbers_from != "shot":
        raise ConfigError("--numbers-from says where frame numbers begin, and needs --fps", next_step="--fps N")
    sources = FeatureSources(
        folder,
        shots,
        BorrowedModel(model, revision, image_size, as_, weights, pooling),
        level,
        format_,
        None if fps is None else FrameNumbers(fps, numbers_from),
        id_column,
        array,
    )
    reporter = Reporter(quiet=quiet or json)
    summary = import_features(sources, output, allow_missing=allow_missing, copy=copy, force=force, reporter=reporter)
    if json:
        print(json_.dumps(summary))
    elif "up_to_date" not in summary:
        reporter.suggest(f"avs info {typed(output)}")
