"""What `avs train-laff` and `avs train-dual-encoding` share: options into a recipe, the recipe into trained models."""

from __future__ import annotations

import json as json_
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avs.core.progress import Reporter
    from avs.pipeline.train.recipe import TrainRecipe

DATA, MODEL, TRAINING, OUTPUT = "Data", "Model", "Training", "Output"
FROM_OPTIONS = "captions"  # name of the collection that --captions gives


@dataclass(frozen=True, slots=True)
class Choices:
    """What was typed; None where nothing was.

    Attributes:
        architecture: of the verb.
        config: YAML recipe.
        captions, captions_format, split, features: the collection to train on, instead of the recipe's.
        validation_captions, validation_features: the one to validate on.
        text: text features.
        start_from: checkpoint.
        model, training: options of these sections of the recipe.
        legacy: as the authors' code.
    """

    architecture: str
    config: Path | None
    captions: Path | None
    captions_format: str | None
    split: str | None
    features: list[Path]
    validation_captions: Path | None
    validation_features: list[Path]
    text: list[str] | None
    start_from: Path | None
    model: Mapping[str, Any]
    training: Mapping[str, Any]
    legacy: bool


def train_and_report(
    choices: Choices,
    output: Path | None,
    *,
    list_only: bool,
    device: str,
    quiet: bool,
    json: bool,
    force: bool,
) -> None:
    """Train every model of the recipe and say what was made, or only list them."""
    from avs.core.progress import Reporter
    from avs.pipeline.train.grid import expand

    recipe = _recipe(choices)
    grid = expand(recipe)
    if list_only:
        _list(grid, json=json)
        return
    folder = _required(output)
    summaries = _train_all(grid, folder, device=device, force=force, reporter=Reporter(quiet=quiet))
    if json and os.environ.get("RANK", "0") == "0":  # of several workers one speaks
        print(json_.dumps(summaries if len(summaries) > 1 else summaries[0], indent=2))


def _train_all(
    grid: Mapping[str, TrainRecipe], folder: Path, *, device: str, force: bool, reporter: Reporter
) -> list[dict[str, Any]]:
    from avs.core.progress import Reporter
    from avs.features.encoders import resolve_device
    from avs.pipeline.train.run import Runtime, train
    from avs.train.distributed import workers_of_environment

    summaries = []
    resolve_device(device, "float32")
    with workers_of_environment(device) as (workers, device):
        spoken = reporter if workers.first else Reporter()
        runtime = Runtime(device, folder / ".text-features", workers, spoken, force)
        for number, (name, recipe) in enumerate(grid.items(), start=1):
            if name:
                spoken.say(f"\nmodel {number} of {len(grid)}: {name}")
            summaries.append(train(recipe, folder / name if name else folder, runtime))
        made = [f"--checkpoint {summary['path']}" for summary in summaries[:3]]
        more = " ..." if len(summaries) > 3 else ""
        spoken.say(f"next: avs search --topics TOPICS --store STORE ... {' '.join(made)}{more} -o lists/")
    return summaries


def _list(grid: Mapping[str, TrainRecipe], *, json: bool) -> None:
    from avs.features.text import text_feature_name

    rows = [
        {
            "model": name or "(no grid)",
            "pretrain": recipe.pretrain,
            "train": recipe.trained_on(),
            "video": recipe.video if isinstance(recipe.video, list) else None,
            "text": [text_feature_name(option) for option in recipe.text] if recipe.text else None,
            "seed": recipe.training.seed,
        }
        for name, recipe in grid.items()
    ]
    if json:
        print(json_.dumps(rows, indent=2))
        return
    width = max(len(str(row["model"])) for row in rows)
    for number, row in enumerate(rows, start=1):
        video = ", ".join(row["video"]) if row["video"] else "video features as given"
        text = ", ".join(row["text"]) if row["text"] else "default"
        trained = f"{', '.join(row['pretrain']) or 'no pre-training'} -> {', '.join(row['train'])}"
        print(f"{number:>3}  {row['model']:<{width}}  {trained}; {video}; text {text}; seed {row['seed']}")


def _recipe(choices: Choices) -> TrainRecipe:
    """The recipe of a file with the options laid over it, or of the options alone.

    Raises:
        ConfigError: they do not make one.
    """
    from avs.core.config import load_config, validate_config
    from avs.core.errors import ConfigError
    from avs.pipeline.train.recipe import TrainRecipe

    if choices.config:
        return load_config(choices.config, TrainRecipe, adjust=lambda data: _lay_over(data, choices))
    data: dict[str, Any] = {}
    _lay_over(data, choices)
    if not data.get("collections"):
        raise ConfigError("nothing to train on", next_step="give --captions and --features, or --config")
    return validate_config(data, TrainRecipe, where="options")


def _lay_over(data: dict[str, Any], choices: Choices) -> None:
    from avs.core.errors import ConfigError
    from avs.models.architectures import ARCHITECTURES

    if (choices.captions is None) != (not choices.features):
        raise ConfigError("--captions and --features go together", next_step="give both, or neither and a --config")
    if choices.captions:
        data["collections"] = {
            **_section(data, "collections"),
            FROM_OPTIONS: {
                "captions": choices.captions,
                "format": choices.captions_format,
                "split": choices.split,
                "features": choices.features,
            },
        }
        data["train"] = [FROM_OPTIONS]
    if choices.validation_features and not choices.validation_captions:
        raise ConfigError("--validation-features goes with --validation-captions")
    if choices.validation_captions:
        features = choices.validation_features or choices.features
        if not features:
            raise ConfigError("--validation-captions needs --validation-features or --features")
        data["collections"] = _section(data, "collections")
        data["collections"]["validation"] = {
            "captions": choices.validation_captions,
            "features": features,
        }
        measure = _section(data, "validation").get("measure")
        data["validation"] = {"collection": "validation", **({"measure": measure} if measure else {})}
    if choices.start_from:
        data["start_from"] = choices.start_from
    if choices.text:
        data["text"] = [_text_feature(word) for word in choices.text]
    if choices.legacy:
        data["legacy"] = True
    data["model"] = {"architecture": choices.architecture, **_section(data, "model"), **_given(choices.model)}
    named = data["model"]["architecture"]
    if named != choices.architecture and named in ARCHITECTURES:
        raise ConfigError(
            f"the recipe is of another architecture: {named}",
            where=choices.config,
            next_step=f"avs train-{named} --config {choices.config}",
        )
    data["training"] = {**_section(data, "training"), **_given(choices.training)}


def _section(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A section of a recipe to lay options over; {} where there is none.

    Raises:
        ConfigError: it is no mapping.
    """
    from avs.core.errors import ConfigError

    section = data.get(name) or {}
    if not isinstance(section, dict):
        raise ConfigError(f"`{name}` is a mapping of keys to values", got=section)
    return dict(section)


def _text_feature(word: str) -> str | dict[str, str]:
    """word2vec:FILE as a recipe has it; others are names."""
    kind, _, path = word.partition(":")
    return {"kind": kind, "path": path} if kind == "word2vec" and path else word


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _required(output: Path | None) -> Path:
    from avs.core.errors import ConfigError

    if output is None:
        raise ConfigError("nowhere to write to", next_step="give -o FOLDER, or --list to see the models")
    return output
