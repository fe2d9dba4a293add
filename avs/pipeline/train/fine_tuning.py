"""What a training that starts from a checkpoint must have in common with it."""

from __future__ import annotations

from avs.core.errors import ConfigError
from avs.features.text import text_feature_name
from avs.pipeline.train.recipe import TrainRecipe
from avs.train.checkpoint import Checkpoint


def require_same_model(recipe: TrainRecipe, start: Checkpoint) -> None:
    """Check that a recipe describes the model it starts from.

    Raises:
        ConfigError: the recipe names another architecture, other options or text features.
    """
    differences = {
        key: value for key, value in recipe.model.items() if start.config.get(key, recipe.architecture) != value
    }
    if recipe.architecture != start.architecture:
        differences["architecture"] = recipe.architecture
    if recipe.text is not None:
        differences["text"] = ", ".join(text_feature_name(option) for option in recipe.text)
    if recipe.legacy and not start.config.get("legacy"):
        differences["legacy"] = True
    if differences:
        raise ConfigError(
            "a model that is fine-tuned keeps its architecture, options and text features",
            where=start.folder,
            got=", ".join(f"{key}: {value}" for key, value in differences.items()),
            wanted=f"architecture: {start.architecture}, and none of the others",
            next_step="leave these out, or train a new model",
        )


def require_raw_frames(start: Checkpoint) -> None:
    """Check that a model that goes on with pixels has seen frames as the tower gives them.

    Raises:
        ConfigError: it was trained on vectors of length 1.
    """
    scaled = [name for name, spec in start.video_features.items() if spec.normalised]
    if scaled:
        raise ConfigError(
            "the model has seen frames of length 1, and pixels give vectors as the tower makes them",
            where=start.folder,
            got=", ".join(scaled),
            next_step="start from a model that was trained on videos, or on a store of `extract-features --raw-length`",
        )
