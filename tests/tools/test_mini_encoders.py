"""The scripts that trained the shipped encoders still train one that the package can load."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "tools" / "mini_encoders"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))


def test_two_steps_of_training_make_an_encoder_that_encodes_images_and_texts(tmp_path, monkeypatch):
    import pretrain

    from avs.features.embedder import load_embedder

    monkeypatch.setattr(pretrain, "HELD_OUT", 12)
    monkeypatch.setattr(pretrain, "VOCABULARY_CAPTIONS", 400)
    pretrain.pretrain("clip", tmp_path / "clip", seed=1, steps=2, batch=8, frames=60, threads=1)
    log = json.loads((tmp_path / "clip" / "training.json").read_text())
    assert log["curve"][-1]["step"] == 2 and 0 < log["curve"][-1]["match"] < 10
    encoder = load_embedder("clip", weights=tmp_path / "clip")
    frames = np.random.default_rng(0).integers(0, 255, (2, 144, 192, 3), dtype=np.uint8)
    images = encoder.encode_images(encoder.preprocess(frames))
    texts = encoder.encode_texts(["a red car", "two birds at the beach"])
    for vectors in (images, texts):
        assert vectors.shape == (2, 128)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_an_update_changes_the_weights_and_warms_up(monkeypatch):
    import pretrain
    import torch
    from training_frames import render_frames

    monkeypatch.setattr(pretrain, "HELD_OUT", 10)
    monkeypatch.setattr(pretrain, "VOCABULARY_CAPTIONS", 400)
    frames = render_frames(40, seed=3, size=64, crop=True, favourites=("car",), workers=1)
    training = pretrain.Pretraining("clip", frames, seed=3, steps=10, batch=8)
    before = [parameter.detach().clone() for parameter in training.parameters]
    figures = training.step(0)
    assert figures["rate"] == pytest.approx(1.5e-3 / 100)
    assert figures["scale"] == pytest.approx(1 / 0.07, rel=1e-5)
    changed = [not torch.equal(old, new) for old, new in zip(before, training.parameters, strict=True)]
    assert sum(changed) > 0.9 * len(changed)


def test_a_caption_is_true_of_the_frame_it_describes_and_a_wrong_one_is_not():
    from supervision import codes_of_patterns, truth
    from training_frames import render_frames

    from avs.demo.patterns import Pattern, ThingPattern
    from avs.demo.scenes import BACKGROUNDS

    frames = render_frames(6, seed=4, size=64, crop=False, favourites=(), workers=1)
    rows = np.arange(6)
    right = [Pattern((ThingPattern(scene.things[0].kind, scene.things[0].colour),)) for scene in frames.scenes]
    assert truth(frames, rows, codes_of_patterns(right)).diagonal().all()
    elsewhere = [next(name for name in BACKGROUNDS if name != scene.background) for scene in frames.scenes]
    wrong = [Pattern(p.things, background) for p, background in zip(right, elsewhere, strict=True)]
    assert not truth(frames, rows, codes_of_patterns(wrong)).diagonal().any()
