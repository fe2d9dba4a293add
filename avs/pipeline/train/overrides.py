"""The options of a train verb laid over a recipe, or made into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avs.core.config import load_config, validate_config
from avs.core.errors import ConfigError, typed
from avs.models.architectures import architectures
from avs.pipeline.train.recipe import TrainRecipe

TRAINING, VALIDATION = "captions", "validation"  # names of the collections that options give


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the options of a train verb say; None or nothing for an option that was not given.

    Attributes:
        captions, captions_format, split, and stores or videos and shots: the collection to train on, instead of the
            recipe's.
        frame_cache: folder for the frames of videos.
        validation_captions, validation_stores: the collection to validate on.
        text: text features.
        start_from: checkpoint to fine-tune.
        teachers: checkpoints to learn from.
        other_frames: whether they may have been trained on frames that were sampled otherwise.
        model, training: options of these sections of the recipe.
        legacy: whether to do as the authors' code does.
    """

    captions: Path | None = None
    captions_format: str | None = None
    split: str | None = None
    stores: Sequence[Path] = ()
    videos: Path | None = None
    shots: Path | None = None
    frame_cache: Path | None = None
    validation_captions: Path | None = None
    validation_stores: Sequence[Path] = ()
    text: Sequence[str] = ()
    start_from: Path | None = None
    teachers: Sequence[Path] = ()
    other_frames: bool = False
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    legacy: bool = False


def read_recipe(architecture: str, path: Path | None, overrides: Overrides) -> TrainRecipe:
    """The recipe of a YAML file with the options laid over it, or of the options alone.

    Raises:
        ConfigError: they do not make a recipe of this architecture.
    """

    def adjust(data: dict[str, Any]) -> None:
        _lay_over(data, overrides)
        data["model"] = {"architecture": architecture, **_section(data, "model"), **_set(overrides.model)}
        _require_architecture(data["model"]["architecture"], architecture, path)

    if path:
        return load_config(path, TrainRecipe, adjust=adjust)
    data: dict[str, Any] = {}
    adjust(data)
    if not data.get("collections"):
        raise ConfigError(
            "nothing to train on", next_step="give --captions and --store (or --videos and --shots), or --config"
        )
    return validate_config(data, TrainRecipe, where="options")


def _require_architecture(name: object, wanted: str, path: Path | None) -> None:
    """Check that a recipe is of the verb's architecture. The recipe itself refuses a name that does not exist."""
    if name != wanted and name in list(architectures):
        raise ConfigError(
            f"the recipe is for another architecture: {name}",
            where=path,
            next_step=f"avs train-{name} --config {typed(path)}",
        )


def _lay_over(data: dict[str, Any], overrides: Overrides) -> None:
    """Put the options into a recipe's data."""
    _lay_over_collections(data, overrides)
    if overrides.start_from:
        data["start_from"] = overrides.start_from
    if overrides.teachers:
        data["teachers"] = list(overrides.teachers)
    if overrides.other_frames:
        data["other_frames"] = True
    if overrides.frame_cache:
        data["frames"] = {**_section(data, "frames"), "cache": str(overrides.frame_cache)}
    if overrides.text:
        data["text"] = [_text_feature(word) for word in overrides.text]
    if overrides.legacy:
        data["legacy"] = True
    data["training"] = {**_section(data, "training"), **_set(overrides.training)}


def _lay_over_collections(data: dict[str, Any], overrides: Overrides) -> None:
    """The collections to train and to validate on."""
    files = {"features": list(overrides.stores)} if overrides.stores else _set(_videos(overrides))
    if (overrides.captions is None) != (not files):
        raise ConfigError(
            "--captions and --store go together, or --captions with --videos and --shots",
            next_step="give both, or neither and a --config",
        )
    if overrides.stores and (overrides.videos or overrides.shots):
        raise ConfigError("--store and --videos do not go together", next_step="give one, as the model reads it")
    if overrides.validation_stores and not overrides.validation_captions:
        raise ConfigError("--validation-store goes with --validation-captions")
    validation = {"features": list(overrides.validation_stores)} if overrides.validation_stores else files
    if overrides.validation_captions and not validation:
        raise ConfigError("--validation-captions needs --validation-store or --store")
    if overrides.captions:
        collection = {
            "captions": overrides.captions,
            "format": overrides.captions_format,
            "split": overrides.split,
            **files,
        }
        data["collections"] = {**_section(data, "collections"), TRAINING: collection}
        data["train"] = [TRAINING]
    if overrides.validation_captions:
        collection = {"captions": overrides.validation_captions, **validation}
        data["collections"] = {**_section(data, "collections"), VALIDATION: collection}
        kept = {key: _section(data, "validation").get(key) for key in ("measure", "most_pairs")}
        data["validation"] = {"collection": VALIDATION, **_set(kept)}


def _videos(overrides: Overrides) -> dict[str, Path | None]:
    return {"videos": overrides.videos, "shots": overrides.shots}


def _section(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A section of a recipe to lay options over; {} if there is none.

    Raises:
        ConfigError: the section is not a mapping.
    """
    section = data.get(name) or {}
    if not isinstance(section, dict):
        raise ConfigError(f"`{name}` is a mapping of keys to values", got=section)
    return dict(section)


def _text_feature(word: str) -> str | dict[str, str]:
    """word2vec:FILE as a recipe has it; other features are names."""
    kind, _, path = word.partition(":")
    return {"kind": kind, "path": path} if kind == "word2vec" and path else word


def _set(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that have a value."""
    return {key: value for key, value in options.items() if value is not None}
