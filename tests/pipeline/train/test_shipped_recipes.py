"""The recipes of configs/: what they name exists, and their models are those of the papers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avs.core.config import load_config
from avs.models.architectures import Tokens, make_config, make_model
from avs.models.laff import LaffModel, Tile
from avs.pipeline.train.recipe import TrainRecipe

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


def model_of(name: str, **inputs: Any) -> Any:
    recipe = load_config(CONFIGS / "train" / name, TrainRecipe)
    options = {key: value for key, value in recipe.model.items() if key != "architecture"}
    return make_model(recipe.architecture, make_config(recipe.architecture, {**inputs, **options}))


def tiled(model: LaffModel) -> set[str]:
    blocks = (model.video, model.text)
    transforms = [pair for block in blocks for pair in zip(block.names, block.transforms, strict=True)]
    return {name for name, transform in transforms if isinstance(transform, Tile)}


def test_fine_tuned_clip_goes_to_every_head_of_laff_untouched() -> None:
    others = {"timesformer": 3, "x3d": 4, "ircsn": 5}
    text = {"text": {"bow": 9, "word2vec": 5, "clip": 512}, "text_tokens": {"gru": Tokens(words=9, hidden=4)}}
    laff = model_of("laff_msrvtt.yaml", video={"clip": 512, **others}, **text)
    assert tiled(laff) == {"clip"}
    laff_ml = model_of("laff_ml_msrvtt.yaml", video=others, video_frames={"clip/frame": 512}, **text)
    assert tiled(laff_ml) == {"clip", "clip/frame"}
