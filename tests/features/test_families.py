"""Our separate towers against the models' own forward passes: the scores they were trained to give (methods N4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_checkpoints import MEAN, QUERIES, STD, TEXTS, frames
from torch.nn.functional import normalize

from avs.features.embedder import load_embedder
from avs.features.families import families
from avs.features.families.blip import clean_caption


def inputs(embedder: Any) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """uint8 images, and what transformers' models take: normalised pixels and tokens."""
    from transformers import AutoTokenizer

    images = embedder.preprocess(frames())
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in (MEAN, STD))
    tokens = AutoTokenizer.from_pretrained(embedder.spec.weights)(TEXTS, padding=True, return_tensors="pt")
    return images, (images / 255 - mean) / std, {key: tokens[key] for key in ("input_ids", "attention_mask")}


def test_clip_gives_the_cosines_of_the_model(checkpoints: dict[str, Path]) -> None:
    from transformers import CLIPModel

    embedder = load_embedder("clip", weights=checkpoints["clip"])
    images, pixels, tokens = inputs(embedder)
    model = CLIPModel.from_pretrained(checkpoints["clip"]).eval()
    short = {key: value[:, :24] for key, value in tokens.items()}
    short["input_ids"][:, -1] = torch.where(  # what truncation does: the end token stays
        tokens["attention_mask"][:, 23].bool(), model.config.text_config.eos_token_id, short["input_ids"][:, -1]
    )
    with torch.inference_mode():
        logits = model(pixel_values=pixels, **short).logits_per_image / model.logit_scale.exp()
    ours = embedder.encode_images(images) @ embedder.encode_texts(TEXTS).T
    np.testing.assert_allclose(ours, logits.numpy(), atol=1e-4)


def test_blip_gives_the_itc_score_of_the_model(checkpoints: dict[str, Path]) -> None:
    from transformers import BlipForImageTextRetrieval

    embedder = load_embedder("blip", weights=checkpoints["blip"])
    images, pixels, tokens = inputs(embedder)
    model = BlipForImageTextRetrieval.from_pretrained(checkpoints["blip"]).eval()
    with torch.inference_mode():
        scores = model(pixel_values=pixels, use_itm_head=False, **tokens).itm_score
    ours = embedder.encode_images(images) @ embedder.encode_texts(TEXTS).T
    np.testing.assert_allclose(ours, scores.numpy(), atol=1e-4)


@pytest.fixture(scope="module")
def blip2_scores(checkpoints: dict[str, Path]) -> np.ndarray:
    from transformers import Blip2ForImageTextRetrieval

    _, pixels, tokens = inputs(load_embedder("blip2", weights=checkpoints["blip2"]))
    model = Blip2ForImageTextRetrieval.from_pretrained(checkpoints["blip2"]).eval()
    with torch.inference_mode():
        found: np.ndarray = model(
            pixel_values=pixels, use_image_text_matching_head=False, **tokens
        ).logits_per_image.numpy()
    return found


def test_blip2_queries_give_the_itc_score_of_the_model(checkpoints: dict[str, Path], blip2_scores: np.ndarray) -> None:
    embedder = load_embedder("blip2", weights=checkpoints["blip2"], pooling="queries")
    vectors = embedder.encode_images(embedder.preprocess(frames()))  # (F, Q, D)
    assert vectors.shape[1] == QUERIES and np.abs(vectors[:, 0] - vectors[:, 1]).max() > 1e-3
    ours = (vectors @ embedder.encode_texts(TEXTS).T).max(axis=1)
    np.testing.assert_allclose(ours, blip2_scores, atol=1e-4)


def test_blip2_query_mean_is_the_unit_mean_of_the_queries(checkpoints: dict[str, Path]) -> None:
    each, pooled = (load_embedder("blip2", weights=checkpoints["blip2"], pooling=p) for p in ("queries", None))
    images = each.preprocess(frames())
    mean = each.encode_images(images).mean(axis=1)
    expected = mean / np.linalg.norm(mean, axis=-1, keepdims=True)
    assert pooled.spec.pooling == "query-mean"
    np.testing.assert_allclose(pooled.encode_images(images), expected, atol=1e-5)


@pytest.mark.parametrize("family", ["clip", "blip", "blip2"])
def test_float16_towers_run_though_part_of_them_stays_float32(checkpoints: dict[str, Path], family: str) -> None:
    embedder = load_embedder(family, weights=checkpoints[family])
    half = families.get(family)(checkpoints[family], dtype=torch.float16, pooling=embedder.spec.pooling)
    images, pixels, tokens = inputs(embedder)
    with torch.inference_mode():
        found = normalize(half.images(pixels.half()).float(), dim=-1).numpy()
        texts = half.texts(*(value[:, :24] for value in tokens.values()))
    assert (found * embedder.encode_images(images)).sum(-1).min() > 0.999
    assert texts.shape == (len(TEXTS), embedder.spec.dim)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("family", ["clip", "blip", "blip2"])
def test_cuda_gives_what_the_cpu_gives(checkpoints: dict[str, Path], family: str, dtype: str) -> None:
    cpu = load_embedder(family, weights=checkpoints[family])
    cuda = load_embedder(family, weights=checkpoints[family], device="cuda", dtype=dtype)
    images = cpu.preprocess(frames())
    assert (cpu.encode_images(images) * cuda.encode_images(images.pin_memory())).sum(-1).min() > 0.999
    assert (cpu.encode_texts(TEXTS) * cuda.encode_texts(TEXTS)).sum(-1).min() > 0.999


def test_captions_are_cleaned_as_in_training() -> None:
    assert clean_caption('  A "Red" car (parked);  near\na dog, at 5:30! ') == "a red car parked near a dog, at 5 30"


def test_blip_reads_a_caption_the_same_with_and_without_its_full_stop(checkpoints: dict[str, Path]) -> None:
    embedder = load_embedder("blip", weights=checkpoints["blip"])
    plain, pointed = embedder.encode_texts(["the man sits", "The man sits."])
    np.testing.assert_allclose(plain, pointed, atol=1e-6)  # rows of a batch may differ in the last bit
