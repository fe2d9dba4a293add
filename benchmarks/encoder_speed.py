"""Images or clips per second of encoders of real sizes with random weights, through the queue of extraction and bare.

    python benchmarks/encoder_speed.py [clip-vit-b32 clip-vit-l14-336 beit-l] [--device cuda] [--batch-size 256]
        [--compute-dtype bfloat16] [--compile] [-o benchmarks/results/encoder_speed.json]
    python benchmarks/encoder_speed.py ircsn --batch-size 8 -o benchmarks/results/encoder_speed_ircsn.json

`ircsn` takes clips of 32 frames, so its batches are small; it is measured where it is named.

`queue` is what extraction does after decoding: uint8 images in the memory of the host are put into an EncodingQueue,
and come back as vectors there. On a GPU they are in page-locked memory, and put in by 1 to --batch-size at a time, as
units of short videos are; so this counts the filling of batches, the copies, and the normalisation. On a CPU whole
batches are put in. `bare` is the tower alone, on batches of normalised pixels of the same size and dtype that are on
the device already. With --compile both are compiled.

Jobs are interleaved, and a ratio is the median, over the rounds, of two times of the same round. On a CPU they are the
processor's seconds, so that other work on the machine counts little. `busy` is the share of the time of `queue` in
which the device encoded. `v3c2_hours` is the time for the 9.4 million frames of V3C2, or for 3 clips of each of its
shots, if decoders keep up.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avs.core.artifacts import atomic_write
from avs.core.spec import EmbedderSpec
from avs.features.compiled import CompiledTower
from avs.features.device_queue import EncodingQueue
from avs.features.encoders import ClipEncoder, ImageEncoder, resolve_device
from avs.features.families.ircsn import CLIPS_PER_SHOT, IrCsnClips
from avs.features.family import Family
from avs.features.preprocess import Geometry, Preprocessing

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
V3C2_FRAMES, V3C2_SHOTS = 9_400_000, 1_425_454


def clip_tower(image_size: int, patch: int, width: int, layers: int, heads: int, dim: int) -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=heads,
        image_size=image_size, patch_size=patch, projection_dim=dim, hidden_act="quick_gelu",
    )  # fmt: skip
    return CLIPVisionModelWithProjection(config)


def beit_large() -> Any:
    from transformers import BeitConfig, BeitModel

    config = BeitConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, image_size=224,
        patch_size=16, use_relative_position_bias=True, use_mask_token=False,
    )  # fmt: skip
    return BeitModel(config)


class RandomFamily(Family):
    """A tower with random weights."""

    def __init__(self, module: Any, output: str, dtype: torch.dtype) -> None:
        self.module, self.output = module.eval().to(dtype), output

    def images(self, pixels: Tensor) -> Tensor:
        vectors: Tensor = getattr(self.module(pixel_values=pixels), self.output)
        return vectors


class RandomIrCsn(IrCsnClips):
    """ir-CSN-152 with random weights."""

    def __init__(self, module: Any, output: str, dtype: torch.dtype) -> None:
        self.module = module.requires_grad_(False).eval().to(dtype)


def ir_csn_152() -> Any:
    network = IrCsnClips.network(IrCsnClips.published["crop-224"].config).to_empty(device="cpu")
    for name, tensor in network.state_dict().items():
        tensor.fill_(1) if name.endswith("running_var") else tensor.normal_(std=0.02)
    return network


ENCODERS: dict[str, tuple[int, int, str, Callable[[], Any]]] = {  # image size, dim, output, tower
    "clip-vit-b32": (224, 512, "image_embeds", lambda: clip_tower(224, 32, 768, 12, 12, 512)),
    "clip-vit-l14-336": (336, 768, "image_embeds", lambda: clip_tower(336, 14, 1024, 24, 16, 768)),
    "beit-l": (224, 1024, "pooler_output", beit_large),
    "ircsn": (224, 2048, "", ir_csn_152),
}
OF_IMAGES = [name for name in ENCODERS if name != "ircsn"]


def make_encoder(name: str, device: torch.device, dtype: torch.dtype) -> tuple[ImageEncoder | ClipEncoder, Family]:
    size, dim, output, tower = ENCODERS[name]
    torch.manual_seed(0)
    family: Family = (RandomFamily if name in OF_IMAGES else RandomIrCsn)(tower(), output, dtype)
    spec = EmbedderSpec(name, "random", dim, size, MEAN, STD, "square", "bicubic", "", "projection", True)
    preprocessing = Preprocessing(Geometry(size, None, "bicubic"), MEAN, STD)
    encoder = ClipEncoder if family.clip_frames else ImageEncoder
    return encoder(spec, preprocessing, family, None, max_tokens=0, device=device, dtype=dtype), family


def pieces(images: int, most: int, *, whole: bool) -> list[int]:
    """Numbers of images that are put in at a time."""
    if whole:
        return [most] * (images // most)
    rng, found = np.random.default_rng(0), list[int]()
    while sum(found) < images:
        found.append(int(min(rng.integers(1, most + 1), images - sum(found))))
    return found


class Jobs:
    """The two jobs over the same number of images or clips: `through_queue` and `bare`."""

    def __init__(self, name: str, device: torch.device, dtype: torch.dtype, batch: int, batches: int, compiled: bool):
        self.device, self.batch, self.batches = device, batch, batches
        encoder, family = make_encoder(name, device, dtype)
        size, gpu = ENCODERS[name][0], device.type == "cuda"
        self.counts = pieces(batch * batches, batch, whole=not gpu)
        self.frames = family.clip_frames
        shape = (batch, *([self.frames] if self.frames else []), 3, size, size)
        masks = [torch.ones(batch, self.frames, dtype=torch.bool)] if self.frames else []
        arrays = [torch.randint(0, 256, shape, dtype=torch.uint8), *masks]
        self.arrays = [array.pin_memory() if gpu else array for array in arrays]
        tower: Callable[..., Tensor] = family.clips if self.frames else family.images
        self.tower = CompiledTower(tower, batch) if compiled else tower
        self.queue = EncodingQueue(encoder, batch, compiled=compiled)
        self.inputs = [torch.randn(shape).to(device, dtype), *(mask.to(device) for mask in masks)]
        self.came = 0

    def _count(self, vectors: np.ndarray) -> None:
        self.came += len(vectors)

    def through_queue(self) -> None:
        self.came = 0
        for count in self.counts:
            self.queue.put([array[:count] for array in self.arrays], self._count)
        self.queue.flush()
        assert self.came == self.batch * self.batches

    @torch.inference_mode()
    def bare(self) -> None:
        for _ in range(self.batches):
            self.tower(*self.inputs)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def times(self) -> tuple[float, float, float]:
        """Seconds of both jobs, and the share of the first in which the device encoded."""
        clock = time.perf_counter if self.device.type == "cuda" else time.process_time
        busy_s, wall_s, start_s = self.queue.busy_s, time.perf_counter(), clock()
        self.through_queue()
        queue_s = clock() - start_s
        busy = (self.queue.busy_s - busy_s) / (time.perf_counter() - wall_s)
        start_s = clock()
        self.bare()
        return queue_s, clock() - start_s, busy


def measure(name: str, jobs: Jobs, rounds: int) -> dict[str, Any]:
    jobs.through_queue()  # what is allocated, chosen or compiled at first
    jobs.bare()
    times = [jobs.times() for _ in range(rounds)]
    count = jobs.batch * jobs.batches
    unit, of_v3c2 = ("clips", CLIPS_PER_SHOT * V3C2_SHOTS) if jobs.frames else ("images", V3C2_FRAMES)
    per_s = count / statistics.median(queue_s for queue_s, _, _ in times)
    return {
        "encoder": name,
        f"{unit}_per_s": round(per_s, 2),
        f"bare_{unit}_per_s": round(count / statistics.median(bare_s for _, bare_s, _ in times), 2),
        "queue_over_bare": round(statistics.median(bare_s / queue_s for queue_s, bare_s, _ in times), 3),
        "busy": round(statistics.median(busy for _, _, busy in times), 3),
        "v3c2_hours": round(of_v3c2 / per_s / 3600, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders", nargs="*", default=OF_IMAGES, help=", ".join(ENCODERS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compute-dtype", default="bfloat16")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/encoder_speed.json"))
    args = parser.parse_args()
    unknown = sorted(set(args.encoders) - set(ENCODERS))
    if unknown:
        parser.error(f"unknown encoders {', '.join(unknown)}; there are {', '.join(ENCODERS)}")
    device, dtype = resolve_device(args.device, args.compute_dtype)
    rows = []
    for name in args.encoders:
        jobs = Jobs(name, device, dtype, args.batch_size, args.batches, args.compile)
        rows.append(measure(name, jobs, args.rounds))
        print(json.dumps(rows[-1]), flush=True)
    facts = {
        "what": "images or clips per second of encoders with random weights, through the queue of extraction and bare",
        "seconds_of": "the clock" if device.type == "cuda" else "the processor",
        "machine": {
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "load_1_min": round(os.getloadavg()[0], 2),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers")},
        },
        "batch_size": args.batch_size,
        "batches_a_round": args.batches,
        "rounds": args.rounds,
        "compute_dtype": args.compute_dtype,
        "compiled": args.compile,
        "rows": rows,
    }
    with atomic_write(args.output) as file:
        json.dump(facts, file, indent=2)
        file.write("\n")


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
