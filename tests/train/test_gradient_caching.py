"""Gradients by chunks are those of the whole batch: with dropout, in float64, and with a loss that has weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_pairs import tiny_model, tiny_pairs
from tiny_training import SETTINGS, losses, trainer
from torch import Tensor, nn

from avs.core.errors import ConfigError
from avs.models.batch import Batch
from avs.models.retrieval import RetrievalModel
from avs.train.data import PairBatch
from avs.train.gradient_caching import backward_in_chunks

PAIRS = 10


class Toy(RetrievalModel):
    """Two linear maps with dropout and a temperature, in float64."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.text, self.video = nn.Linear(5, 4), nn.Linear(6, 4)
        self.dropout, self.scale = nn.Dropout(0.4), nn.Parameter(torch.tensor(1.3))
        self.double()

    def embed_texts(self, texts: Batch) -> Tensor:
        return nn.functional.normalize(self.dropout(self.text(texts.vectors["t"])), dim=-1)

    def embed_videos(self, videos: Batch) -> Tensor:
        return nn.functional.normalize(self.dropout(self.video(videos.vectors["v"])), dim=-1)

    def loss(self, texts: Tensor, videos: Tensor, *, video_of: Tensor) -> Tensor:
        return nn.functional.cross_entropy(self.scale.exp() * texts @ videos.T, torch.arange(len(texts)))


def toy_batch() -> PairBatch:
    torch.manual_seed(1)
    texts, videos = torch.randn(PAIRS, 5).double(), torch.randn(PAIRS, 6).double()
    return PairBatch(np.arange(PAIRS), Batch({"t": texts}), Batch({"v": videos}), torch.arange(PAIRS))


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("chunk", [1, 3, 5, 10, 64])
def test_the_gradient_is_that_of_the_whole_batch(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "float", lambda tensor: tensor)  # else embeddings are rounded to float32
    model, batch = Toy(), toy_batch()

    def loss(texts: Tensor, videos: Tensor) -> Tensor:
        return model.loss(texts, videos, video_of=batch.video_of)

    torch.manual_seed(7)
    parts = [(model.embed_texts(p.texts), model.embed_videos(p.videos)) for p in batch.parts(chunk)]
    whole = loss(*(torch.cat(side) for side in zip(*parts, strict=True)))
    torch.autograd.backward(whole)
    wanted, after = gradients(model), torch.rand(1)
    model.zero_grad()
    torch.manual_seed(7)
    value = backward_in_chunks(
        batch, lambda p: (model.embed_texts(p.texts), model.embed_videos(p.videos)), loss, chunk=chunk, device="cpu"
    )
    assert torch.equal(torch.rand(1), after)  # as many random numbers were drawn
    assert value.item() == pytest.approx(whole.item(), abs=1e-14)
    found = gradients(model)
    assert found.keys() == wanted.keys() == {"text.weight", "text.bias", "video.weight", "video.bias", "scale"}
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-12, atol=1e-14)


def test_a_scaled_loss_scales_every_gradient_once() -> None:
    plain, scaled = Toy().float(), Toy().float()
    for model, scale in ((plain, 1.0), (scaled, 8.0)):
        batch = toy_batch()
        batch = PairBatch(
            batch.captions, Batch({"t": batch.texts.vectors["t"].float()}),
            Batch({"v": batch.videos.vectors["v"].float()}), batch.video_of,
        )  # fmt: skip
        torch.manual_seed(7)
        backward_in_chunks(
            batch,
            lambda p, model=model: (model.embed_texts(p.texts), model.embed_videos(p.videos)),
            lambda t, v, model=model, batch=batch: model.loss(t, v, video_of=batch.video_of),
            chunk=4,
            device="cpu",
            scale=lambda loss, scale=scale: loss * scale,
        )
    for name, gradient in gradients(plain).items():
        torch.testing.assert_close(gradients(scaled)[name], 8 * gradient)


def test_a_training_with_chunks_has_the_losses_of_one_without(tmp_path: Path) -> None:
    for name, chunk in (("whole", None), ("chunks", 5)):
        trainer(tmp_path / name, replace(SETTINGS, epochs=3, chunk=chunk), model=tiny_model(dropout=0.0)).run()
    np.testing.assert_allclose(losses(tmp_path / "chunks"), losses(tmp_path / "whole"), rtol=1e-4)


def test_batch_normalisation_is_refused_before_training_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch normalisation do not go together") as caught:
        trainer(tmp_path, replace(SETTINGS, chunk=4), model=tiny_model(batch_norm=True))
    assert "video.transforms.0.norm" in str(caught.value.got)
    trainer(tmp_path, SETTINGS, model=tiny_model(batch_norm=True))


def test_parts_of_a_batch_keep_what_is_missing() -> None:
    pairs = tiny_pairs()
    batch = pairs.batch(np.arange(12))  # video 3 lacks a feature
    parts = batch.parts(5)
    assert [len(part.captions) for part in parts] == [5, 5, 2]
    assert torch.equal(torch.cat([part.videos.present["b"] for part in parts]), batch.videos.present["b"])
    assert torch.equal(torch.cat([part.texts.vectors["bow"] for part in parts]), batch.texts.vectors["bow"])
    assert torch.equal(torch.cat([part.video_of for part in parts]), batch.video_of)
