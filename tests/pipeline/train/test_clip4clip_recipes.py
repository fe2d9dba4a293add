"""The recipes of CLIP4Clip: they load, their settings and grids are the paper's, their figures those of the page."""

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
ABLATIONS = TRAIN / "clip4clip_ablations"
PAGE_NAMES = {
    "msrvtt7k": "MSR-VTT, train 7k",
    "msrvtt9k": "MSR-VTT, train 9k",
    "msvd": "MSVD",
    "lsmdc": "LSMDC",
    "activitynet": "ActivityNet",
    "didemo": "DiDeMo",
}
HEADS = ("meanP", "seqLSTM", "seqTransf", "tightTransf")
AXES = {
    "table6": ["policy-head", "policy-tail", "policy-linspace"],
    "table8": ["patches-2d", "patches-3d"],
    "figure3_batch": ["batch_size-32", "batch_size-64", "batch_size-128", "batch_size-256"],
    "figure3_frames": ["max_frames-1", "max_frames-6", "max_frames-12", "max_frames-18"],
    "figure3_freeze": ["freeze--1", "freeze-0", "freeze-3", "freeze-6", "freeze-9", "freeze-12"],
    "figure3_rate": ["learning_rate-5e-05", "learning_rate-0_0001", "learning_rate-0_001", "learning_rate-0_01"],
}


def model_config(recipe: TrainRecipe) -> Any:
    """The options of a recipe with the sizes of ViT-B/32, which are the defaults of transformers."""
    options = {key: value for key, value in recipe.model.items() if key != "architecture"}
    assert options["backbone"] == "clip-vit-b32"
    return make_config(recipe.architecture, {**options, "backbone": plain_config(CLIPConfig())})


POST_PRETRAINING = TRAIN / "clip4clip_howto100m.yaml"
FINE_TUNING = [path for path in files(TRAIN, "clip4clip_*.yaml") if path != POST_PRETRAINING]


@pytest.mark.parametrize("path", FINE_TUNING, ids=lambda path: path.stem)
def test_a_recipe_has_the_settings_of_the_authors(path: Path) -> None:
    recipe = load_config(path, TrainRecipe)
    config, training = model_config(recipe), recipe.training
    paragraphs = path.stem in ("clip4clip_activitynet", "clip4clip_didemo")
    size = 64 if paragraphs else 12
    assert (config.max_frames, config.max_words, config.freeze) == (size, 64 if paragraphs else 32, 0)
    assert {one.captions_per_video for one in recipe.collections.values()} == {"paragraph" if paragraphs else "all"}
    assert (training.optimiser, training.batch_size, training.epochs) == ("bert-adam", 128, 5)
    assert training.learning_rate == 1e-4 and config.backbone_ratio == 1e-3
    assert recipe.validation.measure == "R@1" and recipe.validation.collection
    assert recipe.frames.choice(size).to_json() == {"frames": size, "policy": "linspace", "order": "normal"}


def test_post_pretraining_has_the_settings_of_table_7() -> None:
    recipe = load_config(POST_PRETRAINING, TrainRecipe)
    config, training = model_config(recipe), recipe.training
    assert (config.head, config.loss, config.positives, config.max_frames, config.max_words) == (
        "meanP", "mil-nce", 1, 12, 32,
    )  # fmt: skip
    assert (training.optimiser, training.batch_size, training.epochs, training.patience) == ("adam", 48, 5, 5)
    assert training.learning_rate * config.backbone_ratio == 1e-8 and recipe.frames.fps == 1
    tests = [load_config(path, TrainRecipe).collections for path in FINE_TUNING]
    assert recipe.collections[recipe.validation.collection].split == "validate"  # in no test of these
    assert all("validate" != one.split for collections in tests for one in collections.values())


@pytest.mark.parametrize("path", files(ABLATIONS, "*.yaml"), ids=lambda path: path.stem)
def test_an_ablation_has_the_axis_of_its_table(path: Path) -> None:
    kind, _, data = path.stem.rpartition("_")
    recipe = load_config(path, TrainRecipe)
    models = expand(recipe)
    assert list(models) == AXES[kind]
    for one in models.values():
        assert model_config(one).head == "meanP"
    rate = 5e-5 if kind == "table6" else 1e-4
    assert kind == "figure3_rate" or {one.training.learning_rate for one in models.values()} == {rate}
    whole = load_config(TRAIN / f"clip4clip_{'msrvtt9k' if data == 'msrvtt' else data}.yaml", TrainRecipe)
    assert (recipe.collections, recipe.validation) == (whole.collections, whole.validation)


def test_every_ablation_is_there_for_every_collection() -> None:
    stems = {path.stem for path in files(ABLATIONS, "*.yaml")}
    assert stems == {f"{kind}_{data}" for kind in AXES for data in ("msrvtt", "msvd", "lsmdc")}


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_the_published_figures_are_those_of_the_page(name: str) -> None:
    page = (REPOSITORY / "docs/clip4clip.md").read_text(encoding="utf-8")
    rows = re.findall(
        rf"^\| {PAGE_NAMES[name]}(?: \(.+?\))? \|(.+)\|$", page.partition("## Published numbers")[2], re.MULTILINE
    )
    recipe = (TRAIN / f"clip4clip_{name}.yaml").read_text(encoding="utf-8")
    for place, head in enumerate(HEADS):
        cells = [row.split("|")[place] for row in rows]
        wanted = [number for cell in cells for number in re.findall(r"\d+(?:\.\d+)?", cell)]
        (line,) = re.findall(rf"^#   {head} +(.+)$", recipe, re.MULTILINE)
        assert [float(n) for n in re.findall(r"\d+(?:\.\d+)?", line)] == [float(n) for n in wanted]
        assert len(rows) == 2 or "not known to us" in line
