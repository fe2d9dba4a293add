"""Seconds and memory of a training step of CLIP4Clip on pixels, beside forward and backward of the bare CLIPModel.

    python benchmarks/clip4clip_speed.py [--device cpu] [--videos 8] [-o benchmarks/results/clip4clip_speed.json]

A CLIP of ViT-B/32's sizes with random weights; each of --videos pairs has 12 frames of 224 x 224 and 32 tokens. `bare`
is transformers' CLIPModel on the same pixels, normalised beforehand: embeddings, cross entropy, gradients. `meanP` and
`seqTransf` are steps of avs: pixels normalised, masks, the head, the loss, gradients, their norm, BertAdam. `chunk` is
meanP by gradient caching, a quarter of the batch at a time. Rounds are interleaved, and the best of each counts.

`memory` is the peak of two meanP steps beyond what there was before, each in a process of its own, with chunks of 2
videos and with none. `data` is the share of its time that a training by the verb waited for data from a frame cache.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avs.core.artifacts import atomic_write
from avs.features.weights import locate
from avs.models.architectures.clip4clip import Clip4ClipConfig
from avs.models.batch import Batch, Sequences
from avs.models.clip4clip import Clip4Clip
from avs.models.clip_backbone import plain_config
from avs.models.losses import contrastive_loss
from avs.train.data import FeatureTable, PairBatch, Pairs
from avs.train.loop import TrainingLoop
from avs.train.settings import Settings

FRAMES, SIZE, TOKENS, VOCABULARY = 12, 224, 32, 1221
SHARED = {"layer_norm_eps": 1e-5, "hidden_act": "quick_gelu"}
TOWERS: dict[str, Any] = {  # ViT-B/32's, with the vocabulary of mini-clip
    "projection_dim": 512,
    "vision_config": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12,
                      "image_size": SIZE, "patch_size": 32, **SHARED},
    "text_config": {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8,
                    "vocab_size": VOCABULARY, "max_position_embeddings": 77, "bos_token_id": 1219,
                    "eos_token_id": 1220, "pad_token_id": 1220, **SHARED},
}  # fmt: skip


def make_clip() -> Any:
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    return CLIPModel(CLIPConfig(**TOWERS))


def make_batch(videos: int) -> PairBatch:
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(0, 256, (videos, FRAMES, 3, SIZE, SIZE), dtype=np.uint8))
    tokens = torch.from_numpy(rng.integers(1, 1219, (videos, TOKENS)))
    tokens[:, -1] = 1220
    frames = Sequences(pixels, torch.full((videos,), FRAMES))
    words = Sequences(tokens, torch.full((videos,), TOKENS))
    everyone = np.arange(videos)
    return PairBatch(
        everyone,
        Batch(sequences={"clip-tokens": words}),
        Batch(sequences={"frames": frames}),
        torch.from_numpy(everyone),
    )


def bare_step(clip: Any, batch: PairBatch, device: str, dtype: torch.dtype) -> Callable[[], None]:
    pixels = ((batch.videos.sequences["frames"].values.flatten(0, 1) / 255) - 0.45) / 0.27
    tokens, videos = batch.texts.sequences["clip-tokens"].values, len(batch.captions)
    pixels, tokens, clip = pixels.to(device), tokens.to(device), clip.to(device).train()

    def step() -> None:
        clip.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
            out = clip(input_ids=tokens, pixel_values=pixels)
        frames = out.image_embeds.float().view(videos, FRAMES, -1).mean(dim=1)
        contrastive_loss(clip.logit_scale.exp() * out.text_embeds.float() @ frames.T).backward()

    return step


def avs_step(head: str, batch: PairBatch, device: str, precision: str, chunk: int | None = None) -> Callable[[], None]:
    clip = make_clip()
    config = Clip4ClipConfig(plain_config(clip.config), head=head, freeze=-1, max_words=TOKENS)  # type: ignore[arg-type]
    model = Clip4Clip(config)
    model.start_from(clip)
    settings = Settings(optimiser="bert-adam", schedule="cosine", clip_norm=1.0, chunk=chunk, precision=precision)  # type: ignore[arg-type]
    nothing = FeatureTable({}, {"none": batch.captions})
    pairs = Pairs([str(one) for one in batch.captions], nothing, nothing, batch.captions)
    loop = TrainingLoop(
        model.to(device), pairs, lambda m: {}, measure="", settings=settings, folder=Path(), fingerprint="",
        device=device,
    )  # fmt: skip
    loop.model.train()
    return lambda: loop.step(batch, 0, 0)


def seconds(job: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    job()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure_steps(videos: int, device: str, precision: str, rounds: int) -> dict[str, float]:
    batch = make_batch(videos)
    jobs = {
        "bare": bare_step(make_clip(), batch, device, getattr(torch, precision)),
        "meanP": avs_step("meanP", batch, device, precision),
        "seqTransf": avs_step("seqTransf", batch, device, precision),
        "chunk": avs_step("meanP", batch, device, precision, chunk=max(1, videos // 4)),
    }
    for job in jobs.values():
        job()
    found = [{name: seconds(job, device) for name, job in jobs.items()} for _ in range(rounds)]
    best = {name: min(one[name] for one in found) for name in jobs}
    ratios = {f"{name}_over_bare": best[name] / best["bare"] for name in ("meanP", "seqTransf")}
    ratios["chunk_over_full"] = best["chunk"] / best["meanP"]
    return {f"{name}_s": round(value, 3) for name, value in best.items()} | {k: round(v, 3) for k, v in ratios.items()}


def peak_megabytes(videos: int, chunk: int | None, device: str) -> float:
    """Peak memory of two steps beyond what there was before, of a process of its own."""
    code = f"""
