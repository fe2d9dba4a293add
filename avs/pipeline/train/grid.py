"""One recipe into a grid of them: every combination of pre-training set, video features, text features and seed."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

from avs.pipeline.train.recipe import TrainRecipe


def expand(recipe: TrainRecipe) -> dict[str, TrainRecipe]:
    """Name -> recipe of each model of the grid, in the order of the axes; of no grid, "" -> the recipe itself.

    A name joins the labels of the axes that vary, such as "v3c1-pc.no-wsl.seed2".
    """
    if recipe.grid is None:
        return {"": recipe}
    grid = recipe.grid
    axes: list[list[tuple[str, dict[str, Any]]]] = [
        [(label, {"pretrain": names}) for label, names in grid.pretrain.items()],
        [(label, {"video": names}) for label, names in grid.video.items()],
        [(label, {"text": features}) for label, features in grid.text.items()],
        [(f"seed{seed}", {"training": replace(recipe.training, seed=seed)}) for seed in grid.seed],
    ]
    made = {}
    for chosen in product(*(axis for axis in axes if axis)):
        changes: dict[str, Any] = {"grid": None, "train": recipe.trained_on()}
        for _, change in chosen:
            changes |= change
        made[".".join(label for label, _ in chosen)] = recipe.model_copy(update=changes)
    return made
