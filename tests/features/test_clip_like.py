"""Dual encoders that have no family of their own: the scores of their own classes, and which are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_checkpoints import DIM, MAX_TOKENS, MEAN, STD, TEXTS, frames, make_chinese_clip, write_json, write_processor

from avs.core.errors import AvsError, ConfigError
from avs.features.embedder import load_embedder, load_embedder_for, read_spec


@torch.inference_mode()
def test_it_gives_the_cosines_of_a_class_that_avs_does_not_name(tmp_path: Path) -> None:
    from transformers import AutoTokenizer, ChineseCLIPModel

    folder = make_chinese_clip(tmp_path / "chinese")
    embedder = load_embedder("clip-like", weights=folder)
    spec = embedder.spec
    assert (spec.name, spec.dim, spec.resize, embedder.max_tokens) == ("clip-like", DIM, "square", MAX_TOKENS)
    assert load_embedder_for(spec).spec == spec
    images = embedder.preprocess(frames())
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (MEAN, STD))
    tokens = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    model = ChineseCLIPModel.from_pretrained(folder).eval()
    logits = model(
        pixel_values=(images / 255 - mean) / std,
        input_ids=tokens["input_ids"],
        attention_mask=tokens["attention_mask"],
    ).logits_per_image
    ours = embedder.encode_images(images) @ embedder.encode_texts(TEXTS).T
    np.testing.assert_allclose(ours, (logits / model.logit_scale.exp()).numpy(), atol=1e-5)


def test_a_clip_gives_the_vectors_that_its_own_family_gives(checkpoints: dict[str, Path]) -> None:
    like, clip = (load_embedder(name, weights=checkpoints["clip"]) for name in ("clip-like", "clip"))
    assert like.spec.to_json() | {"name": "clip"} == clip.spec.to_json()
    images = clip.preprocess(frames())
    np.testing.assert_array_equal(like.encode_images(images), clip.encode_images(images))
    np.testing.assert_array_equal(like.encode_texts(TEXTS), clip.encode_texts(TEXTS))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "blip"}, "take --model blip: no BLIP checkpoint has the projections"),
        ({"model_type": "siglip"}, "take --model siglip: its texts must be padded"),
        ({"model_type": "siglip2"}, "at a fixed image size"),
        ({"model_type": "dinov2"}, "has no get_image_features and no get_text_features"),
        ({"model_type": "nonsense"}, "transformers knows no such model"),
        ({"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}}, "code of a checkpoint is not run"),
    ],
)
def test_checkpoints_that_it_does_not_read(
    checkpoints: dict[str, Path], tmp_path: Path, config: Any, message: str
) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    for path in checkpoints["clip"].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    write_json(folder / "config.json", config)
    with pytest.raises(ConfigError, match=message):
        read_spec("clip-like", weights=folder)


def test_vectors_that_cannot_be_compared_are_refused_when_the_weights_are_loaded(
    checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import CLIPModel

    monkeypatch.setattr(CLIPModel, "get_image_features", lambda self, pixel_values: torch.zeros(1, 5, DIM))
    with pytest.raises(ConfigError, match=r"\[1, 5, 16\] of an image, \[1, 16\] of a text"):
        load_embedder("clip-like", weights=checkpoints["clip"])


def test_a_size_of_images_that_the_tower_does_not_take(tmp_path: Path) -> None:
    folder = make_chinese_clip(tmp_path / "chinese")
    write_processor(folder, size={"height": 64, "width": 64})
    with pytest.raises(ConfigError, match="gives no vectors of images and of texts that can be compared") as caught:
        load_embedder("clip-like", weights=folder)
    assert "ValueError" in str(caught.value.got)


def test_a_step_of_the_processor_that_is_not_reproduced(tmp_path: Path) -> None:
    folder = make_chinese_clip(tmp_path / "chinese")
    write_processor(folder, size={"height": 32, "width": 32}, include_top=True)
    with pytest.raises(AvsError, match="not one this project reproduces") as caught:
        read_spec("clip-like", weights=folder)
    assert caught.value.got == "include_top: True"


def test_the_shorter_of_two_lengths_of_texts_is_taken(tmp_path: Path) -> None:
    folder = make_chinese_clip(tmp_path / "chinese")
    path = folder / "tokenizer_config.json"
    described = json.loads(path.read_text())
    write_json(path, described | {"model_max_length": 9})
    assert load_embedder("clip-like", weights=folder).max_tokens == 9
    write_json(path, described | {"model_max_length": 10**30})
    assert load_embedder("clip-like", weights=folder).max_tokens == MAX_TOKENS
