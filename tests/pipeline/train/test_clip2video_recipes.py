"""The recipes of CLIP2Video: they load, their settings are those of the authors' scripts, their figures the page's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from files import files
from transformers import CLIPConfig

from avs.core.config import load_config
from avs.models.architectures import make_config
from avs.models.clip_backbone import plain_config
from avs.pipeline.train.grid import expand
from avs.pipeline.train.recipe import TrainRecipe

REPOSITORY = Path(__file__).resolve().parents[3]
TRAIN = REPOSITORY / "configs/train"
PAGE_NAMES = {
    "msrvtt9k": "MSR-VTT, 1k-A",
    "msrvttfull": "MSR-VTT, full",
    "msvd": "MSVD",
    "vatex_hgr": "VATEX, HGR",
    "vatex_1k5": "VATEX, random 1,500",
}
GRIDS = {
    "blocks_msrvtt9k": [
        f"temporal-{temporal}.alignment-{alignment}"
        for temporal in ("sigmoid_selfA", "sigmoid_mlp", "none")
        for alignment in ("TAB", "none")
    ],
    "differences_msrvtt9k": ["temporal-sigmoid_selfA", "temporal-sigmoid_mlp"],
}


def model_config(recipe: TrainRecipe) -> Any:
    """The options of a recipe with the sizes of ViT-B/32, which are the defaults of transformers."""
    options = {key: value for key, value in recipe.model.items() if key != "architecture"}
    assert recipe.architecture == "clip2video" and options["backbone"] == "clip-vit-b32"
    return make_config(recipe.architecture, {**options, "backbone": plain_config(CLIPConfig())})


def test_every_published_row_has_a_recipe() -> None:
    assert {path.stem for path in files(TRAIN, "clip2video_*.yaml")} == {f"clip2video_{name}" for name in PAGE_NAMES}


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_a_recipe_has_the_settings_of_the_authors_scripts(name: str) -> None:
    recipe = load_config(TRAIN / f"clip2video_{name}.yaml", TrainRecipe)
    config, training = model_config(recipe), recipe.training
    assert (config.temporal, config.alignment, config.global_weight) == ("sigmoid_selfA", "TAB_TDB", 0.5)
    assert config.centres == (7 if name.startswith("vatex") else 5)
    assert (config.max_frames, config.max_words, config.layers, config.legacy) == (12, 32, 4, False)
    assert recipe.frames.fps == (2.5 if name.startswith("msrvtt") else 5) and recipe.frames.policy == "jittered"
    assert (training.optimiser, training.batch_size, training.epochs) == ("bert-adam", 128, 5)
    assert training.learning_rate == 1e-4 and config.backbone_ratio == 1e-3
    assert recipe.validation.measure == "R@1"


@pytest.mark.parametrize("name", GRIDS)
def test_the_ablations_are_tdb_by_tab(name: str) -> None:
    recipe = load_config(TRAIN / "clip2video_ablations" / f"{name}.yaml", TrainRecipe)
    models = expand(recipe)
    assert list(models) == GRIDS[name]
    for one in models.values():
        assert (model_config(one).alignment == "TAB_TDB") == (name == "differences_msrvtt9k")
    whole = load_config(TRAIN / "clip2video_msrvtt9k.yaml", TrainRecipe)
    assert (recipe.collections, recipe.validation, recipe.frames, recipe.training) == (
        whole.collections, whole.validation, whole.frames, whole.training,
    )  # fmt: skip


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_the_published_figures_are_those_of_the_page(name: str) -> None:
    page = (REPOSITORY / "docs/clip2video.md").read_text(encoding="utf-8").partition("## Published numbers")[2]
    (row,) = re.findall(rf"^\| {PAGE_NAMES[name]} \|(.+)\|$", page, re.MULTILINE)
    recipe = (TRAIN / f"clip2video_{name}.yaml").read_text(encoding="utf-8")
    for direction, cell in zip(("text to video", "video to text"), row.split("|"), strict=True):
        (line,) = re.findall(rf"^#   {direction} +(.+)$", recipe, re.MULTILINE)
        figures = [[float(n) for n in re.findall(r"\d+(?:\.\d+)?", text)] for text in (line, cell)]
        assert figures[0] == figures[1] and len(figures[0]) == 5
