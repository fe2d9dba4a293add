"""Grids of models: the axes of a recipe, and the recipe of each combination."""

from __future__ import annotations

import re
from dataclasses import asdict, fields
from itertools import product
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from avs.features.text import TextOptions
from avs.pipeline.train.collection_recipe import FramesRecipe, Strict
from avs.train.settings import Settings

if TYPE_CHECKING:
    from avs.pipeline.train.recipe import TrainRecipe


class GridRecipe(Strict):
    """Axes of a grid; every combination is a model. An axis that is left out has only the recipe's own value.

    Attributes:
        pretrain: label -> collections to pre-train on ([]: no pre-training).
        video: label -> video features.
        text: label -> text features.
        model, training, frames: key of that section -> its values. A value's label is "KEY-VALUE".
        seed: seeds.
    """

    pretrain: dict[str, list[str]] = {}
    video: dict[str, list[str]] = {}
    text: dict[str, list[TextOptions]] = {}
    model: dict[str, list[Any]] = {}
    training: dict[str, list[Any]] = {}
    frames: dict[str, list[Any]] = {}
    seed: list[int] = []


def expand(recipe: TrainRecipe) -> dict[str, TrainRecipe]:
    """Name -> recipe of each model of the grid, in the order of the axes; without a grid, "" -> the recipe itself.

    A name joins the labels of the axes that vary, such as "v3c1-pc.no-wsl.seed2".
    """
    if recipe.grid is None:
        return {"": recipe}
    grid = recipe.grid
    axes: list[list[tuple[str, dict[str, Any]]]] = [
        [(label, {"pretrain": names}) for label, names in grid.pretrain.items()],
        [(label, {"video": names}) for label, names in grid.video.items()],
        [(label, {"text": features}) for label, features in grid.text.items()],
        *([(label_of(key, v), {"model": {key: v}}) for v in values] for key, values in grid.model.items()),
        *([(label_of(key, v), {"training": {key: v}}) for v in values] for key, values in grid.training.items()),
        *([(label_of(key, v), {"frames": {key: v}}) for v in values] for key, values in grid.frames.items()),
        [(f"seed{seed}", {"training": {"seed": seed}}) for seed in grid.seed],
    ]
    models = {}
    for chosen in product(*(axis for axis in axes if axis)):
        changes: dict[str, Any] = {"grid": None, "train": recipe.trained_on()}
        model: dict[str, Any] = dict(recipe.model)
        training: dict[str, Any] = {}
        frames: dict[str, Any] = {}
        for _, change in chosen:
            model |= change.get("model", {})
            training |= change.get("training", {})
            frames |= change.get("frames", {})
            changes |= change
        changes |= {"model": model, "training": with_training(recipe.training, training)}
        changes["frames"] = with_frames(recipe.frames, frames) if frames else recipe.frames
        models[".".join(label for label, _ in chosen)] = recipe.model_copy(update=changes)
    return models


def label_of(key: str, value: Any) -> str:
    """The label of a value of an axis, as part of a folder's name."""
    return re.sub(r"[^\w.-]+", "_", f"{key}-{value}").replace(".", "_")


def with_training(training: Settings, changes: dict[str, Any]) -> Settings:
    """The settings with some changed, checked.

    Raises:
        ValueError: a key or a value that settings do not have.
    """
    unknown = sorted(set(changes) - {setting.name for setting in fields(Settings)})
    if unknown:
        raise ValueError(f"training has no setting {', '.join(unknown)}")
    return TypeAdapter(Settings).validate_python({**asdict(training), **changes})


def with_frames(frames: FramesRecipe | None, changes: dict[str, Any]) -> FramesRecipe:
    """The frames with some keys changed, checked.

    Raises:
        ValueError: a key or a value that there is not.
    """
    return FramesRecipe.model_validate({**(frames.model_dump() if frames else {}), **changes})
