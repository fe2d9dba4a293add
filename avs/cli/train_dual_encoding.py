"""Train dual encoding on captioned videos: frames read at three levels, their mean, a biGRU and convolutions over it.

The defaults are DMT_CUC_01's of TRECVID 2021. A killed training, run again, goes on to the same losses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avs.cli.options import RUNTIME, Debug, Force, Json, Quiet
from avs.cli.training import DATA, MODEL, OUTPUT, TRAINING, Choices, train_and_report

EXAMPLES = """
avs train-dual-encoding --captions msrvtt.caption.txt --features features/clip/frame -o models/dual-encoding
avs train-dual-encoding --config configs/train/dual_encoding_tpami21.yaml -o models/tpami21
avs train-dual-encoding --captions c.txt --features features/clip/frame --text bow --text bigru -o models/de
"""


def command(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the model, or the grid.", rich_help_panel=OUTPUT)
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML recipe (configs/train/); the options below override it.", rich_help_panel=DATA),
    ] = None,
    captions: Annotated[
        Path | None, typer.Option(help="Caption file of the training videos.", rich_help_panel=DATA)
    ] = None,
    captions_format: Annotated[
        str | None, typer.Option(help="Of the captions, where the file does not say.", rich_help_panel=DATA)
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Part to train on: a name the file knows, or a list of videos.", rich_help_panel=DATA),
    ] = None,
    features: Annotated[
        list[Path] | None,
        typer.Option("--features", help="Frame-level store of their features.", rich_help_panel=DATA),
    ] = None,
    validation_captions: Annotated[
        Path | None,
        typer.Option(help="Captions to validate on; default: those of 10% of the videos.", rich_help_panel=DATA),
    ] = None,
    validation_features: Annotated[
        list[Path] | None,
        typer.Option(help="Features of their videos; default: --features.", rich_help_panel=DATA),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            help="Text feature: bow, word2vec:FILE, gru, bigru or an encoder of the catalog; repeatable. "
            "Default: the text tower of the frames' encoder.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    space: Annotated[
        int | None, typer.Option(help="Dimensions of a common space; default 1536.", rich_help_panel=MODEL)
    ] = None,
    hidden: Annotated[
        int | None, typer.Option(help="Of the biGRU, in each direction; default 512.", rich_help_panel=MODEL)
    ] = None,
    start_from: Annotated[
        Path | None, typer.Option(help="Checkpoint to fine-tune, with its vocabularies.", rich_help_panel=MODEL)
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="At most; default 50.", rich_help_panel=TRAINING)] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pairs a step; default 128.", rich_help_panel=TRAINING)] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of the first epoch; default 1e-4.", rich_help_panel=TRAINING)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of weights, order, dropout; default 2.", rich_help_panel=TRAINING)
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="float32 (default), bfloat16, or float16 (CUDA).", rich_help_panel=TRAINING),
    ] = None,
    legacy: Annotated[
        bool, typer.Option("--legacy", help="As the authors' code wherever we differ.", rich_help_panel=TRAINING)
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Print the models of the grid and train none.", rich_help_panel=OUTPUT)
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.", rich_help_panel=RUNTIME)] = "cpu",
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    choices = Choices(
        architecture="dual-encoding",
        config=config,
        captions=captions,
        captions_format=captions_format,
        split=split,
        features=features or [],
        validation_captions=validation_captions,
        validation_features=validation_features or [],
        text=text,
        start_from=start_from,
        model={"space": space, "hidden": hidden},
        training={
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
            "precision": precision,
        },
        legacy=legacy,
    )
    train_and_report(choices, output, list_only=list_, device=device, quiet=quiet, json=json, force=force)
