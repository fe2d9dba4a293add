"""The recipes of TeachCLIP: they load, their settings are the authors', and each makes the recipe of its teacher."""

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

TRAIN = Path(__file__).resolve().parents[3] / "configs/train"
PARAGRAPHS = ("teachclip_activitynet", "teachclip_didemo")
OWN_TEACHERS = ("msrvtt9k", "msvd", "rucmm_tv23")  # have a recipe of X-CLIP


@pytest.mark.parametrize("path", files(TRAIN, "teachclip_*.yaml"), ids=lambda path: path.stem)
def test_a_recipe_has_the_settings_of_the_authors(path: Path) -> None:
    recipe = load_config(path, TrainRecipe)
    options = {key: value for key, value in recipe.model.items() if key != "architecture"}
    assert (recipe.architecture, options["backbone"]) == ("teachclip", "clip-vit-b32")
    config = make_config(recipe.architecture, {**options, "backbone": plain_config(CLIPConfig())})
    long = path.stem in PARAGRAPHS
    assert (config.max_frames, config.max_words, config.freeze) == ((64, 64, 0) if long else (12, 32, 0))
    assert (config.own_weight, config.coarse_weight, config.fine_weight, config.coarse) == (0.2, 1.0, 2.0, "pear")
    training = recipe.training
    assert (training.optimiser, training.batch_size, training.epochs) == ("bert-adam", 64 if long else 120, 10)
    assert (training.learning_rate, config.backbone_ratio, config.afa_ratio) == (1e-4, 1e-3, 10.0)
    assert recipe.validation.measure == "R@1" and recipe.validation.collection
    assert recipe.frames is not None
    assert recipe.frames.choice(12).to_json() == {"frames": 12, "policy": "linspace", "order": "normal"}
    assert all(one.videos and one.shots for one in recipe.collections.values())


@pytest.mark.parametrize("path", files(TRAIN, "teachclip_*.yaml"), ids=lambda path: path.stem)
def test_the_teacher_of_a_recipe_comes_from_its_commands_and_fits(path: Path, tmp_path: Path) -> None:
    text, student = path.read_text(encoding="utf-8"), load_config(path, TrainRecipe)
    (folder,) = student.teachers
    (command,) = re.findall(r"^#     (avs train-xclip .+)$", text, re.MULTILINE)
    assert command.endswith(f" -o {folder}")
    name = path.stem.removeprefix("teachclip_")
    if name in OWN_TEACHERS:
        assert f"configs/train/xclip_{name}.yaml" in command
        teacher = load_config(TRAIN / f"xclip_{name}.yaml", TrainRecipe)
    else:
        (script,) = re.findall(r"^#     sed '(.+)' ", text, re.MULTILINE)
        assert script == "/^teachers/d; /^training/d; s/teachclip, /xclip, /"
        kept = [line for line in text.splitlines() if not line.startswith(("teachers", "training"))]
        (tmp_path / "xclip.yaml").write_text("\n".join(kept).replace("teachclip, ", "xclip, "))
        teacher = load_config(tmp_path / "xclip.yaml", TrainRecipe)
        assert (teacher.training.batch_size, teacher.training.epochs) == (300, 5)
    assert teacher.architecture == "xclip" and teacher.teachers == []
    assert all(teacher.model[key] == student.model[key] for key in ("max_frames", "max_words", "backbone"))
    assert (teacher.trained_on(), teacher.validation) == (student.trained_on(), student.validation)
    assert teacher.collections == student.collections


def test_the_figures_of_rucmm_are_those_of_the_page() -> None:
    page = (TRAIN.parents[1] / "docs/teachclip.md").read_text(encoding="utf-8")
    head = (TRAIN / "teachclip_rucmm_tv23.yaml").read_text(encoding="utf-8")
    for year, value in (("TV19", ".115"), ("TV20", ".149"), ("TV21", ".166"), ("TV22", ".134")):
        assert f"{year} {value}" in head and f"| {year} | {value} |" in page
