"""Networks that stand in: checkpoints of the real families, whose numbers follow from the seed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from avs.core.errors import ChangedInputsError
from avs.core.progress import Reporter
from avs.features.embedder import load_embedder
from avs.pipeline.rehearsal.stand_ins import NOTE, STAND_INS, make_stand_in


@pytest.mark.parametrize("family", STAND_INS)
def test_an_encoder_reads_it_and_tells_images_apart(family: str, tmp_path: Path) -> None:
    for seed in (0, 1):
        make_stand_in(family, tmp_path / str(seed), seed=seed, reporter=Reporter())
    make_stand_in(family, tmp_path / "again", seed=0, reporter=Reporter())
    weights = {name: (tmp_path / name / "model.safetensors").read_bytes() for name in ("0", "1", "again")}
    assert weights["0"] == weights["again"] != weights["1"]
    assert json.loads((tmp_path / "0/config.json").read_text())["weights"] == NOTE
    encoder = load_embedder(family, weights=tmp_path / "0")
    draw, frames = np.random.default_rng(0), max(1, getattr(encoder, "clip_frames", 1))
    images = encoder.preprocess(draw.integers(0, 256, (4 * frames, 90, 120, 3), dtype=np.uint8))
    images[: 2 * frames] //= 4
    if hasattr(encoder, "encode_clips"):
        vectors = encoder.encode_clips(images.reshape(4, frames, *images.shape[1:]), torch.ones(4, frames).bool())
    else:
        vectors = encoder.encode_images(images)
    assert vectors.shape == (4, encoder.spec.dim) and np.isfinite(vectors).all()
    likeness = vectors @ vectors.T
    assert likeness[0, 1] > likeness[0, 2] and likeness[0, 2] < 0.9999


def test_it_is_made_once_and_nothing_else_is_replaced(tmp_path: Path) -> None:
    make_stand_in("wsl", tmp_path / "wsl", seed=0, reporter=Reporter())
    when = (tmp_path / "wsl/model.safetensors").stat().st_mtime_ns
    make_stand_in("wsl", tmp_path / "wsl", seed=0, reporter=Reporter())
    assert (tmp_path / "wsl/model.safetensors").stat().st_mtime_ns == when
    with pytest.raises(ChangedInputsError, match="other inputs or settings"):
        make_stand_in("wsl", tmp_path / "wsl", seed=1, reporter=Reporter())
    make_stand_in("wsl", tmp_path / "wsl", seed=1, force=True, reporter=Reporter())
