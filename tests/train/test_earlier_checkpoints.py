"""Checkpoints that avs wrote before architectures registered themselves still open, and score as they did then."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from avs.models.architectures import Tokens
from avs.models.batch import Batch, Sequences
from avs.train.checkpoint import read_checkpoint

FOLDER = Path(__file__).parent / "earlier_checkpoints"
SCORES = {
    "laff": [[-0.291316, -0.0603489], [0.2468842, -0.3816595]],
    "dual_encoding": [[0.7010572, 0.5921184], [0.580662, 0.5872437]],
}


def waves(*shape: int) -> torch.Tensor:
    return torch.sin(torch.arange(int(np.prod(shape)), dtype=torch.float32)).view(shape)


def vectors(dims: Mapping[str, int]) -> dict[str, torch.Tensor]:
    return {name: waves(2, dim) for name, dim in dims.items()}


def frames(dims: Mapping[str, int]) -> dict[str, Sequences]:
    return {name: Sequences(waves(2, 3, dim), torch.tensor([3, 2])) for name, dim in dims.items()}


def words(tokens: Mapping[str, Tokens]) -> dict[str, Sequences]:
    lengths = torch.tensor([3, 2])
    return {name: Sequences(torch.arange(6).view(2, 3) % each.words, lengths) for name, each in tokens.items()}


@pytest.mark.parametrize("name", SCORES)
def test_an_earlier_checkpoint_scores_as_it_did(name: str) -> None:
    model = read_checkpoint(FOLDER / name).load_model()
    config = model.config
    with torch.inference_mode():
        videos = model.embed_videos(Batch(vectors(config.video), frames(config.video_frames)))
        texts = model.embed_texts(Batch(vectors(config.text), words(config.text_tokens)))
        scores = model.score(texts, videos)
    np.testing.assert_allclose(scores.numpy(), SCORES[name], atol=2e-6)
