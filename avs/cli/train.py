"""The train verbs: one command per registered architecture, with the architecture's own options and defaults."""

from __future__ import annotations

import inspect
import json as json_
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from avs.cli.options import (
    INPUTS,
    LEARN,
    MODEL,
    OUTPUT,
    CaptionsFormat,
    Debug,
    Device,
    Force,
    Json,
    OptionalStores,
    Quiet,
    Split,
)
from avs.models.architectures import Architecture, architectures

if TYPE_CHECKING:
    from avs.pipeline.train.recipe import TrainRecipe

TEXT = "Text feature: bow, word2vec:FILE, gru, bigru or an encoder of the catalog; repeatable"
BACKBONE = "CLIP to start from: a name of the catalog, or a folder of weights"
PIXELS: Mapping[str, tuple[type, str, str]] = {
    "videos": (Path, "Folder of the training videos, to train on their frames; instead of --store", INPUTS),
    "shots": (Path, "Shot table of --videos", INPUTS),
    "frame_cache": (Path, "Folder for the frames of the videos; 'none': decode them each time", OUTPUT),
}
"""Options of architectures that read frames: type, help and panel."""
TEACHER = "Checkpoint to learn from, such as an X-CLIP; repeatable"
OTHER_FRAMES = "Let a teacher score frames that are sampled otherwise than those that it was trained on"
RESUME = "Run the same command again to resume; the losses are identical."
TRAINING_OPTIONS: Mapping[str, tuple[type, str]] = {
    "epochs": (int, "Largest number of epochs"),
    "batch_size": (int, "Number of pairs per step"),
    "learning_rate": (float, "Learning rate of the first epoch"),
    "seed": (int, "Seed of everything random in this command"),
    "precision": (str, "float32, bfloat16, or float16 (CUDA)"),
}
"""Fields of train.settings.Settings that are options: type and help. The default is that of the authors."""

Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Folder for the model or the grid of models.", rich_help_panel=OUTPUT),
]
Config = Annotated[
    Path | None,
    typer.Option(help="YAML recipe (configs/train/); the options below override it.", rich_help_panel=INPUTS),
]
Captions = Annotated[Path | None, typer.Option(help="Caption file of the training videos.", rich_help_panel=INPUTS)]
ValidationCaptions = Annotated[
    Path | None,
    typer.Option(help="Caption file to validate on; default: those of 10% of the videos.", rich_help_panel=INPUTS),
]
ValidationStores = Annotated[
    list[Path] | None,
    typer.Option(
        "--validation-store",
        help="Feature store of the validation videos; repeatable; default: those of --store.",
        rich_help_panel=INPUTS,
    ),
]
StartFrom = Annotated[
    Path | None, typer.Option(help="Checkpoint to fine-tune, with its vocabularies.", rich_help_panel=MODEL)
]
Legacy = Annotated[
    bool, typer.Option("--legacy", help="Do as the authors' code does, wherever we differ.", rich_help_panel=LEARN)
]
ListOnly = Annotated[
    bool, typer.Option("--list", help="Print the models of the grid and train none.", rich_help_panel=OUTPUT)
]


def module_of(name: str) -> ModuleType:
    """The verb of an architecture, as a module with its `command`, docstring and EXAMPLES."""
    architecture = architectures.get(name)

    def command(**values: Any) -> None:
        model = {option.name: values.pop(option.name) for option in architecture.verb_options}
        if architecture.backbone:
            model["backbone"] = values.pop("backbone")
        pixels = {key: values.pop(key) for key in PIXELS if key in values}
        training = {key: values.pop(key) for key in TRAINING_OPTIONS}
        taught = {"teachers": values.pop("teacher", None) or (), "other_frames": bool(values.pop("other_frames", None))}
        inputs = {"text": values.pop("text", None) or (), **taught, **pixels}
        train(name, model, training, inputs, **values)

    shared = list(inspect.signature(train, eval_str=True).parameters.values())[4:]
    command.__signature__ = inspect.Signature([*shared, *_own_options(architecture)])  # type: ignore[attr-defined]
    module = ModuleType(f"avs.cli.train.{name}", f"{architecture.description}\n\n{RESUME}")
    module.__dict__.update(command=command, EXAMPLES=architecture.examples)
    return module