import resource, torch, benchmarks.clip4clip_speed as speed
batch = speed.make_batch({videos})
step = speed.avs_step("meanP", batch, {device!r}, "float32", chunk={chunk!r})
peak_mb = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before_mb = peak_mb()
step(), step()
print(torch.cuda.max_memory_allocated() / 2**20 if {device!r} == "cuda" else peak_mb() - before_mb)
"""
    return round(float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout))


def share_of_waiting(folder: Path, videos: int) -> float:
    """Share of a training's time in which it waits for data, by the verb, from a frame cache of rendered videos."""
    import av

    from avs.cli.main import main as avs

    backbone, rng = folder / "backbone", np.random.default_rng(0)
    make_clip().save_pretrained(backbone)
    own = locate("package:demo/encoders/clip")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(own / name, backbone / name)
    processor = json.loads((own / "preprocessor_config.json").read_text())
    processor |= {"size": {"shortest_edge": SIZE}, "crop_size": {"height": SIZE, "width": SIZE}}
    (backbone / "preprocessor_config.json").write_text(json.dumps(processor))
    (folder / "videos").mkdir()
    for number in range(videos):
        with av.open(str(folder / f"videos/{number:05d}.mp4"), "w") as container:
            stream = container.add_stream("h264", rate=5)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for _ in range(5 * FRAMES):
                picture = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8).repeat(20, axis=0).repeat(20, axis=1)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    captions = "".join(f"shot{n:05d}_1#0 a red circle and number {n}\n" for n in range(videos))
    (folder / "c.txt").write_text(captions)
    table = folder / "shots.tsv"
    assert avs(["shots", "--videos", str(folder / "videos"), "--per-file", "-o", str(table), "--quiet"]) == 0
    assert avs([
        "train-clip4clip", "--backbone", str(backbone), "--captions", str(folder / "c.txt"), "--videos",
        str(folder / "videos"), "--shots", str(table), "--epochs", "1", "--batch-size", "8", "-o", str(folder / "m"),
        "--quiet",
    ]) == 0  # fmt: skip
    (row,) = [json.loads(line) for line in (folder / "m/metrics.jsonl").read_text().splitlines()]
    return float(row["data_share"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/clip4clip_speed.json"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    device = options.device
    result: dict[str, Any] = {
        "machine": {
            "device": torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "load_1_min": round(os.getloadavg()[0], 2),
        },
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy")},
        "batch": f"{options.videos} x {FRAMES} frames of {SIZE} x {SIZE}, {options.precision}",
        # first of all: a process starts with the peak memory of the one that starts it
        "memory_mb": {
            f"{videos} videos, {f'chunk {chunk}' if chunk else 'whole'}": peak_megabytes(videos, chunk, device)
            for chunk in (2, None)
            for videos in (2, 4, 8)
        },
        "step": measure_steps(options.videos, device, options.precision, options.rounds),
    }
    with tempfile.TemporaryDirectory() as name:
        result["data_share"] = round(share_of_waiting(Path(name), 40), 4)
    with atomic_write(options.output) as file:
        json.dump(result, file, indent=2)
        file.write("\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
