"""A short training of the tiny model on the tiny pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tiny_pairs import tiny_model, tiny_pairs

from avs.train.data import Pairs
from avs.train.embed import similarities
from avs.train.loop import TrainingLoop
from avs.train.record import read_metrics
from avs.train.settings import Settings

SETTINGS = Settings(learning_rate=1e-3, batch_size=16, epochs=6, patience=10, average_last=3, seed=7)


def measure_on(pairs: Pairs):
    def validate(model: torch.nn.Module) -> dict[str, float]:
        scores = similarities(model, pairs.texts, pairs.videos)
        own = scores[np.arange(len(scores)), pairs.video_of]
        return {"MRR": float((1 / (1 + (scores > own[:, None]).sum(1))).mean())}

    return validate


def trainer(folder: Path, settings: Settings = SETTINGS, **options) -> TrainingLoop:
    pairs = options.pop("pairs", None) or tiny_pairs()
    model = options.pop("model", None) or tiny_model()
    validate = options.pop("validate", None) or measure_on(tiny_pairs())
    return TrainingLoop(
        model, pairs, validate, measure="MRR", settings=settings, folder=folder, fingerprint="f", **options
    )


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(folder)]
