"""A small training set: videos with two features, captions whose words say what the video is."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from avs.core.columns import VectorColumn
from avs.models.architectures.laff import LaffConfig
from avs.models.laff import LaffModel
from avs.train.data import FeatureTable, Pairs

VIDEOS, CAPTIONS_EACH, WORDS = 30, 3, 12


def tiny_pairs(seed: int = 0) -> Pairs:
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(VIDEOS, 6)).astype(np.float32)
    video_of = np.repeat(np.arange(VIDEOS), CAPTIONS_EACH)
    words = rng.normal(size=(6, WORDS)).astype(np.float32)
    videos = {
        "a": hidden @ rng.normal(size=(6, 10)).astype(np.float32),
        "b": hidden @ rng.normal(size=(6, 7)).astype(np.float32),
    }
    texts = hidden[video_of] @ words + 0.1 * rng.normal(size=(len(video_of), WORDS)).astype(np.float32)
    everything = np.arange(VIDEOS)
    lacking = everything.copy()
    lacking[3] = -1
    return Pairs(
        [f"v{v}#{n}" for n, v in enumerate(video_of)],
        FeatureTable({"bow": VectorColumn(texts)}, {"bow": np.arange(len(texts))}),
        FeatureTable({name: VectorColumn(x) for name, x in videos.items()}, {"a": everything, "b": lacking}),
        video_of,
    )


def tiny_model(seed: int = 0, **options: object) -> nn.Module:
    torch.manual_seed(seed)
    return LaffModel(LaffConfig(video={"a": 10, "b": 7}, text={"bow": WORDS}, heads=2, head_dim=8, **options))  # type: ignore[arg-type]
