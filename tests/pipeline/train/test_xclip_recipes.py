"""The recipes of X-CLIP: they load, their settings are the authors', their figures those of the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from files import files
from transformers import CLIPConfig

from avs.core.config import load_config
from avs.models.architectures import make_config
from avs.models.clip_backbone import plain_config
from avs.pipeline.train.recipe import TrainRecipe

REPOSITORY = Path(__file__).resolve().parents[3]
TRAIN = REPOSITORY / "configs/train"
PAGE_NAMES = {"msrvtt9k": "MSR-VTT, train 9k", "msvd": "MSVD"}


@pytest.mark.parametrize("path", files(TRAIN, "xclip_*.yaml"), ids=lambda path: path.stem)
def test_a_recipe_has_the_settings_of_the_authors(path: Path) -> None:
    recipe = load_config(path, TrainRecipe)
    options = {key: value for key, value in recipe.model.items() if key != "architecture"}
    assert options["backbone"] == "clip-vit-b32"
    config = make_config(recipe.architecture, {**options, "backbone": plain_config(CLIPConfig())})
    training = recipe.training
    assert (recipe.architecture, config.head) == ("xclip", "seqTransf")
    assert (config.max_frames, config.max_words, config.freeze, config.temperature) == (12, 32, 0, 0.01)
    assert (training.optimiser, training.batch_size, training.epochs) == ("bert-adam", 300, 5)
    assert training.learning_rate == 1e-4 and config.backbone_ratio == 1e-3
    assert recipe.validation.measure == "R@1" and recipe.validation.collection
    assert recipe.frames.choice(12).to_json() == {"frames": 12, "policy": "linspace", "order": "normal"}
    assert all(one.videos and one.shots for one in recipe.collections.values())


def test_the_teacher_of_rucmm_reads_their_three_sets() -> None:
    recipe = load_config(TRAIN / "xclip_rucmm_tv23.yaml", TrainRecipe)
    assert (recipe.train, recipe.validation.collection) == (["msrvtt10k", "tgif", "vatex"], "tv2016train")
    assert str(recipe.collections["vatex"].videos) == "data/vatex/VideoData"


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_the_published_figures_are_those_of_the_page(name: str) -> None:
    page = (REPOSITORY / "docs/xclip.md").read_text(encoding="utf-8").partition("## Published numbers")[2]
    (row,) = re.findall(rf"^\| {PAGE_NAMES[name]} \| ([\d.]+) \|$", page, re.MULTILINE)
    (line,) = re.findall(
        r"^#   X-CLIP +R@1 ([\d.]+)$", (TRAIN / f"xclip_{name}.yaml").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert line == row
