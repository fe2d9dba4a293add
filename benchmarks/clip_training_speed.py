"""Seconds and memory of a training step of models on a CLIP, beside forward and backward of the bare CLIPModel.

    python benchmarks/clip_training_speed.py [steps] [memory] [data] [--device cpu] [--videos 8]

A CLIP of ViT-B/32's sizes with random weights; each of --videos pairs has 12 frames of 224 x 224 and 32 tokens. `bare`
is transformers' CLIPModel on the same pixels: normalised, embeddings, cross entropy, gradients. The others are steps of
avs, with the options that are the defaults: pixels normalised, masks, the head, the loss, gradients, their norm,
BertAdam. `meanP` and `seqTransf` are CLIP4Clip's; `chunk` is meanP by gradient caching, a quarter of the batch at a
time. `student` is TeachCLIP's, which knows beforehand what its teacher says of the batch; `with_teacher` asks it: an
X-CLIP of the same sizes, which embeds texts and videos, as where a training draws its frames.

Jobs are interleaved, one model after the other, each made anew. A ratio is the median, over the rounds, of two times of
the same round. On a CPU they are the processor's seconds, so that other work on the machine counts little.

`memory` is the peak of two meanP steps beyond what there was before, each in a process of its own, with chunks of 2
videos and with none. `data` is the share of its time that a training by the verb waited for data from a frame cache.
Parts that are not asked for stay in the results as they are.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avs.core.artifacts import atomic_write
from avs.features.weights import locate
from avs.models.architectures import make_config, make_model
from avs.models.batch import Batch, Sequences
from avs.models.clip_backbone import plain_config
from avs.models.losses import contrastive_loss
from avs.models.teaching import Lesson
from avs.train.data import FeatureTable, PairBatch, Pairs
from avs.train.distributed import Workers
from avs.train.loop import TrainingLoop
from avs.train.settings import Settings
from avs.train.teaching import Taught, Teaching

Step = Callable[[PairBatch], object]

PARTS = ["memory", "steps", "data"]  # memory first of all: a process starts with the peak of the one that starts it
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


def bare_step(clip: Any, device: str, dtype: torch.dtype) -> Step:
    clip = clip.to(device).train()

    def step(batch: PairBatch) -> None:
        pixels = batch.videos.sequences["frames"].values.to(device)
        tokens = batch.texts.sequences["clip-tokens"].values.to(device)
        clip.zero_grad(set_to_none=True)
        with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
            out = clip(input_ids=tokens, pixel_values=((pixels.flatten(0, 1) / 255) - 0.45) / 0.27)
        frames = out.image_embeds.float().view(len(pixels), FRAMES, -1).mean(dim=1)
        torch.autograd.backward(contrastive_loss(clip.logit_scale.exp() * out.text_embeds.float() @ frames.T))

    return step


def make_avs(architecture: str, device: str, **options: Any) -> Any:
    """A model of which all weights are trained."""
    clip = make_clip()
    given = {"backbone": plain_config(clip.config), "freeze": -1, "max_words": TOKENS, **options}
    model: Any = make_model(architecture, make_config(architecture, given))
    model.start_from(clip)
    return model.to(device)


def avs_loop(model: Any, device: str, precision: str, chunk: int | None = None) -> TrainingLoop:
    """The loop of a training, whose steps are called one by one."""
    settings = Settings(optimiser="bert-adam", schedule="cosine", clip_norm=1.0, chunk=chunk, precision=precision)  # type: ignore[arg-type]
    one = np.arange(1)
    nothing = FeatureTable({}, {"none": one})
    return TrainingLoop(
        model.train(), Pairs(["0"], nothing, nothing, one), lambda m: {}, measure="", settings=settings, folder=Path(),
        fingerprint="", device=device,
    )  # fmt: skip


def avs_step(architecture: str, device: str, precision: str, chunk: int | None = None, **options: Any) -> Step:
    """A step that makes a batch of pixels into updated weights."""
    loop = avs_loop(make_avs(architecture, device, **options), device, precision, chunk)
    return lambda batch: loop.step(batch, 0, 0)


class Said(Teaching):
    """What teachers said of batches before, by their size."""

    def __init__(self, teaching: Teaching, batches: Sequence[PairBatch], device: str) -> None:
        super().__init__([])
        self.said = {len(batch.captions): teaching.lessons(batch, Workers(), device) for batch in batches}

    def lessons(self, batch: PairBatch, workers: Workers, device: str) -> list[Lesson]:
        return self.said[len(batch.captions)]


def taught_step(batches: Sequence[PairBatch], device: str, precision: str, *, beforehand: bool) -> Step:
    """A step of a student; `beforehand`: its teacher has said before all that it says of the batches."""
    teaching = Teaching([Taught(make_avs("xclip", device).eval())])
    loop = avs_loop(make_avs("teachclip", device), device, precision)
    loop.teaching = Said(teaching, batches, device) if beforehand else teaching
    return lambda batch: loop.step(batch, 0, 0)


def seconds_of_a_step(maker: Callable[[], Step], first: PairBatch, batch: PairBatch, device: str) -> float:
    """Of the second step, on `batch`: in the first one the optimiser makes its moments."""
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    step = maker()
    step(first)
    start = clock()
    step(batch)
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return clock() - start


def makers(batches: Sequence[PairBatch], device: str, precision: str, chunk: int) -> dict[str, Callable[[], Step]]:
    """What is timed, by name: each makes a step."""
    clip4clip = partial(avs_step, "clip4clip", device, precision)
    return {
        "bare": lambda: bare_step(make_clip(), device, getattr(torch, precision)),
        "meanP": partial(clip4clip, head="meanP"),
        "chunk": partial(clip4clip, chunk, head="meanP"),
        "seqTransf": partial(clip4clip, head="seqTransf"),
        "xclip": partial(avs_step, "xclip", device, precision),
        "clip2video": partial(avs_step, "clip2video", device, precision),
        "student": partial(taught_step, batches, device, precision, beforehand=True),
        "with_teacher": partial(taught_step, batches, device, precision, beforehand=False),
    }


def measure_steps(videos: int, device: str, precision: str, rounds: int) -> Iterator[dict[str, Any]]:
    """What is known after each round."""
    first, batch = make_batch(1), make_batch(videos)
    found: list[dict[str, float]] = []
    for _ in range(rounds):
        found.append({})
        for name, maker in makers([first, batch], device, precision, chunk=max(1, videos // 4)).items():
            found[-1][name] = seconds_of_a_step(maker, first, batch, device)
            print(f"{name} {found[-1][name]:.2f}", file=sys.stderr, flush=True)
        yield summary_of(found)


def summary_of(rounds: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Medians over rounds of name -> seconds."""
    pairs = {f"{name}_over_bare": (name, "bare") for name in rounds[0] if name not in ("bare", "chunk")}
    pairs["chunk_over_full"] = ("chunk", "meanP")
    ratios = {key: [one[a] / one[b] for one in rounds] for key, (a, b) in pairs.items()}
    return {
        "rounds": len(rounds),
        **{f"{name}_s": round(statistics.median(one[name] for one in rounds), 3) for name in rounds[0]},
        **{key: round(statistics.median(values), 3) for key, values in ratios.items()},
        "lowest_and_highest": {key: [round(min(each), 3), round(max(each), 3)] for key, each in ratios.items()},
    }


