"""Encoders of images in the dtypes of `--compute-dtype`: their vectors are near those of float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_checkpoints import TEXTS, frames, make_beit, make_chinese_clip, make_siglip
from tiny_wsl import make_wsl, theirs
from torch.nn.functional import normalize

from avs.features.embedder import load_embedder
from avs.features.families import families

MAKERS: dict[str, Callable[[Path], Path]] = {
    "siglip": make_siglip,
    "clip-like": make_chinese_clip,
    "beit": make_beit,
    "wsl": lambda folder: make_wsl(folder, theirs()),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("family", MAKERS)
def test_half_precision_gives_nearly_the_vectors_of_float32(tmp_path: Path, family: str, dtype: torch.dtype) -> None:
    folder = MAKERS[family](tmp_path / family)
    embedder = load_embedder(family, weights=folder)
    half = families.get(family)(folder, dtype=dtype, pooling=embedder.spec.pooling)
    images = embedder.preprocess(frames())
    with torch.inference_mode():
        found = normalize(half.images(embedder._pixels(images).to(dtype)).float(), dim=-1).numpy()
    assert (found * embedder.encode_images(images)).sum(-1).min() > 0.999
    if embedder._tokenizer is not None and dtype == torch.bfloat16:
        texts = load_embedder(family, weights=folder, dtype="bfloat16").encode_texts(TEXTS)
        assert (texts * embedder.encode_texts(TEXTS)).sum(-1).min() > 0.99
