"""The recipes of configs/: what they name exists, and their models are those of the papers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from files import files

from avs.core.config import load_config
from avs.features.catalog import read_catalog
from avs.features.recipe import ExtractionRecipe
from avs.features.stores import store_folders
from avs.models.architectures import Tokens, make_config, make_model
from avs.models.blocks.block import Tile
from avs.models.laff import LaffModel
from avs.pipeline.extract import require_usable
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
    text = {"text": {"bow": 9, "word2vec": 5, "clip-ft": 512}, "text_tokens": {"gru": Tokens(words=9, hidden=4)}}
    laff = model_of("laff_msrvtt.yaml", video={"clip-ft": 512, **others}, **text)
    assert tiled(laff) == {"clip-ft"}
    laff_ml = model_of("laff_ml_msrvtt.yaml", video=others, video_frames={"clip/frame": 512}, **text)
    assert tiled(laff_ml) == {"clip-ft", "clip/frame"}


MODELS = {"teachclip-rucmm"}
"""Trained models of recipes, whose stores are called as they are."""
BIGFILES = {"ircsn", "resnet152", "resnext101-resnet152", "timesformer", "x3d"}
"""Features of the papers that come as RUC's BigFiles; those of MSR-VTT are not the ones that avs extracts."""


@pytest.mark.parametrize("path", files(CONFIGS, "[rt]*/*.yaml"), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_store_of_a_recipe_is_of_an_encoder_in_the_catalog(path: Path) -> None:
    stores = re.findall(r"FeatureData/([\w.-]+)(/shot|/frame)?", path.read_text(encoding="utf-8"))
    for name, level in stores:
        assert name in BIGFILES or (name in {*read_catalog(), *MODELS} and level), f"{name}{level}"


def test_the_stores_of_rucmms_recipes_are_those_that_one_pass_makes() -> None:
    features = load_config(CONFIGS / "features/rucmm_tv23.yaml", ExtractionRecipe)
    encoders = require_usable(features)
    made = {str(folder) for folder in store_folders(Path(), features, encoders)}
    read = {}
    for path in (CONFIGS / "train/rucmm_tv23.yaml", *files(CONFIGS / "runs", "rucmm*.yaml")):
        found = set(re.findall(r"FeatureData/([\w.-]+/\w+)", path.read_text(encoding="utf-8")))
        read[path.stem] = found - {f"{model}/shot" for model in MODELS}
    assert set().union(*read.values()) == made
    recipe = load_config(CONFIGS / "train/rucmm_tv23.yaml", TrainRecipe)
    assert recipe.grid is not None
    of_grid = {f"{name}/shot" for choice in recipe.grid.video.values() for name in choice}
    assert made == of_grid | {"clip-vit-b32/frame"} and len(of_grid) == 7
    three = load_config(CONFIGS / "features/clip_blip_blip2.yaml", ExtractionRecipe)
    assert {encoder.model for encoder in three.encoders} < {encoder.name for encoder in encoders}
