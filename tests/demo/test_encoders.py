"""The three small encoders that ship with avs have the classes of the real ones and know what they were taught."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate, normalize

import avs.demo
from avs.demo.captions import PLACE_WORDS
from avs.demo.render import ShotRenderer
from avs.demo.scenes import BACKGROUNDS, COLOURS, KINDS, Scene, Thing

FOLDER = Path(avs.demo.__file__).parent / "encoders"
NAMES = ("clip", "blip", "blip2")
DIM = {"clip": 128, "blip": 128, "blip2": 96}
IMAGE_SIZE, MEAN, STD = 64, (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def load(name: str):  # type: ignore[no-untyped-def]
    from transformers import AutoTokenizer, Blip2ForImageTextRetrieval, BlipForImageTextRetrieval, CLIPModel

    classes = {"clip": CLIPModel, "blip": BlipForImageTextRetrieval, "blip2": Blip2ForImageTextRetrieval}
    model = classes[name].from_pretrained(FOLDER / name, local_files_only=True).eval()
    return model, AutoTokenizer.from_pretrained(FOLDER / name, local_files_only=True)


def pooled(output):  # type: ignore[no-untyped-def]
    return output if torch.is_tensor(output) else output.pooler_output  # transformers 4 gives the tensor itself


@torch.no_grad()
def encode_images(name: str, model, frames: list[np.ndarray]) -> torch.Tensor:  # type: ignore[no-untyped-def]
    pixels = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
    if name == "clip":
        left = (pixels.shape[3] - pixels.shape[2]) // 2
        pixels = pixels[..., left : left + pixels.shape[2]]
    small = interpolate(pixels, (IMAGE_SIZE, IMAGE_SIZE), mode="bicubic", antialias=True).float() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    small = (small - mean) / std
    if name == "clip":
        return normalize(pooled(model.get_image_features(pixel_values=small)), dim=-1)
    states = model.vision_model(pixel_values=small).last_hidden_state
    if name == "blip":
        return normalize(model.vision_proj(states[:, 0]), dim=-1)
    queries = model.query_tokens.expand(len(small), -1, -1)
    seen = model.qformer(query_embeds=queries, encoder_hidden_states=states).last_hidden_state
    return normalize(normalize(model.vision_projection(seen), dim=-1).mean(1), dim=-1)


@torch.no_grad()
def encode_texts(name: str, model, tokenizer, texts: list[str]) -> torch.Tensor:  # type: ignore[no-untyped-def]
    ids = tokenizer(texts, padding=True, return_tensors="pt")
    ids, mask = ids["input_ids"], ids["attention_mask"]
    if name == "clip":
        return normalize(pooled(model.get_text_features(input_ids=ids, attention_mask=mask)), dim=-1)
    if name == "blip":
        return normalize(model.text_proj(model.text_encoder(ids, attention_mask=mask).last_hidden_state[:, 0]), dim=-1)
    words = model.embeddings(input_ids=ids)
    sentences = model.qformer(query_embeds=words, query_length=0, attention_mask=mask).last_hidden_state[:, 0]
    return normalize(model.text_projection(sentences), dim=-1)


def picture(kind: str, colour: str, background: str) -> np.ndarray:
    thing = Thing(kind, colour, "large", 1, "still", 2 / 3, 0.5, 0.0, 0.0, False)
    return ShotRenderer(Scene(background, (thing,), 2.0, 7)).frame(0.0)


def recall_at_1(name: str, frames: list[np.ndarray], texts: list[str]) -> float:
    model, tokenizer = load(name)
    scores = encode_texts(name, model, tokenizer, texts) @ encode_images(name, model, frames).T
    return (scores.argmax(1) == torch.arange(len(texts))).float().mean().item()


@pytest.mark.parametrize("name", NAMES)
def test_units_and_dimensions(name: str) -> None:
    model, tokenizer = load(name)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    images = encode_images(name, model, [picture("car", "red", "sea"), picture("cat", "blue", "snow")])
    texts = encode_texts(name, model, tokenizer, ["a red car in the sea", "ÜNKNOWN wörds, 漢字 & 99%!"])
    for vectors in (images, texts):
        assert vectors.shape == (2, DIM[name]) and torch.isfinite(vectors).all()
        assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_case_does_not_matter(name: str) -> None:
    model, tokenizer = load(name)
    lower, upper = encode_texts(name, model, tokenizer, ["a red car", "A Red CAR"])
    assert torch.allclose(lower, upper, atol=1e-5)  # rows of a batch may differ in the last bit


@pytest.mark.parametrize("name", NAMES)
def test_finds_colours_and_places(name: str) -> None:
    frames = [picture("car", colour, "street") for colour in COLOURS]
    assert recall_at_1(name, frames, [f"a {colour} car" for colour in COLOURS]) >= 0.75
    words = [PLACE_WORDS[background][0] for background in BACKGROUNDS]
    least = 0.25 if name == "blip2" else 0.75  # its captions describe things rather than places
    frames = [picture("ball", "red", background) for background in BACKGROUNDS]
    assert recall_at_1(name, frames, [f"a ball {where}" for where in words]) >= least


@pytest.mark.parametrize("name", NAMES)
def test_finds_kinds(name: str) -> None:
    frames = [picture(kind, "red", "beach") for kind in KINDS]
    assert recall_at_1(name, frames, [f"a {kind}" for kind in KINDS]) >= 0.5


@pytest.mark.parametrize("name", NAMES)
def test_says_how_it_was_made_and_how_images_are_prepared(name: str) -> None:
    log = json.loads((FOLDER / name / "training.json").read_text())
    assert log["encoder"] == name and log["curve"][-1]["step"] == log["steps"]
    config = json.loads((FOLDER / name / "preprocessor_config.json").read_text())
    assert config["image_mean"] == pytest.approx(MEAN) and config["image_std"] == pytest.approx(STD)
    assert ("crop_size" in config and bool(config.get("do_center_crop"))) == (name == "clip")


def test_all_together_are_at_most_8_mb() -> None:
    assert sum(p.stat().st_size for p in FOLDER.rglob("*") if p.is_file()) <= 8_000_000
