"""Images per second that one core resizes and crops for an image tower, compared with resizing alone and transformers.

    python benchmarks/preprocess_speed.py [-o benchmarks/results/preprocess_speed.json]

Each rate is the best of several rounds, measured in turn in one process, so that other load affects all of them. `bare`
is torch's interpolate alone, on images that are already in its layout; avs also changes the layout, crops and copies.
Normalisation is not included: the embedder does it on its device.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from avs.core.artifacts import atomic_write
from avs.features.preprocess import Geometry

SOURCES = {"640x360": (360, 640), "320x240": (240, 320), "1280x720": (720, 1280)}
TARGETS = {"clip-224": Geometry(224, 224, "bicubic"), "blip-224": Geometry(224, None, "bicubic")}
FRAMES, ROUNDS, SECONDS = 32, 7, 0.4
WANTED_PER_S = 800


def rate(job: Callable[[], object]) -> float:
    """Images per second of a job over FRAMES images, repeated for SECONDS."""
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        job()
        done += FRAMES
    return done / (time.perf_counter() - start)


def pil_processor(geometry: Geometry) -> Callable[[list[np.ndarray]], object]:
    """The processor of transformers for these images, without normalisation."""
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    size = {"height": geometry.size, "width": geometry.size}
    if geometry.edge is None:
        processor = BlipImageProcessorPil(size=size)
    else:
        processor = CLIPImageProcessorPil(size={"shortest_edge": geometry.edge}, crop_size=size)
    return lambda frames: processor(frames, do_rescale=False, do_normalize=False, return_tensors="np")


def measure(shape: tuple[int, int], geometry: Geometry) -> dict[str, float]:
    """The rates of one source and target: the best round of each, measured in turn."""
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, *shape, 3), dtype=np.uint8)
    ready = torch.from_numpy(frames).permute(0, 3, 1, 2)
    target = geometry.resized(*shape)
    processor, pictures = pil_processor(geometry), list(frames)
    jobs: dict[str, Callable[[], object]] = {
        "avs": lambda: geometry.apply(frames),
        "bare": lambda: torch.nn.functional.interpolate(ready, size=target, mode="bicubic", antialias=True),
        "transformers": lambda: processor(pictures),
    }
    best = dict.fromkeys(jobs, 0.0)
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            best[name] = max(best[name], rate(job))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/preprocess_speed.json"))
    output = parser.parse_args().output
    torch.set_num_threads(1)
    rows = []
    for source, shape in SOURCES.items():
        for name, geometry in TARGETS.items():
            best = measure(shape, geometry)
            row = {"source": source, "target": name, **{f"{key}_per_s": round(value) for key, value in best.items()}}
            row |= {
                "avs_over_bare": round(best["avs"] / best["bare"], 3),
                "avs_over_transformers": round(best["avs"] / best["transformers"], 2),
            }
            rows.append(row)
            print(json.dumps(row))
    facts = {
        "what": "images per second on one core, uint8 frames to uint8 square images",
        "wanted_per_s": WANTED_PER_S,
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "load_1_min": round(os.getloadavg()[0], 2)},
        "versions": {
            "python": platform.python_version(),
            **{p: version(p) for p in ("torch", "transformers", "pillow")},
        },
        "frames_a_call": FRAMES,
        "rows": rows,
    }
    with atomic_write(output) as file:
        json.dump(facts, file, indent=2)
        file.write("\n")


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
