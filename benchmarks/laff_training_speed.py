"""Seconds of a training step of LAFF on the TRECVID 2023 feature set, and of its matrix products alone.

    python benchmarks/laff_training_speed.py [-o benchmarks/results/laff_training_speed.json]

7 video features (6,912 dimensions), 3 text features, 8 heads of 512, batch 128, RMSprop. `floor` is the time of the
products of the linear maps: forward, and for the gradients of the weights. `data` is the time to make a batch from
memory-mapped float16 stores, which the loop does in a thread during the step. Rounds are interleaved, and the best of
each counts.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from avs.core.artifacts import atomic_write
from avs.core.columns import VectorColumn
from avs.models.architectures.laff import LaffConfig
from avs.models.laff import LaffModel
from avs.train.data import FeatureTable, Pairs
from avs.train.loop import TrainingLoop
from avs.train.settings import Settings

VIDEO = {"wsl": 2048, "ircsn": 2048, "beit": 1024, "clip": 512, "blip": 256, "blip2": 256, "video-llama": 768}
TEXT = {"clip": 512, "blip": 256, "blip2": 256}
BATCH, VIDEOS, ROUNDS = 128, 4000, 7


def pairs(folder: Path) -> Pairs:
    """Random features; those of videos are in memory-mapped float16 files, like stores."""
    rng = np.random.default_rng(0)
    everyone = np.arange(VIDEOS)
    columns = {}
    for name, dim in VIDEO.items():
        np.save(folder / f"{name}.npy", rng.normal(size=(VIDEOS, dim)).astype(np.float16))
        columns[name] = VectorColumn(np.load(folder / f"{name}.npy", mmap_mode="r"))
    texts = {name: VectorColumn(rng.normal(size=(VIDEOS, dim)).astype(np.float32)) for name, dim in TEXT.items()}
    return Pairs(
        [str(i) for i in everyone],
        FeatureTable(texts, dict.fromkeys(texts, everyone)),
        FeatureTable(columns, dict.fromkeys(columns, everyone)),
        everyone,
    )


def floor(width: int) -> Callable[[], None]:
    """Computes the products of a step: (B, D) @ (D, W) forward, (W, B) @ (B, D) for the gradients of the weights."""
    operands = [
        (torch.randn(BATCH, dim), torch.randn(width, dim), torch.randn(BATCH, width), torch.empty(BATCH, width),
         torch.empty(width, dim))
        for dim in [*VIDEO.values(), *TEXT.values()]
    ]  # fmt: skip

    def products() -> None:
        for x, weight, gradient, y, weight_gradient in operands:
            torch.mm(x, weight.T, out=y)
            torch.mm(gradient.T, x, out=weight_gradient)

    return products


def seconds(job: Callable[[], object]) -> float:
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def measure(precision: str) -> dict[str, float]:
    """The best seconds of each part of a step."""
    model = LaffModel(LaffConfig(video=VIDEO, text=TEXT))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = pairs(folder)
        settings = Settings(batch_size=BATCH, precision=precision)  # type: ignore[arg-type]
        loop = TrainingLoop(model, data, lambda m: {}, measure="", settings=settings, folder=folder, fingerprint="")
        rng = np.random.default_rng(1)
        batches = [data.batch(rng.integers(0, VIDEOS, BATCH)) for _ in range(ROUNDS + 1)]
        products = floor(model.config.heads * model.config.head_dim)
        model.train()
        loop.step(batches[-1], 0, 0)
        rounds = [
            {
                "floor": seconds(products),
                "step": seconds(lambda b=batch: loop.step(b, 0, 0)),
                "data": seconds(lambda: data.batch(rng.integers(0, VIDEOS, BATCH))),
            }
            for batch in batches[:-1]
        ]
    best = {part: min(one[part] for one in rounds) for part in rounds[0]}
    return {f"{part}_s": round(value, 5) for part, value in best.items()} | {
        "step_over_floor": round(best["step"] / best["floor"], 3),
        "data_over_step": round(best["data"] / best["step"], 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/laff_training_speed.json"))
    output = parser.parse_args().output
    flops = 2 * 2 * BATCH * (sum(VIDEO.values()) + sum(TEXT.values())) * 4096
    result = {
        "machine": {"cpu": platform.processor() or platform.machine(), "threads": torch.get_num_threads()},
        "versions": {name: version(name) for name in ("torch", "numpy")},
        "batch": BATCH,
        "parameters": sum(p.numel() for p in LaffModel(LaffConfig(video=VIDEO, text=TEXT)).parameters()),
        "floor_gflop": round(flops / 1e9, 2),
        "float32": measure("float32"),
    }
    with atomic_write(output) as file:
        json.dump(result, file, indent=2)
        file.write("\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