def peak_megabytes(videos: int, chunk: int | None, device: str) -> float:
    """Peak memory of two steps beyond what there was before, of a process of its own."""
    code = f"""
import resource, torch, benchmarks.clip_training_speed as speed
batch = speed.make_batch({videos})
step = speed.avs_step("clip4clip", {device!r}, "float32", {chunk!r}, head="meanP")
peak_mb = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before_mb = peak_mb()
step(batch), step(batch)
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


def measure(part: str, options: argparse.Namespace) -> Iterator[Any]:
    """Of "steps", "memory" or "data"; of steps, what is known after each round."""
    if part == "steps":
        yield from measure_steps(options.videos, options.device, options.precision, options.rounds)
    elif part == "memory":
        yield {
            f"{videos} videos, {f'chunk {chunk}' if chunk else 'whole'}": peak_megabytes(videos, chunk, options.device)
            for chunk in (2, None)
            for videos in (2, 4, 8)
        }
    else:
        with tempfile.TemporaryDirectory() as name:
            yield {"share": round(share_of_waiting(Path(name), 40), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=PARTS, choices=PARTS)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/clip_training_speed.json"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--videos", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    device = options.device
    result: dict[str, Any] = json.loads(options.output.read_text()) if options.output.is_file() else {}
    for part in (each for each in PARTS if each in options.parts):
        about = {
            "machine": {
                "device": torch.cuda.get_device_name()
                if device == "cuda"
                else platform.processor() or platform.machine(),
                "threads": torch.get_num_threads(),
                "load_1_min": round(os.getloadavg()[0], 2),
            },
            "versions": {name: version(name) for name in ("torch", "transformers", "numpy")},
            "batch": f"{options.videos} x {FRAMES} frames of {SIZE} x {SIZE}, {options.precision}",
        }
        for found in measure(part, options):
            result[part] = {**about, "measured": found}
            with atomic_write(options.output) as file:
                json.dump(result, file, indent=2)
                file.write("\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