def _own_options(architecture: Architecture) -> Iterator[inspect.Parameter]:
    """The options of the architecture, its text features, and the training with its authors' defaults."""
    from avs.train.settings import Settings

    types = get_type_hints(architecture.config)
    if architecture.backbone:
        yield _parameter("backbone", str, BACKBONE, "that of the recipe", MODEL)
        for key, (kind, help, panel) in PIXELS.items():
            yield _parameter(key, kind, help, "in the output folder" if key == "frame_cache" else None, panel)
        if architecture.taught({}):
            yield _parameter("teacher", list[Path], TEACHER, "those of the recipe", MODEL)
            yield _parameter("other_frames", bool, OTHER_FRAMES, None, MODEL)
    else:
        towers = "the text tower of every store that has one"
        default_text = f"bow and {towers}" if architecture.bag_of_words else towers
        yield _parameter("text", list[str], TEXT, default_text, MODEL)
    for option in architecture.verb_options:
        yield _parameter(option.name, types[option.name], option.metadata["help"], option.default, MODEL)
    authors = architecture.recipe.get("training", {})
    defaults = {setting.name: authors.get(setting.name, setting.default) for setting in fields(Settings)}
    for key, (kind, help) in TRAINING_OPTIONS.items():
        yield _parameter(key, kind, help, defaults[key], LEARN)


def _parameter(name: str, kind: Any, help: str, default: object, panel: str) -> inspect.Parameter:
    """An option whose absence leaves the choice to the recipe."""
    option = typer.Option(help=f"{help}; default {default}." if default else f"{help}.", rich_help_panel=panel)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def train(
    architecture: str,
    model: Mapping[str, Any],
    training: Mapping[str, Any],
    inputs: Mapping[str, Any],
    *,
    output: Output = None,
    config: Config = None,
    captions: Captions = None,
    captions_format: CaptionsFormat = None,
    split: Split = None,
    store: OptionalStores = None,
    validation_captions: ValidationCaptions = None,
    validation_store: ValidationStores = None,
    start_from: StartFrom = None,
    legacy: Legacy = False,
    list_: ListOnly = False,
    device: Device = "cpu",
    quiet: Quiet = False,
    json: Json = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Train every model of the recipe, or only list the models."""
    from avs.core.errors import ConfigError
    from avs.pipeline.train.grid import expand
    from avs.pipeline.train.overrides import Overrides, read_recipe

    overrides = Overrides(
        captions=captions,
        captions_format=captions_format,
        split=split,
        stores=store or (),
        validation_captions=validation_captions,
        validation_stores=validation_store or (),
        **inputs,
        start_from=start_from,
        model=model,
        training=training,
        legacy=legacy,
    )
    grid = expand(read_recipe(architecture, config, overrides))
    if list_:
        _print_models(grid, json=json)
        return
    if output is None:
        raise ConfigError("nowhere to write to", next_step="give -o FOLDER, or --list to see the models")
    from avs.core.progress import Reporter
    from avs.pipeline.train.run import train_grid

    summaries = train_grid(grid, output, device=device, reporter=Reporter(quiet=quiet), force=force)
    if json and os.environ.get("RANK", "0") == "0":  # only the first of several workers prints
        print(json_.dumps(summaries if len(summaries) > 1 else summaries[0], indent=2))


def _print_models(grid: Mapping[str, TrainRecipe], *, json: bool) -> None:
    """One line per model."""
    rows = [{"model": name or "(no grid)", **recipe.summary()} for name, recipe in grid.items()]
    if json:
        print(json_.dumps(rows, indent=2))
        return
    width = max(len(row["model"]) for row in rows)
    for number, row in enumerate(rows, start=1):
        video = ", ".join(row["video"]) if row["video"] else "video features as given"
        text = ", ".join(row["text"]) if row["text"] else "default"
        collections = f"{', '.join(row['pretrain']) or 'no pre-training'} -> {', '.join(row['train'])}"
        print(f"{number:>3}  {row['model']:<{width}}  {collections}; {video}; text {text}; seed {row['seed']}")
