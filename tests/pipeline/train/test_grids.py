"""Grids over any option of the model and any setting of the training."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tiny_pairs import tiny_model, tiny_pairs

from avs.pipeline.train.grid import expand
from avs.pipeline.train.recipe import TrainRecipe
from avs.train import embed
from avs.train.settings import Settings


def recipe(**grid: Any) -> TrainRecipe:
    collection = {"captions": Path("c.txt"), "features": [Path("f")]}
    return TrainRecipe.model_validate(
        {
            "collections": {"one": collection},
            "model": {"architecture": "laff", "heads": 4},
            "training": {"epochs": 3},
            "grid": grid,
        }
    )


def test_every_combination_is_a_model_of_its_own_name() -> None:
    fusions, sizes, seeds = ["attention", "weighted-sum"], [8, 64], [1, 2]
    found = expand(recipe(model={"fusion": fusions}, training={"batch_size": sizes}, seed=seeds))
    assert list(found) == [
        f"fusion-{fusion}.batch_size-{size}.seed{seed}"
        for fusion, size, seed in itertools.product(fusions, sizes, seeds)
    ]
    one = found["fusion-weighted-sum.batch_size-8.seed2"]
    assert one.model == {"architecture": "laff", "heads": 4, "fusion": "weighted-sum"}
    assert one.training == Settings(epochs=3, batch_size=8, seed=2)
    assert one.grid is None


def test_labels_are_names_of_folders() -> None:
    found = expand(recipe(training={"learning_rate": [1e-4, 0.5], "precision": ["float32"]}))
    assert list(found) == ["learning_rate-0_0001.precision-float32", "learning_rate-0_5.precision-float32"]


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ({"model": {"hedas": [1, 2]}}, "laff has no option hedas"),
        ({"model": {"architecture": ["laff"]}}, "the architecture is no axis"),
        ({"training": {"batchsize": [1]}}, "training has no setting batchsize"),
        ({"training": {"batch_size": [8, "many"]}}, "batch_size"),
        ({"training": {"batch_size": [8, 0]}}, "greater than or equal to 2"),
        ({"training": {"weight_decay": [0.1]}}, "weight_decay is for adamw"),
        ({"training": {"seed": [1]}}, "seeds are the axis"),
        ({"training": {"batch_size": []}}, "wanted different values"),
        ({"model": {"heads": [8, 8]}}, "wanted different values"),
    ],
)
def test_axes_that_cannot_be_trained_are_refused(grid: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        recipe(**grid)


def test_similarities_are_the_same_whichever_side_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, model = tiny_pairs(), tiny_model().eval()
    monkeypatch.setattr(embed, "BATCH", 7)
    monkeypatch.setattr(embed.batches, "__kwdefaults__", {**embed.batches.__kwdefaults__, "batch_size": 7})
    wanted = embed.similarities(model, pairs.texts, pairs.videos)
    asked: list[int] = []
    embedding = model.embed_texts
    monkeypatch.setattr(model, "embed_texts", lambda batch: asked.append(len(batch)) or embedding(batch))
    monkeypatch.setattr(embed, "KEPT_BYTES", 0)
    monkeypatch.setattr(embed, "embed_texts", lambda *a, **k: pytest.fail("all texts were kept"))
    found = embed.similarities(model, pairs.texts, pairs.videos)
    assert found.shape == (90, 30) and max(asked) == 7
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert torch.is_grad_enabled()
